import Handshakes

/// What the session table needs to know of a library: looked up by the record's profile index.
///
/// A class: each record looks it up, and to copy all that it has costs more than the rest of the look.
final class ProfileEntry: Sendable {
    let rules: SessionRules
    let implementation: HandshakeImplementation
    var stack: String { implementation.stack }
    var library: String { implementation.library }
    var version: String? { implementation.version }
    /// As `LibraryAnalysis.identity`.
    let identity: [KernelStates.Test]
    /// As `LibraryAnalysis.reasons`.
    let reasons: [Int32: String]

    init(
        rules: SessionRules, stack: String, library: String, version: String?, identity: [KernelStates.Test] = [],
        reasons: [Int32: String] = [:]
    ) {
        self.rules = rules
        implementation = HandshakeImplementation(stack: stack, library: library, version: version)
        self.identity = identity
        self.reasons = reasons
    }
}

/// How often a library's records made sense.
struct ProfileHealth: Equatable {
    var plausible = 0
    var implausible = 0
    /// Whether a handshake waited whose socket is not known: what ends it is not seen there.
    var hasUnknownSockets = false

    /// The first sessions of the library read nothing plausible: its probes are to be detached, not believed.
    var isWrong: Bool { implausible >= 3 && implausible > plausible }
}
