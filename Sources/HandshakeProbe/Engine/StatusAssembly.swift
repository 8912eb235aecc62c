import Handshakes
import Kernel

extension StatusSnapshot {
    /// The sessions' part with what the engine knows of the host.
    init(
        _ sessions: SessionStatus, uptime: UInt64, inFlight: UInt64, lost: UInt64, coverage: CoverageSample,
        libraries: [ObservedLibrary]
    ) {
        var observed: UInt64 = 0
        var unobserved: [String: UInt64] = [:]
        for sample in coverage.processes where sample.count > 0 {
            switch sample.state {
            case .observed: observed &+= sample.count
            case .unobserved: unobserved[sample.reason ?? Label.unknown, default: 0] &+= sample.count
            }
        }
        self.init(
            wallTime: Int64(bitPattern: monotonicNow()) &+ wallClockOffset(), uptime: uptime / 1_000_000_000,
            window: sessions.window, incomplete: sessions.incomplete, figures: sessions.figures, ended: sessions.ended,
            inFlight: inFlight, slowest: sessions.slowest, libraries: libraries.map(Library.init),
            observedProcesses: observed, unobservedProcesses: unobserved, lost: lost)
    }
}

extension StatusSnapshot.Library {
    fileprivate init(_ library: ObservedLibrary) {
        self.init(
            stack: library.stack, path: library.path, version: library.version, processes: library.processes.count,
            unobserved: nil, detail: nil)
        switch library.state {
        case .attached: break
        case .unobserved(let reason, let text):
            unobserved = reason.rawValue
            detail = text
        case .detached(let text):
            unobserved = UnobservedReason.sanityCheckFailed.rawValue
            detail = text
        }
    }
}
