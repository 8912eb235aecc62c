/// Counts of events on their way from the kernel programs, cumulative since the start. What was seen once must be in
/// every later sample: a series that is left out disappears.
public struct KernelCounters: Sendable, Equatable {
    public struct Submitted: Sendable, Equatable {
        public var program: String
        public var count: UInt64

        public init(program: String, count: UInt64) {
            self.program = program
            self.count = count
        }
    }

    /// Hits of a program that made no event, by reason.
    public struct Unsubmitted: Sendable, Equatable {
        public var program: String
        public var reason: String
        public var count: UInt64

        public init(program: String, reason: String, count: UInt64) {
            self.program = program
            self.reason = reason
            self.count = count
        }
    }

    public struct Rejected: Sendable, Equatable {
        public var reason: String
        public var count: UInt64

        public init(reason: String, count: UInt64) {
            self.reason = reason
            self.count = count
        }
    }

    public var submitted: [Submitted] = []
    /// Lost events.
    public var dropped: [Unsubmitted] = []
    /// Hits that need no event.
    public var skipped: [Unsubmitted] = []
    public var rejected: [Rejected] = []
    public var decoded: UInt64 = 0

    public init() {}

    /// Events that never became a fact.
    var lost: UInt64 {
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
public struct CoverageSample: Sendable, Equatable {
    public struct Hits: Sendable, Equatable {
        public var stack: String
        public var library: String
        public var count: UInt64

        public init(stack: String, library: String, count: UInt64) {
            self.stack = stack
            self.library = library
            self.count = count
        }
    }

    public struct Probes: Sendable, Equatable {
        public var stack: String
        public var library: String
        public var state: String
        public var count: UInt64

        public init(stack: String, library: String, state: String, count: UInt64) {
            self.stack = stack
            self.library = library
            self.state = state
            self.count = count
        }
    }

    public struct Processes: Sendable, Equatable {
        public enum State: String, Sendable {
            case observed, unobserved
        }

        public var state: State
        /// Why not; nil for observed ones.
        public var reason: String?
        public var count: UInt64

        public init(state: State, reason: String?, count: UInt64) {
            self.state = state
            self.reason = reason
            self.count = count
        }
    }

    public var probeHits: [Hits] = []
    public var probes: [Probes] = []
    public var processes: [Processes] = []
    /// Libraries without a process that made room for others, since the start.
    public var evictedLibraries: UInt64 = 0

    public init() {}

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

/// The session table's own count of the sessions of one role and stack: an account independent of the finished ones,
/// so that conservation is a check and not a tautology.
public struct SessionTally: Sendable, Equatable {
    public var role: Role
    public var stack: String
    /// Cumulative since the start.
    public var started: UInt64
    public var inFlight: UInt64

    public init(role: Role, stack: String, started: UInt64, inFlight: UInt64) {
        self.role = role
        self.stack = stack
        self.started = started
        self.inFlight = inFlight
    }
}

/// tlswatch's own use of the machine. What could not be read is nil and its family absent.
public struct ProcessSample: Sendable, Equatable {
    /// User and system, nanoseconds.
    public var cpuTime: UInt64?
    public var residentBytes: UInt64?
    public var virtualBytes: UInt64?
    public var openDescriptors: UInt64?
    public var descriptorLimit: UInt64?
    /// Nanoseconds since 1970.
    public var startTime: UInt64?

    public init() {}

    public var samples: [FamilySample] {
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
public struct ScrapeSample: Sendable, Equatable {
    /// Scrapes served so far.
    public var served: UInt64
    /// Nanoseconds the last one took; nil before it.
    public var lastDuration: UInt64?
    /// Requests that were not served, by reason, since the start.
    public var rejected: [KernelCounters.Rejected] = []
    /// Log lines left out since the start.
    public var suppressedLogLines: UInt64 = 0

    public init(served: UInt64, lastDuration: UInt64?) {
        self.served = served
        self.lastDuration = lastDuration
    }

    public var samples: [FamilySample] {
        [
            FamilySample(MetricCatalogue.scrapes, served),
            FamilySample(MetricCatalogue.scrapeDuration, lastDuration),
            FamilySample(MetricCatalogue.logLinesSuppressed, suppressedLogLines),
            FamilySample(MetricCatalogue.requestsRejected, rejected.map { (LabelValues($0.reason), $0.count) }),
        ]
    }
}
