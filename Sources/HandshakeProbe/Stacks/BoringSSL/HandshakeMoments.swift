import CCapstone
import Code

/// Moments inside a handshake that hidden functions show, by what only they refer to.
struct HandshakeMoments {
    let code: CodeReader
    let marks: CodeMarks

    /// `SSL_R_NO_APPLICATION_PROTOCOL`, which `ssl_negotiate_alpn` reports where the application's callback wants it.
    static let noProtocol: UInt32 = 307

    /// Behind a server's call of the callback that `SSL_CTX_set_alpn_select_cb` sets: the protocol is decided there.
    func decision() -> (site: UInt64, object: ObjectPlace?)? {
        let found = marks.beginnings(of: marks.errors[Self.noProtocol] ?? []).compactMap(decision)
        return found.count == 1 ? found.first : nil
    }

    private func decision(in function: UInt64) -> (site: UInt64, object: ObjectPlace?)? {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.stepLimit = 2000
        interpreter.mergesPaths = true
        let walk = interpreter.walk(function)
        // The callback of the context's, or one that the library has for want of it, of the connection: a place for the protocol
        // and one for its length, both the caller's.
        let calls = walk.arguments.filter { address, arguments in
            guard let first = arguments[0].field, first.root == 0, first.offsets == [0], first.width == 8,
                case .stack = arguments[1], case .stack = arguments[2]
            else { return false }
            return code.instruction(at: address)?.directTarget == nil
        }.keys
        guard calls.count == 1, let call = calls.first, let instruction = code.instruction(at: call),
            let site = emulated(behind: instruction.end)
        else { return nil }
        if let held = Register.first(of: walk.passed[site] ?? 0) {
            return (site, ObjectPlace.memory(ObjectPlace(register: UInt8(held))))
        }
        return (site, connection(handedTo: call, in: function, until: site).map { ObjectPlace(register: UInt8($0)) })
    }

    /// The register that a call's first argument was copied from, where it still holds that at the site.
    private func connection(handedTo call: UInt64, in function: UInt64, until site: UInt64) -> Int? {
        let body = code.instructions(in: function..<site, limit: 4000)
        guard
            let copied = body.last(where: { $0.address < call && $0.written >> UInt16(Register.parameters[0]) & 1 != 0 }
            ),
            copied.kind == TLSWATCH_OP_MOV, copied.second.isRegister, copied.second.width == 8,
            !Register.clobbered.contains(Int(copied.second.reg)),
            !body.contains(where: { $0.address > copied.address && $0.written >> UInt16(copied.second.reg) & 1 != 0 })
        else { return nil }
        return Int(copied.second.reg)
    }

    /// Instructions from the call to the one under the probe.
    private static let reach = 12

    /// The first instruction from here on that the kernel emulates, as long as the code is straight.
    private func emulated(behind start: UInt64) -> UInt64? {
        var address = start
        for _ in 0..<Self.reach {
            guard let instruction = code.instruction(at: address), instruction.kind != TLSWATCH_OP_RET else {
                return nil
            }
            if SiteChooser.isEmulated(instruction) { return address }
            address = instruction.end
        }
        return nil
    }

    /// The label of the master secret's derivation, which one function of libssl has.
    private static let label = "extended master secret"

    /// `tls1_generate_master_secret`: below TLS 1.3 the peer's share has been read and used. Its parameter is the handshake.
    func masterSecret() -> UInt64? {
        var labels: [UInt64] = []
        DataSearch.findAddresses(code.file, Self.label, limit: 64 << 20) { address in
            labels.append(address)
            return labels.count >= 8
        }
        guard !labels.isEmpty else { return nil }
        var places: [UInt64] = []
        // `lea register, [rip + distance]`: the byte behind the opcode says which register.
        CodeSearch.visit(code.file, opcode: 0x8d) { address, number in
            guard number & 0xc7 == 5 else { return }
            let distance = number >> 8
            for label in labels where UInt32(truncatingIfNeeded: label &- address &- 6) & 0xff_ffff == distance {
                places.append(address)
            }
        }
        let references = places.filter { refers($0, labels) }
        let beginnings = marks.beginning(of: references)
        let functions = Set(beginnings.values)
        if functions.count == 1 { return functions.first }
        // Whoever looks for the label has it, too; the derivation's sixth parameter is the label.
        let handed = Set(references.filter(hands).compactMap { beginnings[$0] })
        return handed.count == 1 ? handed.first : nil
    }

    private static let sixth = Register.parameters[5]

    private func hands(_ opcode: UInt64) -> Bool {
        code.instruction(at: opcode - 1).map { $0.first.isRegister && Int($0.first.reg) == Self.sixth } ?? false
    }

    private func refers(_ opcode: UInt64, _ labels: [UInt64]) -> Bool {
        guard opcode > 0, let instruction = code.instruction(at: opcode - 1), instruction.kind == TLSWATCH_OP_LEA,
            instruction.second.rip_relative
        else { return false }
        return labels.contains(UInt64(bitPattern: instruction.second.value))
    }
}
