import CCapstone
import Code

/// The moments inside a handshake: behind the calls of a few steps, where a share is used, and where one is made.
extension GoSites {
    private static let rcx: UInt8 = 1
    /// g.
    private static let goroutine: UInt8 = 14

    private typealias Call = (call: UInt64, caller: GoFunction)

    /// Methods whose return is a moment of the handshake.
    private static let steps: [(hook: HookKind, method: String)] = [
        (.keyChange, "(*clientHandshakeStateTLS13).establishHandshakeKeys"),
        (.keyChange, "(*serverHandshakeStateTLS13).sendServerParameters"),
        (.keyChange, "(*clientHandshakeState).establishKeys"), (.keyChange, "(*serverHandshakeState).establishKeys"),
        (.alpnSelect, "negotiateALPN"), (.alpnAnswer, "(*clientHandshakeStateTLS13).readServerParameters"),
        (.alpnAnswer, "(*clientHandshakeState).processServerHello"),
    ]

    mutating func addSteps() {
        let methods = Self.steps.map { "\(package).\($0.method)" }
        let calls = calls(of: Set(methods.compactMap { functions[$0]?.addresses.lowerBound }))
        for (step, name) in zip(Self.steps, methods) {
            // A linker leaves out what nothing calls: a program that is a client alone has no server's steps.
            guard let target = functions[name]?.addresses.lowerBound else { continue }
            let jumps = (calls[target] ?? []).compactMap(jump(behind:))
            if jumps.isEmpty { notes.append("no moment of \(step.method): its call is of no known shape") }
            for jump in jumps.prefix(Self.callLimit) {
                try? add(
                    step.hook, "\(step.method) result", jump, object: nil,
                    argument: step.hook == .keyChange ? .result : nil, phases: [.on, .full])
            }
        }
    }

    /// Methods that use the peer's share, which came before them: below TLS 1.3. They are called through an interface.
    private static let shares = [
        "(*ecdheKeyAgreement).processServerKeyExchange", "(*ecdheKeyAgreement).processClientKeyExchange",
        "rsaKeyAgreement.processClientKeyExchange",
    ]

    mutating func addShares() {
        for method in Self.shares {
            guard let function = functions["\(package).\(method)"] else { continue }
            guard let inside = Self.inside(code.instructions(in: function.addresses, limit: Self.bodyLimit)) else {
                notes.append("no moment of \(method): its beginning is of no known shape")
                continue
            }
            try? add(.masterSecret, method, inside, object: nil, phases: [.on, .full])
        }
    }

    /// The first instruction behind the check of the stack that the kernel emulates: before the check a function may begin twice.
    private static func inside(_ body: [Instruction]) -> Instruction? {
        // cmp rsp or a register of what the frame takes with g.stackguard0.
        guard
            let check = body.prefix(4).firstIndex(where: {
                $0.kind == TLSWATCH_OP_CMP
                    && ($0.first.isMemory && $0.first.base == goroutine
                        || $0.second.isMemory && $0.second.base == goroutine)
            }), check + 1 < body.count, body[check + 1].kind == TLSWATCH_OP_JCC
        else { return nil }
        let targets = Set(body.compactMap { $0.kind == TLSWATCH_OP_CALL ? nil : $0.directTarget })
        for instruction in body[(check + 2)...].prefix(inside) {
            // A loop would come here again.
            if targets.contains(instruction.address) { return nil }
            switch instruction.kind {
            case TLSWATCH_OP_JCC, TLSWATCH_OP_PUSH, TLSWATCH_OP_CALL:
                if SiteChooser.isEmulated(instruction) { return instruction }
                if instruction.kind != TLSWATCH_OP_PUSH { return nil }
            case TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
        }
        return nil
    }

    /// How far behind the check such an instruction is.
    private static let inside = 24

    /// What makes a key share: 1.18 and 1.19, and later releases. The group is the second argument, behind an interface.
    private static let makers = ["generateECDHEParameters", "generateECDHEKey"]
    private static let retries = [
        "(*clientHandshakeStateTLS13).processHelloRetryRequest", "(*serverHandshakeStateTLS13).doHelloRetryRequest",
    ]

    /// Where a Conn does not know its group: the key shares that are made, and whether one was asked for once more.
    mutating func addGroups() {
        func address(_ name: String) -> UInt64? { functions["\(package).\(name)"]?.addresses.lowerBound }
        let (makers, retries) = (Self.makers.compactMap(address), Self.retries.compactMap(address))
        let calls = calls(of: Set(makers + retries))
        let shares = makers.flatMap { calls[$0] ?? [] }
        let again = retries.map { (calls[$0] ?? []).compactMap(jump(behind:)) }
        guard !shares.isEmpty, shares.count <= Self.shareLimit, !again.contains(where: \.isEmpty) else {
            notes.append("no group: its Conn does not keep it, and the places where it makes key shares are not found")
            return
        }
        let before = sites
        do throws(AnalysisError) {
            for share in shares {
                guard let call = instruction(of: share) else { throw AnalysisError("a call is of no known shape") }
                try add(
                    .group, "key share", call, object: nil, argument: ValuePlace(register: Self.rcx),
                    phases: [.on, .full])
            }
            for jump in again.joined() {
                try add(.helloRetry, "HelloRetryRequest", jump, object: nil, phases: [.on, .full])
            }
        } catch {
            // The last one that was made would not be known to be the last.
            sites = before
            notes.append("no group: its Conn does not keep it, and \(error)")
        }
    }

    private static let shareLimit = 10

    /// Calls of one step; there are two at most.
    private static let callLimit = 3
    private static let functionLimit = 1 << 16

    /// The direct calls of these functions in the package, wherever the compiler has put them.
    private func calls(of targets: Set<UInt64>) -> [UInt64: [Call]] {
        var found: [UInt64: [Call]] = [:]
        for function in functions.values.sorted(by: { $0.addresses.lowerBound < $1.addresses.lowerBound }) {
            let start = function.addresses.lowerBound
            let bytes = code.file.bytes(
                at: start, upTo: min(Int(clamping: function.addresses.count), Self.functionLimit))
            DataSearch.find([0xe8], in: bytes) { at in
                if let distance = bytes.u32(at: at + 1) {
                    let next = start &+ UInt64(at) &+ 5
                    let target = next &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
                    if targets.contains(target) { found[target, default: []].append((next &- 5, function)) }
                }
                return false
            }
        }
        return found
    }

    /// The instruction that a call is.
    private func instruction(of site: Call) -> Instruction? {
        code.instructions(in: site.caller.addresses, limit: Self.bodyLimit)
            .first { $0.address == site.call && $0.kind == TLSWATCH_OP_CALL }
    }

    /// The first conditional jump behind a call: the first result is still in rax.
    private func jump(behind site: Call) -> Instruction? {
        // From the function's beginning: a call's bytes inside another instruction are no call.
        let body = code.instructions(in: site.caller.addresses, limit: Self.bodyLimit)
        guard let call = body.firstIndex(where: { $0.address == site.call && $0.kind == TLSWATCH_OP_CALL }) else {
            return nil
        }
        for instruction in body[(call + 1)...].prefix(Self.after) {
            switch instruction.kind {
            case TLSWATCH_OP_JCC: return instruction
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
            if instruction.written & 1 << UInt16(Register.rax) != 0 { return nil }
        }
        return nil
    }
}
