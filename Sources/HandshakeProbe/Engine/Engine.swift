import CEvents
import Dispatch
import FoundationEssentials
import Glibc
import Handshakes
import Kernel
import Synchronization

/// The instrument: kernel programs, discovery, and the thread that drains the ring.
///
/// `init` loads and attaches; `start` begins to consume; `stop` ends it and joins the threads. What it published last
/// can be read from any thread at any time.
package final class Engine: Sendable {
    package let catalog: LibraryCatalog
    package let features: KernelFeatures
    package let rung: ProbeRung
    private let kernel: KernelSide
    private let options: EngineOptions
    private let tuning: SharedTuning
    private let tracepoints: TracepointLinks
    private let wire: WireLinks?
    private let announced = AnnouncedLibraries()
    /// An element when what `ObservationChanges` tells of may have changed; for one reader.
    package let observations: AsyncStream<Void>
    private let observed: AsyncStream<Void>.Continuation
    private let latest = Mutex<EngineSnapshot?>(nil)
    private let failure = Mutex<String?>(nil)
    private let stopDescriptor: Int32
    private let finished = DispatchGroup()
    private let discovery: DiscoveryLoop

    /// Loads the programs and attaches to everything that can be found now.
    ///
    /// - Throws: `BPFError`; nothing stays attached then.
    package init(options: EngineOptions) throws(BPFError) {
        self.options = options
        tuning = SharedTuning(options)
        try Headroom.requireDescriptors(Headroom.observing, to: "observe")
        try Headroom.requireThreads()
        features = KernelFeatures.probe()
        rung = try features.rung(forced: options.rung)
        try ProcessNamespace.require()
        let looksAtPackets = options.wire != .off
        try Privileges.current(rung: rung, wire: looksAtPackets).require()
        try BPFAccess.require()
        if options.leastPrivilege { try Privileges.keepForObserving(rung: rung, wire: looksAtPackets) }
        let opened = try OpenBPFObject()
        try opened.setRingSize(options.ringBytes)
        // Beyond the timeout it has no session any more.
        try opened.setCallLifetime(seconds: options.handshakeTimeout / 1_000_000_000 * 2)
        let filters = !options.processes.isEmpty
        if filters { try opened.filterProcesses() }
        // Before anything is looked at, so that nothing starts unseen in between.
        let watch = try Self.mappingWatch()
        // With the libraries named nothing is looked for.
        let looksForPrograms = watch == nil && options.libraries.isEmpty
        try opened.tellPrograms(looksForPrograms)
        kernel = KernelSide(try opened.load(rung: rung, features: features, wire: looksAtPackets))
        guard kernel.object.seesLosses else { throw .from(errno, operation: "map the account of lost events") }
        // Children that are there already; later ones join by themselves.
        for pid in ProcessMaps.withDescendants(Set(options.processes)) { try kernel.object.observe(process: pid) }
        (observations, observed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        catalog = try LibraryCatalog(
            kernel: kernel, rung: rung, options: CatalogOptions(options),
            announce: { [announced] library in announced.libraries.withLock { $0.append(library) } },
            news: { [observed] in observed.yield() })
        tracepoints = try TracepointLinks(kernel: kernel, features: features)
        wire = looksAtPackets ? try WireLinks(kernel: kernel) : nil
        stopDescriptor = eventDescriptor()
        guard stopDescriptor >= 0 else { throw .from(errno, operation: "create an eventfd") }
        discovery = DiscoveryLoop(
            catalog: catalog, options: options, tuning: tuning, stopDescriptor: stopDescriptor, watch: watch,
            begun: looksForPrograms ? try BegunPrograms(descriptor: kernel.object.programsDescriptor) : nil,
            wire: options.wire == .unobserved ? wire : nil)
        try discovery.first()
        try catalog.requirePermission()
        if options.wire == .all { try wire?.attachToRoot() }
    }

    deinit { close(stopDescriptor) }

    /// `nil` where the kernel refuses it.
    ///
    /// - Throws: `BPFError` where it is only that something has run out.
    private static func mappingWatch() throws(BPFError) -> MappingWatch? {
        do {
            return try MappingWatch()
        } catch {
            if [EMFILE, ENFILE, ENOMEM].contains(error.errno) { throw error }
            return nil
        }
    }

    /// What was published last; at most 250 ms old while the engine runs, 1 s where nothing has happened for long.
    package var snapshot: EngineSnapshot? { latest.withLock { $0 } }
    /// Why the recording could not be written in full, if it could not.
    package var recordingFailure: String? { failure.withLock { $0 } }

    /// Whether a library is seen when a process maps it; else frequent sweeps find it.
    package var seesMappings: Bool { discovery.isLive }

    /// Monotonic nanoseconds at which processes were last looked at; stands still when that is stuck.
    package var discovered: UInt64 { discovery.lastTurn }

    /// Begins to consume. `deliver` gets the sessions that finished, in order, on the ring's thread.
    package func start(deliver: @escaping @Sendable ([Handshake]) -> Void) throws(BPFError) {
        // One reading for both: a replay tells the same wall-clock times.
        let offset = wallClockOffset()
        var recorder: RecordingWriter?
        if let path = options.recording {
            do {
                recorder = try RecordingWriter(path: path, header: recordingHeader(wallClockOffset: offset))
            } catch {
                throw BPFError(.system, statement: error.description)
            }
        }
        let consumer = EventConsumer(
            table: SessionTable(
                capacity: options.maxSessions, timeout: tuning.value.handshakeTimeout, wallClockOffset: offset),
            wire: WireTable(isEnabled: options.wire != .off, requiresOwner: !options.processes.isEmpty),
            metrics: MetricsRegistry(
                version: options.version, revision: options.revision, options: options.metrics),
            stacks: options.stacks, longestWindow: options.longestWindow, started: monotonicNow(), recorder: recorder,
            losses: LossWatch { [kernel] in kernel.object.losses() }
        )
        if options.keepsRecent { consumer.recent = RecentSessions(slow: options.metrics.slow) }
        let loop = try RingLoop(engine: self, consumer: consumer, deliver: deliver)
        try WorkerThread.start("tlswatch-ring", in: finished) { loop.run() }
        try discovery.start()
    }

    /// Puts another tuning in force within a second or so. Any thread.
    package func reconfigure(_ next: EngineTuning) { tuning.set(next) }

    /// Ends consumption after what the ring still holds, joins the threads, and takes off all probes. Idempotent.
    package func stop() {
        catalog.reader.setPatience(.last)
        var one: UInt64 = 1
        unsafe _ = write(stopDescriptor, &one, 8)
        finished.wait()
        discovery.join()
        catalog.detachAll()
        // A thread that hangs in a file system keeps what is not let go of here until it ends.
        tracepoints.letGo()
        wire?.letGo()
    }

    private func recordingHeader(wallClockOffset: Int64) -> RecordingHeader {
        RecordingHeader(
            wireVersion: Int(TLSWATCH_WIRE_VERSION), version: options.version, host: ProcessInfo.processInfo.hostName,
            kernel: features.release, wallClockOffset: wallClockOffset, packets: options.wire != .off)
    }

    // MARK: for the ring's thread

    var ringDescriptor: Int32 { kernel.object.ringDescriptor }
    var stopSignal: Int32 { stopDescriptor }

    var handshakeTimeout: UInt64 { tuning.value.handshakeTimeout }
    var isRecording: Bool { options.recording != nil }

    func takeAnnounced() -> [ObservedLibrary] {
        announced.libraries.withLock { libraries in
            defer { libraries.removeAll() }
            return libraries
        }
    }

    func distrust(profile: Int) { catalog.distrust(profile: profile) }
    func probeObjectFree(profile: Int) { catalog.probeObjectFree(profile: profile) }
    func publish(_ snapshot: EngineSnapshot) {
        let lost = latest.withLock { latest in
            defer { latest = snapshot }
            return latest?.lost ?? 0
        }
        if snapshot.lost != lost { observed.yield() }
    }
    func note(recordingFailure text: String) { failure.withLock { $0 = text } }
    /// Packets so far, and the control groups that are looked at; `nil` where none are.
    func packets() -> (packets: [UInt64], groups: Int)? {
        wire.map { (kernel.object.packets(), $0.count) }
    }
    func counters() -> [tlswatch_counters] { kernel.object.counters() }
    func hits(profile: Int) -> UInt64 { kernel.object.hits(profile: UInt32(profile)) }
}

/// A mutex that two owners share.
private final class AnnouncedLibraries: Sendable {
    let libraries = Mutex<[ObservedLibrary]>([])
}

/// The tracepoint programs' links, kept as long as the engine.
///
/// Unchecked: never touched between `init` and `letGo`, which the lock guards.
final class TracepointLinks: @unchecked Sendable {
    private var links: [Holder]
    private let lock = Mutex(())

    /// Any thread.
    func letGo() { lock.withLock { _ in links = [] } }

    private final class Holder {
        let link: ProbeLink
        init(_ link: consuming ProbeLink) { self.link = link }
    }

    init(kernel: KernelSide, features: KernelFeatures) throws(BPFError) {
        var links: [Holder] = []
        for tracepoint in Tracepoint.allCases where features.uses(tracepoint) {
            let program = try unsafe kernel.object.program(tracepoint.program)
            links.append(Holder(try unsafe ProbeLink(tracepoint: program, name: tracepoint.rawValue)))
        }
        self.links = links
    }
}
