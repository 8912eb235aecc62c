import Handshakes
import Kernel

/// How a library or binary is observed.
package enum LibraryState: Sendable, Equatable {
    case attached
    /// Not probed at all, and why.
    case unobserved(reason: UnobservedReason, detail: String)
    /// Was probed; its first sessions did not make sense.
    case detached(detail: String)
}

/// Why something that holds TLS is not observed. The raw value is the metric's `reason` label.
package enum UnobservedReason: String, Sendable, Codable {
    /// The kernel refused the probes for want of a capability.
    case permission
    /// It may not be read: what it holds is not known.
    case unreadable
    /// Its file system does not answer: what it holds is not known. Looked at again later.
    case fileSystemHangs = "file_system_hangs"
    /// A TLS stack that is recognised and not supported yet.
    case unsupportedStack = "unsupported_stack"
    /// A program made by a release of Go that is too old to be read.
    case goTooOld = "go_too_old"
    /// A 32-bit program or library of a TLS stack.
    case thirtyTwoBit = "32_bit"
    case noCheapSite = "no_cheap_site"
    case analysisFailed = "analysis_failed"
    case sanityCheckFailed = "sanity_check_failed"
    case attachFailed = "attach_failed"
    /// It was written over in place while it was probed.
    case fileModified = "file_modified"
    case tooManyLibraries = "too_many_libraries"
    /// No library: a process that maps files which could not be opened, since descriptors had run out.
    case noDescriptors = "no_descriptors"
    /// No library: a process that holds connections on a port of TLS and maps no TLS stack that is known.
    case noKnownLibrary = "no_known_library"
}

/// A file of a TLS stack that was found, and what became of it.
package struct ObservedLibrary: Sendable {
    /// The profile's index in the kernel; 0 where there is none.
    package var profile: Int
    package var path: String
    var inode: MappedInode
    /// As stat(2) tells it where it was found.
    var identity: FileIdentity
    package var analysis: LibraryAnalysis?
    /// When the file had changed last, as `OpenFile.changed`, when it was analysed.
    var changed = 0
    package var state: LibraryState
    /// What is to be probed, in the order of the places in the kernel's map.
    var chosen: [ProbeSite] = []
    /// Hooks whose probes wait until they are needed.
    var deferred: Set<HookKind> = []
    /// The probes in place.
    package var sites: [ProbeSite] { chosen.filter { !deferred.contains($0.hook) } }
    /// What the profile's counter of hits stood at before the first of them was in place.
    var hitsBefore: UInt64 = 0
    /// Sites left out, and why.
    package var omitted: [String] = []
    /// Processes that map it.
    package var processes: Set<UInt32> = []

    /// That a process had it mapped before it was probed; until that is noted.
    var late: LateProbes?

    /// The forks in the file that are probed as well.
    var forks: [ObservedFork] = []
    /// The name of a stack that is recognised without being observed.
    var unobservedStack: String?
    /// Of the libcrypto beside a libssl, which is no library of its own to anybody: its profile and its probes.
    var companionProfiles: [Int] = []
    var companionSites: [ProbeSite] = []

    package var stack: String { analysis?.stack ?? unobservedStack ?? "unknown" }
    /// What the libcrypto beside a libssl tells.
    var companionVersion: String?
    /// How transport objects are read, from there too.
    var companionTransport: TransportLayout?
    package var version: String? { analysis?.version ?? companionVersion }

    /// Every profile whose hits and records are this library's.
    var profiles: [Int] { [profile] + forks.map(\.profile) + companionProfiles }
    /// Every probe in place.
    var allSites: [ProbeSite] { forks.reduce(sites) { $0 + $1.chosen } + companionSites }
}

/// A fork of a library in the same file (`LibraryAnalysis.forks`), with the profile that it is probed under.
struct ObservedFork: Sendable {
    var profile: Int
    var analysis: LibraryAnalysis
    var chosen: [ProbeSite]
    /// As of `ObservedLibrary`.
    var hitsBefore: UInt64

    /// As the consumer of its records is told of it.
    func library(of owner: ObservedLibrary) -> ObservedLibrary {
        var library = owner
        (library.profile, library.analysis, library.chosen, library.hitsBefore) = (
            profile, analysis, chosen, hitsBefore
        )
        library.forks = []
        return library
    }
}

/// Probes that came after a process had mapped the library: what it did before is not known.
struct LateProbes: Sendable {
    /// How long after; `nil` where that is not known.
    var nanoseconds: UInt64?
}

extension ObservedLibrary {
    /// What stands for all files that are too many to be told one by one.
    static func others(limit: Int) -> ObservedLibrary {
        ObservedLibrary(
            profile: 0, path: Label.other, inode: MappedInode(device: 0, inode: 0, generation: 0, size: 0),
            identity: FileIdentity(device: 0, inode: 0, origin: .change(0)),
            state: .unobserved(reason: .tooManyLibraries, detail: "more than \(limit) files of TLS stacks"))
    }
}
