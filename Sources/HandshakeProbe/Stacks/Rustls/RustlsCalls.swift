import CCapstone
import Code

/// The functions around rustls's states: what sends a message, and what takes a connection's input and keeps the error that
/// it failed with.
struct RustlsCalls {
    /// A call that copies the error of a connection that has failed; its second parameter is the error.
    struct Failure: Equatable {
        var call: UInt64
        /// What has, at the call, an address in the connection, and how many bytes behind its beginning.
        var object: ValuePlace
        var bytes: UInt16
    }

    /// What sends a message: one; of a program that has another copy of rustls inside, one more. And where it is called.
    let sends: [(function: UInt64, calls: [UInt64])]
    let failures: [Failure]
    private let code: CodeReader

    private static let handleLimit = 60_000
    private static let smallestSend: UInt64 = 0x200
    private static let fewestSends = 10

    /// - Parameter isConfusable: whether the file holds another release whose connections' input would be taken for this one's.
    init(
        _ code: CodeReader, _ states: RustlsStates, _ release: RustlsRelease, isConfusable: Bool
    ) throws(AnalysisError) {
        self.code = code
        sends = Self.sends(code, states).map {
            ($0, CodeSearch.calls(code.file, of: $0, throughTables: true))
        }
        guard !sends.isEmpty else {
            throw AnalysisError("it holds rustls, and the function that sends a message is not found")
        }
        let takers = Self.takers(code, states, sends, release, isConfusable: isConfusable)
        guard !takers.isEmpty else {
            throw AnalysisError("it holds rustls, and the function that takes a connection's input is not found")
        }
        guard takers.allSatisfy({ $0.placeholder == release.notComplete }) else {
            throw AnalysisError("it holds rustls, and its errors have other numbers than those of \(release.version)")
        }
        failures = takers.flatMap(\.failures)
        guard takers.allSatisfy({ !$0.failures.isEmpty }) else {
            throw AnalysisError("it holds rustls, and the place where a connection's failure is kept is not found")
        }
    }

    /// Those that take a connection's input: most send alerts themselves; others are told by what they store in it, also where
    /// they are inlined in another function.
    private static func takers(
        _ code: CodeReader, _ states: RustlsStates, _ sends: [(function: UInt64, calls: [UInt64])],
        _ release: RustlsRelease, isConfusable: Bool
    ) -> [RustlsInput] {
        let callers = Set(sends.flatMap(\.calls).compactMap(code.file.functionExtent))
        // Most have the methods' calls inlined: up to 0.22 a state's last one is called elsewhere.
        let both = [0, states.methods - 1].map { Int64(states.firstMethod + 8 * $0) }
        let isOld = release.series < 23
        let context = RustlsInput.Context(
            code: code, sends: Set(sends.map(\.function)), notComplete: release.notComplete)
        var found: [RustlsInput] = []
        if !isOld { found = callers.compactMap { RustlsInput(context, $0, calling: both) } }
        var inlined: [(extent: Range<UInt64>, place: UInt64)] = []
        for (extent, place) in placeholders(code, release) where !found.contains(where: { $0.extent == extent }) {
            guard !isConfusable || callers.contains(extent) else { continue }
            if place - extent.lowerBound <= beginning, let input = RustlsInput(context, extent, calling: []),
                !input.failures.isEmpty
            {
                found.append(input)
            } else {
                inlined.append((extent, place))
            }
        }
        // Whether a register has the connection's own address there, the others tell, or what it sends.
        let places = Set(found.map(\.state))
        found += inlined.compactMap { extent, place in
            RustlsInput(context, extent, inlinedAt: place, states: places, sends: callers.contains(extent)).flatMap {
                $0.failures.isEmpty ? nil : $0
            }
        }
        let handles = Set(states.waiting.map(\.handle))
        return found.filter { !handles.contains($0.extent.lowerBound) }
            .sorted { $0.extent.lowerBound < $1.extent.lowerBound }
    }

    /// Where a function stores the error's placeholder behind a register, far from it: the first place of each.
    private static func placeholders(_ code: CodeReader, _ release: RustlsRelease) -> [Range<UInt64>: UInt64] {
        var found: [Range<UInt64>: UInt64] = [:]
        // mov byte [register + disp32], imm8: the number behind the opcode has ModRM and three bytes of the displacement.
        CodeSearch.visit(code.file, opcode: 0xc6) { address, number in
            guard number & 0xf8 == 0x80, let rest = code.file.bytes(at: address &+ 5, count: 2), rest[0] == 0,
                Int64(rest[1]) == release.notComplete, let extent = code.file.functionExtent(containing: address)
            else { return }
            found[extent] = min(found[extent] ?? .max, address)
        }
        return found
    }

    /// Bytes of a function that are its beginning.
    private static let beginning: UInt64 = 0x80

    /// The functions that the states' methods call most, of those that are no mere cleanup: of each copy of rustls one.
    private static func sends(_ code: CodeReader, _ states: RustlsStates) -> [UInt64] {
        var found: [UInt64] = []
        var fewest = fewestSends
        // By connected states, how often they call what.
        var left = states.connected.map { handles in
            handles.reduce(into: [UInt64: Int]()) { calls, handle in
                guard let extent = code.file.functionExtent(containing: handle) else { return }
                for instruction in code.instructions(in: extent, limit: handleLimit) {
                    if let target = code.callee(of: instruction) { calls[target, default: 0] += 1 }
                }
            }
        }
        while true {
            let calls = left.reduce(into: [UInt64: Int]()) { $0.merge($1, uniquingKeysWith: +) }
            let likely = calls.filter { target, count in
                guard count >= fewest, let extent = code.file.functionExtent(containing: target) else { return false }
                return extent.lowerBound == target && extent.upperBound - extent.lowerBound >= smallestSend
                    && takesThird(code, extent)
            }
            guard let send = likely.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return found }
            found.append(send.key)
            // Another copy's states have nothing to do with these, are as many, and call their own.
            fewest = max(fewestSends, send.value / 2)
            left.removeAll { $0[send.key] != nil }
        }
    }

    /// Whether a function looks at its third parameter at its beginning: whether what it sends must be encrypted.
    private static func takesThird(_ code: CodeReader, _ extent: Range<UInt64>) -> Bool {
        let third = UInt8(Register.parameters[2])
        for instruction in code.instructions(in: extent, limit: head) {
            if instruction.second.isRegister, instruction.second.reg == third { return true }
            if instruction.first.isRegister, instruction.first.reg == third,
                [TLSWATCH_OP_TEST, TLSWATCH_OP_CMP, TLSWATCH_OP_PUSH].contains(instruction.kind)
            {
                return true
            }
            if instruction.kind == TLSWATCH_OP_CALL || instruction.written >> UInt16(third) & 1 != 0 { return false }
        }
        return false
    }

    /// Instructions of a function that are its beginning.
    private static let head = 48

    /// Where the states before the traffic's make one of these: once in each handshake that is completed.
    func completions(_ states: RustlsStates) throws(AnalysisError) -> [UInt64] {
        var found: [UInt64] = []
        for state in states.waiting {
            let makes = (states.addresses[state.handle] ?? []).filter { states.traffic.contains($0.target) }
            guard !makes.isEmpty, let extent = code.file.functionExtent(containing: state.handle) else { continue }
            let graph = FunctionGraph(code, extent)
            let events = makes.compactMap { graph.index(of: $0.at) }
            if let site = graph.site(for: events, within: Self.reach) {
                found.append(site)
                continue
            }
            for event in events {
                guard let site = graph.site(for: [event], within: Self.reach) else {
                    throw AnalysisError("it holds rustls, and no cheap place tells that its handshake is complete")
                }
                found.append(site)
            }
        }
        guard !found.isEmpty else {
            throw AnalysisError("it holds rustls, and the end of its handshake is not found")
        }
        return found
    }

    private static let reach = 200
}

extension CodeReader {
    /// The function that an instruction calls, also by way of the table of addresses that the loader fills.
    func callee(of instruction: Instruction) -> UInt64? {
        guard instruction.kind == TLSWATCH_OP_CALL else { return nil }
        if let target = instruction.directTarget { return target }
        guard instruction.first.isMemory, instruction.first.rip_relative else { return nil }
        return file.pointer(at: UInt64(bitPattern: instruction.first.value))
    }
}
