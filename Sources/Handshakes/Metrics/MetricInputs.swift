/// Counts of events on their way from the kernel programs, cumulative since the start. What was seen once must be in
/// every later sample: a series that is left out disappears.
package struct KernelCounters: Sendable, Equatable {
    package struct Submitted: Sendable, Equatable {
        package var program: String
        package var count: UInt64

        package init(program: String, count: UInt64) {
            self.program = program
            self.count = count
        }
    }

    /// Hits of a program that made no event, by reason.
    package struct Unsubmitted: Sendable, Equatable {
        package var program: String
        package var reason: String
        package var count: UInt64

        package init(program: String, reason: String, count: UInt64) {
            self.program = program
            self.reason = reason
            self.count = count
        }
    }

    package struct Rejected: Sendable, Equatable {
        package var reason: String
        package var count: UInt64

        package init(reason: String, count: UInt64) {
            self.reason = reason
            self.count = count
        }
    }

    package var submitted: [Submitted] = []
    /// Lost events.
    package var dropped: [Unsubmitted] = []
    /// Hits that need no event.
    package var skipped: [Unsubmitted] = []
    package var rejected: [Rejected] = []
    package var decoded: UInt64 = 0

    package init() {}

    /// Records that the kernel side could not deliver.
    package var lostInKernel: UInt64 { dropped.reduce(0) { $0 &+ $1.count } }

    /// Events that never became a fact.
    package var lost: UInt64 {
        lostInKernel &+ rejected.reduce(0) { $0 &+ $1.count }
    }

    var samples: [FamilySample] {
        func series(_ hits: [Unsubmitted]) -> [FamilySample.Entry] {
            hits.map { (LabelValues($0.program, $0.reason), $0.count) }
        }
        return [
            FamilySample(MetricCatalogue.events, submitted.map { (LabelValues($0.program), $0.count) }),
            FamilySample(MetricCatalogue.eventsDropped, series(dropped)),
            FamilySample(MetricCatalogue.eventsSkipped, series(skipped)),
            FamilySample(MetricCatalogue.eventsRejected, rejected.map { (LabelValues($0.reason), $0.count) }),
            FamilySample(MetricCatalogue.eventsDecoded, decoded),
        ]
    }
}

/// What is probed and observed now; hits are cumulative since the start.
package struct CoverageSample: Sendable, Equatable {
    package struct Hits: Sendable, Equatable {
        package var stack: String
        package var library: String
        package var count: UInt64

        package init(stack: String, library: String, count: UInt64) {
            self.stack = stack
            self.library = library
            self.count = count
        }
    }

    package struct Probes: Sendable, Equatable {
        package var stack: String
        package var library: String
        package var state: String
        package var count: UInt64

        package init(stack: String, library: String, state: String, count: UInt64) {
            self.stack = stack
            self.library = library
            self.state = state
            self.count = count
        }
    }

    package struct Processes: Sendable, Equatable {
        package enum State: String, Sendable {
            case observed, unobserved
        }

        package var state: State
        /// Why not; nil for observed ones.
        package var reason: String?
        package var count: UInt64

        package init(state: State, reason: String?, count: UInt64) {
            self.state = state
            self.reason = reason
            self.count = count
        }
    }

    package var probeHits: [Hits] = []
    package var probes: [Probes] = []
    package var processes: [Processes] = []
    /// Libraries without a process that made room for others, since the start.
    package var evictedLibraries: UInt64 = 0

    package init() {}

    var samples: [FamilySample] {
        [
            FamilySample(
                MetricCatalogue.probeHits, probeHits.map { (LabelValues($0.stack, $0.library), $0.count) }),
            FamilySample(
                MetricCatalogue.probes, probes.map { (LabelValues($0.stack, $0.library, $0.state), $0.count) }),
            FamilySample(
                MetricCatalogue.observedProcesses,
                processes.map { (LabelValues($0.state.rawValue, $0.reason ?? Label.none), $0.count) }),
            FamilySample(MetricCatalogue.librariesEvicted, evictedLibraries),
        ]
    }
}

/// What packets are looked at, and what came of it; counts are cumulative since the start.
package struct WireSample: Sendable, Equatable {
    /// What there is of one kind, by the value of the family's label.
    package struct Count: Sendable, Equatable {
        package var name: String
        package var count: UInt64

        package init(name: String, count: UInt64) {
            self.name = name
            self.count = count
        }
    }

    /// Handshakes by what became of them.
    package var sessions: [Count] = []
    /// By how far they were looked at.
    package var packets: [Count] = []
    /// Control groups.
    package var groups: UInt64 = 0

    package init() {}

    var samples: [FamilySample] {
        [
            FamilySample(MetricCatalogue.wireSessions, sessions.map { (LabelValues($0.name), $0.count) }),
            FamilySample(MetricCatalogue.wirePackets, packets.map { (LabelValues($0.name), $0.count) }),
            FamilySample(MetricCatalogue.wireGroups, groups),
        ]
    }
}

/// The session table's own count of the sessions of one role and stack: an account independent of the finished ones,
/// so that conservation is a check and not a tautology.
package struct SessionTally: Sendable, Equatable {
    package var role: Role
    package var stack: String
    /// Cumulative since the start.
    package var started: UInt64
    package var inFlight: UInt64

    package init(role: Role, stack: String, started: UInt64, inFlight: UInt64) {
        self.role = role
        self.stack = stack
        self.started = started
        self.inFlight = inFlight
    }
}

/// tlswatch's own use of the machine. What could not be read is nil and its family absent.
package struct ProcessSample: Sendable, Equatable {
    /// User and system, nanoseconds.
    package var cpuTime: UInt64?
    package var residentBytes: UInt64?
    package var virtualBytes: UInt64?
    package var openDescriptors: UInt64?
    package var descriptorLimit: UInt64?
    /// Nanoseconds since 1970.
    package var startTime: UInt64?

    package init() {}

    package var samples: [FamilySample] {
        [
            FamilySample(MetricCatalogue.processCPU, cpuTime),
            FamilySample(MetricCatalogue.processResidentMemory, residentBytes),
            FamilySample(MetricCatalogue.processVirtualMemory, virtualBytes),
            FamilySample(MetricCatalogue.processOpenDescriptors, openDescriptors),
            FamilySample(MetricCatalogue.processDescriptorLimit, descriptorLimit),
            FamilySample(MetricCatalogue.processStart, startTime),
        ]
    }
}

/// The HTTP side's account of itself.
package struct ScrapeSample: Sendable, Equatable {
    /// Scrapes served so far.
    package var served: UInt64
    /// Nanoseconds the last one took; nil before it.
    package var lastDuration: UInt64?
    /// Requests that were not served, by reason, since the start.
    package var rejected: [KernelCounters.Rejected] = []
    /// Log lines left out since the start.
    package var suppressedLogLines: UInt64 = 0

    package init(served: UInt64, lastDuration: UInt64?) {
        self.served = served
        self.lastDuration = lastDuration
    }

    package var samples: [FamilySample] {
        [
            FamilySample(MetricCatalogue.scrapes, served),
            FamilySample(MetricCatalogue.scrapeDuration, lastDuration),
            FamilySample(MetricCatalogue.logLinesSuppressed, suppressedLogLines),
            FamilySample(MetricCatalogue.requestsRejected, rejected.map { (LabelValues($0.reason), $0.count) }),
        ]
    }
}
