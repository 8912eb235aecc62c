/// How a library or binary is observed.
public enum LibraryState: Sendable, Equatable {
    case attached
    /// Not probed at all, and why.
    case unobserved(reason: UnobservedReason, detail: String)
    /// Was probed; its first sessions did not make sense.
    case detached(detail: String)
}

/// Why something that holds TLS is not observed. The raw value is the metric's `reason` label.
public enum UnobservedReason: String, Sendable, Codable {
    case permission
    case noCheapSite = "no_cheap_site"
    case analysisFailed = "analysis_failed"
    case sanityCheckFailed = "sanity_check_failed"
    case attachFailed = "attach_failed"
    case tooManyLibraries = "too_many_libraries"
}

/// A file of a TLS stack that was found, and what became of it.
public struct ObservedLibrary: Sendable {
    /// The profile's index in the kernel; 0 where there is none.
    public var profile: Int
    public var path: String
    public var identity: FileIdentity
    public var analysis: LibraryAnalysis?
    public var state: LibraryState
    /// The probes in place.
    public var sites: [ProbeSite] = []
    /// Sites left out, and why.
    public var omitted: [String] = []
    /// Processes that mapped it at the last sweep.
    public var processes: [UInt32] = []

    public var stack: String { analysis?.stack ?? "unknown" }
    public var version: String? { analysis?.version }
}
