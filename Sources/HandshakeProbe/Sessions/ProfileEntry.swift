/// What the session table needs to know of a library: looked up by the record's profile index.
struct ProfileEntry: Sendable {
    var rules: SessionRules
    var stack: String
    var library: String
    var version: String?
    /// As `LibraryAnalysis.identity`.
    var identity: [KernelStates.Test] = []
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
