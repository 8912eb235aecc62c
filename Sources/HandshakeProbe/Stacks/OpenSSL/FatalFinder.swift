import CCapstone

/// Finds `ossl_statem_fatal`, the function through which every handshake failure passes: it
/// reports the error, and then marks the message flow as failed.
struct FatalFinder {
    let code: CodeReader
    let symbols: [String: ELFSymbol]
    /// Offset of the message-flow state in the connection.
    let flowState: Int32?

    struct Result {
        var address: UInt64
        /// The 1.1.1 form: (s, alert, function, reason, file, line).
        var namesFunction: Bool
    }

    /// MSG_FLOW_ERROR.
    private static let failed: Int64 = 1
    /// Larger code is not searched: programs of that size name the function.
    private static let codeLimit: UInt64 = 16 << 20
    /// Calls and functions looked at: several times what the library has (1.1.1: 307 calls).
    private static let callLimit = 4000
    private static let candidateLimit = 500
    /// A function of about 250 bytes.
    private static let stepLimit = 300

    func find() -> Result? {
        // OpenSSL 3 reports through ERR_vset_error; where that exists, ERR_put_error is only for applications.
        let modern =
            symbols["ERR_vset_error"] != nil || !code.file.importSlots(of: "ERR_vset_error").isEmpty
        if let symbol = symbols["ossl_statem_fatal"] {
            return Result(address: symbol.address, namesFunction: !modern)
        }
        let reporter = modern ? "ERR_vset_error" : "ERR_put_error"
        let callers = functionsCalling(reporter)
        // One that reports more than once is another kind of function.
        let candidates = callers.filter { $0.value == 1 }.map(\.key).sorted().prefix(Self.candidateLimit)
        let marking = candidates.filter { marksFailure($0, depth: modern ? 1 : 0) }
        guard marking.count == 1, let function = marking.first else { return nil }
        return Result(address: function, namesFunction: !modern)
    }

    /// Functions that call `name`, directly, through its PLT stub or through its slot; with the number of calls.
    private func functionsCalling(_ name: String) -> [UInt64: Int] {
        let slots = Set(code.file.importSlots(of: name))
        var targets: Set<UInt64> = []
        if let own = code.file.symbol(name) { targets.insert(own.address) }
        var calls: [UInt64] = []
        let areas = code.file.codeRanges.filter { $0.upperBound - $0.lowerBound <= Self.codeLimit }
        let texts = areas.map { area in
            (area.lowerBound, code.file.bytes(at: area.lowerBound, upTo: Int(area.upperBound - area.lowerBound)))
        }
        if !slots.isEmpty {
            for (start, bytes) in texts {
                Self.scan(bytes, first: 0xff, length: 6) { offset, second, distance in
                    let address = start &+ UInt64(offset)
                    guard slots.contains(address &+ 6 &+ distance) else { return }
                    if second == 0x15 { calls.append(address) }
                    // A stub: `jmp *slot`, with endbr64 or bnd before it.
                    if second == 0x25 { targets.formUnion([address, address &- 1, address &- 4, address &- 5]) }
                }
            }
        }
        for (start, bytes) in texts where !targets.isEmpty {
            Self.scan(bytes, first: 0xe8, length: 5) { offset, _, distance in
                let address = start &+ UInt64(offset)
                if targets.contains(address &+ 5 &+ distance) { calls.append(address) }
            }
        }
        return calls.prefix(Self.callLimit).reduce(into: [:]) { counts, call in
            guard let function = code.file.functionExtent(containing: call) else { return }
            counts[function.lowerBound, default: 0] += 1
        }
    }

    /// Visits each place with the opcode byte `first` and a 32-bit distance at the instruction's end.
    private static func scan(_ bytes: [UInt8], first: UInt8, length: Int, visit: (Int, UInt8, UInt64) -> Void) {
        let span = bytes.span
        var offset = 0
        while offset <= span.count - length {
            if span[offset] == first, let distance: UInt32 = span.integer(at: offset + length - 4) {
                visit(offset, span[offset + 1], UInt64(bitPattern: Int64(Int32(bitPattern: distance))))
            }
            offset += 1
        }
    }

    /// Whether the function, or one that it passes its object to, stores MSG_FLOW_ERROR.
    private func marksFailure(_ function: UInt64, depth: Int) -> Bool {
        guard let flowState else { return false }
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.stepLimit = Self.stepLimit
        for event in interpreter.run(function) {
            switch event {
            case .stored(let place, .constant(1)):
                if place.root == 0, place.count == 0, place.displacement == flowState { return true }
            case .called(.constant(let target), let arguments), .jumpedOut(.constant(let target), let arguments):
                if depth > 0, arguments[0] == .place(Place(root: 0), width: 0), code.file.isCode(target),
                    marksFailure(target, depth: depth - 1)
                {
                    return true
                }
            default: break
            }
        }
        return false
    }
}
