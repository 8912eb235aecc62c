import Kernel
import CEvents
import Code
import Handshakes

/// The BPF programs: `enum tlswatch_program`.
enum KernelProgram: CaseIterable {
    case enter, leave, socketState, socketSend, socketReceive, processExec, processExit, processFork, wire

    var number: tlswatch_program {
        switch self {
        case .enter: TLSWATCH_PROGRAM_ENTER
        case .leave: TLSWATCH_PROGRAM_RETURN
        case .socketState: TLSWATCH_PROGRAM_SOCKET_STATE
        case .socketSend: TLSWATCH_PROGRAM_SOCKET_SEND
        case .socketReceive: TLSWATCH_PROGRAM_SOCKET_RECEIVE
        case .processExec: TLSWATCH_PROGRAM_PROCESS_EXEC
        case .processExit: TLSWATCH_PROGRAM_PROCESS_EXIT
        case .processFork: TLSWATCH_PROGRAM_PROCESS_FORK
        case .wire: TLSWATCH_PROGRAM_WIRE
        }
    }

    /// Its own among the counters of all programs; `nil` where there are none, as in a replay.
    func counters(among all: [tlswatch_counters]) -> tlswatch_counters? {
        let index = Int(number.rawValue)
        return index < all.count ? all[index] : nil
    }

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
        case .wire: "wire"
        }
    }

    var isTracepoint: Bool { self != .enter && self != .leave }
}

/// Why a hit made no record: `enum tlswatch_drop`. The raw value is the metric's `reason` label.
enum KernelDrop: String, CaseIterable {
    case ringFull = "ring_full"
    case noMemory = "no_memory"
    case outsideHandshake = "outside_handshake"
    case sizeQuery = "size_query"
    case otherProcess = "other_process"
    case disabled
    case noted
    case collision

    var number: tlswatch_drop {
        switch self {
        case .ringFull: TLSWATCH_DROP_RING_FULL
        case .noMemory: TLSWATCH_DROP_NO_MEMORY
        case .outsideHandshake: TLSWATCH_DROP_OUTSIDE_HANDSHAKE
        case .sizeQuery: TLSWATCH_DROP_SIZE_QUERY
        case .otherProcess: TLSWATCH_DROP_OTHER_PROCESS
        case .disabled: TLSWATCH_DROP_DISABLED
        case .noted: TLSWATCH_DROP_NOTED
        case .collision: TLSWATCH_DROP_COLLISION
        }
    }

    /// Whether an event was lost; the other hits need none.
    var isLoss: Bool { self == .ringFull || self == .noMemory }
}

/// How far packets are looked at: `enum tlswatch_wire_path`. The raw value is the metric's `path` label.
enum WirePath: String, CaseIterable {
    case other, old, done, plain, handshake

    var number: tlswatch_wire_path {
        switch self {
        case .other: TLSWATCH_WIRE_PATH_OTHER
        case .old: TLSWATCH_WIRE_PATH_OLD
        case .done: TLSWATCH_WIRE_PATH_DONE
        case .plain: TLSWATCH_WIRE_PATH_PLAIN
        case .handshake: TLSWATCH_WIRE_PATH_HANDSHAKE
        }
    }
}

extension WireSample {
    /// - Parameter packets: by `enum tlswatch_wire_path`.
    init(_ sessions: [WireTable.State: UInt64], packets: [UInt64], groups: Int) {
        self.init()
        self.sessions = WireTable.State.allCases.map { Count(name: $0.rawValue, count: sessions[$0] ?? 0) }
        self.packets = WirePath.allCases.map { path in
            let index = Int(path.number.rawValue)
            return Count(name: path.rawValue, count: index < packets.count ? packets[index] : 0)
        }
        self.groups = UInt64(groups)
    }
}

extension KernelCounters {
    init(_ counters: [tlswatch_counters], decoder: EventDecoder) {
        self.init()
        for program in KernelProgram.allCases {
            guard let counter = program.counters(among: counters) else { continue }
            submitted.append(.init(program: program.label, count: counter.submitted))
            for reason in KernelDrop.allCases {
                let entry = Unsubmitted(
                    program: program.label, reason: reason.rawValue, count: counter[reason.number])
                if reason.isLoss {
                    dropped.append(entry)
                } else if entry.count > 0 {
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
                let sites = library.allSites
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
