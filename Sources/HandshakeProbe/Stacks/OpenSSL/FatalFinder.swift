import CCapstone
import Code

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
    /// Functions looked at: several times what the library has.
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
        let callers = CallFinder(file: code.file).functionsCalling(reporter)
        // One that reports more than once is another kind of function.
        let candidates = callers.filter { $0.value == 1 }.map(\.key).sorted().prefix(Self.candidateLimit)
        let marking = candidates.filter { marksFailure($0, depth: modern ? 1 : 0) }
        guard marking.count == 1, let function = marking.first else { return nil }
        return Result(address: function, namesFunction: !modern)
    }

    /// `SSL_AD_INTERNAL_ERROR`, which the state machine itself reports.
    private static let internalError: UInt64 = 80

    /// For files without names: the function to which the state machine hands its object, an internal error and a
    /// reason, and which marks the handshake as failed.
    func reportedTo(by stateMachine: UInt64) -> Result? {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.visitLimit = 4
        var targets: Set<UInt64> = []
        for case .called(.constant(let target), let arguments) in interpreter.run(stateMachine)
        where arguments[1] == .constant(Self.internalError) && arguments[0] == .place(Place(root: 0), width: 0) {
            // The reason is a constant too; up to 1.1.1 a code of the calling function stands in its place.
            if case .constant = arguments[2], code.file.isCode(target), marksFailure(target, depth: 1) {
                targets.insert(target)
            }
        }
        guard targets.count == 1, let target = targets.first else { return nil }
        return Result(address: target, namesFunction: false)
    }

    /// From 3.2 on the record layer reports its own errors, with an alert or without (`ossl_rlayer_fatal(rl, alert,
    /// reason, format, …)`): it keeps the alert in its object, and marks no handshake. `nil` where there is none.
    func recordLayerFatal(besides fatal: UInt64) -> UInt64? {
        if let symbol = symbols["ossl_rlayer_fatal"] { return symbol.address }
        guard symbols["ossl_statem_fatal"] == nil else { return nil }
        let callers = CallFinder(file: code.file).functionsCalling("ERR_vset_error")
        let candidates = callers.filter { $0.value == 1 && $0.key != fatal }.map(\.key).sorted()
            .prefix(Self.candidateLimit).filter(keepsAlert)
        return candidates.count == 1 ? candidates.first : nil
    }

    /// Whether the function stores its second parameter in its object, and hands its third to the error queue.
    private func keepsAlert(_ function: UInt64) -> Bool {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.stepLimit = Self.stepLimit
        let marker: UInt64 = 0x5a
        return interpreter.run(function, parameters: [1: .constant(marker)]).contains { event in
            if case .stored(let place, .constant(marker)) = event { return place.root == 0 && place.count == 0 }
            return false
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
