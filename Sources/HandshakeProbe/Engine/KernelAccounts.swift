import CEvents
import Code
import Handshakes

/// The BPF programs, as `enum tlswatch_program` numbers them.
enum KernelProgram: Int, CaseIterable {
    case enter, leave, socketState, socketSend, socketReceive, processExec, processExit, processFork

    var label: String {
        switch self {
        case .enter: "tls_enter"
        case .leave: "tls_return"
        case .socketState: "socket_state"
        case .socketSend: "socket_send"
        case .socketReceive: "socket_receive"
        case .processExec: "process_exec"
        case .processExit: "process_exit"
        case .processFork: "process_fork"
        }
    }

    var isTracepoint: Bool { self != .enter && self != .leave }
}

/// Why a hit made no record, as `enum tlswatch_drop` numbers it.
enum KernelDrop: String, CaseIterable {
    case ringFull = "ring_full"
    case noMemory = "no_memory"
    case outsideHandshake = "outside_handshake"
    case sizeQuery = "size_query"
    case otherProcess = "other_process"
    case disabled
    case noted

    /// Whether an event was lost; the other hits need none.
    var isLoss: Bool { self == .ringFull || self == .noMemory }
}

extension KernelCounters {
    init(_ counters: [tlswatch_counters], decoder: EventDecoder) {
        self.init()
        for program in KernelProgram.allCases where program.rawValue < counters.count {
            let counter = counters[program.rawValue]
            submitted.append(.init(program: program.label, count: counter.submitted))
            let drops = [
                counter.dropped.0, counter.dropped.1, counter.dropped.2, counter.dropped.3, counter.dropped.4,
                counter.dropped.5, counter.dropped.6,
            ]
            for (reason, count) in zip(KernelDrop.allCases, drops) {
                let entry = Unsubmitted(program: program.label, reason: reason.rawValue, count: count)
                if reason.isLoss {
                    dropped.append(entry)
                } else if count > 0 {
                    skipped.append(entry)
                }
            }
        }
        for (reason, count) in zip(Rejection.allCases, decoder.rejected) {
            rejected.append(.init(reason: reason.rawValue, count: count))
        }
        decoded = decoder.decoded
    }
}

extension CoverageSample {
    /// What is probed, and the processes that map it.
    mutating func add(_ libraries: [ObservedLibrary], uncovered: UncoveredProcesses) {
        var observed: Set<UInt32> = []
        var missed: [String: Set<UInt32>] = [:]
        for library in libraries {
            switch library.state {
            case .attached:
                let sites = library.sites + library.companionSites
                for mode in [SiteMode.emulated, .singleStep] {
                    let count = sites.count { $0.mode == mode }
                    if count > 0 || mode == .emulated { addProbes(library, mode.rawValue, count) }
                }
                observed.formUnion(library.processes)
            case .unobserved(let reason, _):
                addProbes(library, reason.rawValue, 0)
                missed[reason.rawValue, default: []].formUnion(library.processes)
            case .detached:
                addProbes(library, "detached", 0)
                missed[UnobservedReason.sanityCheckFailed.rawValue, default: []].formUnion(library.processes)
            }
            if !library.omitted.isEmpty { addProbes(library, "omitted", library.omitted.count) }
        }
        processes.append(.init(state: .observed, reason: nil, count: UInt64(observed.count)))
        var counts = missed.mapValues { UInt64($0.subtracting(observed).count) }
        for (reason, count) in uncovered.byReason { counts[reason.rawValue, default: 0] += UInt64(count) }
        for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
            processes.append(.init(state: .unobserved, reason: reason, count: count))
        }
    }

    /// A file that was replaced has the name of the one before it: one series for both.
    private mutating func addProbes(_ library: ObservedLibrary, _ state: String, _ count: Int) {
        let same = probes.firstIndex { ($0.stack, $0.library, $0.state) == (library.stack, library.path, state) }
        if let same {
            probes[same].count &+= UInt64(count)
        } else {
            probes.append(.init(stack: library.stack, library: library.path, state: state, count: UInt64(count)))
        }
    }
}
