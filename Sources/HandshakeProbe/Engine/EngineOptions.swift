import Glibc
import Handshakes
import Kernel

/// Of which programs handshakes are seen from packets.
package enum WireMode: String, Sendable, CaseIterable {
    case off
    /// Those with connections on ports of TLS that no library is observed of.
    case unobserved
    case all
}

/// What to observe and how.
package struct EngineOptions: Sendable {
    /// The release, for recordings and `tlswatch_build_info`.
    package var version: String
    /// The commit that it was built from, for `tlswatch_build_info`; `nil` where that is not known.
    package var revision: String?
    /// Forces a rung of the probe ladder; `nil` takes the best there is.
    package var rung: ProbeRung?
    /// How much is measured inside a handshake (`--phases`): one of them.
    package var phases = Phases.on
    /// Whether the end of TLS objects is probed only in libraries in which a session waited without a known socket: the
    /// others' sessions end with their sockets. Spares a hit an object; the first sessions without a socket may end later
    /// than their objects did.
    package var defersObjectFree = false
    /// Of which programs handshakes are seen from packets (`--wire`).
    package var wire = WireMode.off
    /// Nanoseconds without an event after which a session times out.
    package var handshakeTimeout: UInt64 = 60_000_000_000
    /// Windows, extra labels, exemplars and limits of the metrics.
    package var metrics = MetricsRegistry.Options()
    /// Nanoseconds between two looks at all processes, behind the stream of what they map.
    package var sweepInterval: UInt64 = 30_000_000_000
    /// Sessions in flight at most; past it the one idle longest ends.
    package var maxSessions = 65536
    /// Files that are probed at once, at most `LibraryLimit.most`; past it the one without a process longest is let go.
    package var maxLibraries = LibraryLimit.most
    /// Bytes of the ring buffer; a power of two. A session's records take 1,250 bytes (a non-blocking handshake of two calls
    /// with its socket, name and transport): 100 ms without a consumer, behind the 20 ms between two drains, are 1.5 MB at
    /// 10,000 handshakes a second. The ring is mapped twice, and counts twice in the resident memory.
    package var ringBytes: UInt32 = 2 << 20
    /// Only these processes and their children; empty observes all.
    package var processes: [UInt32] = []
    /// Only these files; empty looks for them.
    package var libraries: [String] = []
    /// Files that a command will run, looked at before it starts.
    package var commandFiles: [String] = []
    /// Whether `LibraryCatalog.sightings` will be asked for.
    package var notesSightings = false
    /// Whether the thread that makes the engine gives up the capabilities that observing does not need, for itself and
    /// what it starts from then on.
    package var leastPrivilege = false
    /// Whether the last failed and slow sessions are kept (`EngineSnapshot.recent`).
    package var keepsRecent = false
    /// Where to write the raw event stream; `nil` does not.
    package var recording: String?

    /// The TLS stacks that are looked for.
    package var stacks = TLSStacks.builtIn

    package init(version: String, revision: String? = nil) {
        self.version = version
        self.revision = revision
    }

    /// Of the metrics' windows, nanoseconds.
    var longestWindow: UInt64 {
        metrics.windows.map(\.nanoseconds).max() ?? WindowLength(seconds: 60).nanoseconds
    }

    /// Observes what this process starts from now on, which is to be `executable`, and its children.
    package mutating func observe(command executable: String) {
        processes = [UInt32(getpid())]
        commandFiles = CommandFiles.chain(executable)
    }
}

extension CatalogOptions {
    init(_ options: EngineOptions) {
        self.init(
            phases: options.phases, defersObjectFree: options.defersObjectFree, readsRandom: options.wire != .off,
            maxLibraries: options.maxLibraries, processes: options.processes,
            notesSightings: options.notesSightings, stacks: options.stacks)
    }
}
