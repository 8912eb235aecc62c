import Dispatch
import Glibc
import Kernel
import Synchronization

/// The thread that looks for TLS in processes: everything at the start, what they map as they map it, all again from
/// time to time.
///
/// Unchecked: the watch is made before the thread starts, and only that thread uses it.
final class DiscoveryLoop: @unchecked Sendable {
    /// Nanoseconds between two looks at what changes slowly.
    private static let tick: UInt64 = 1_000_000_000
    /// A burst of new programs is taken together.
    private static let pauseMilliseconds: Int32 = 5
    /// Without a stream of changes the sweep has to find what programs map after their beginning: often, but in no more than
    /// a hundredth of the time.
    private static let blindSweepInterval: UInt64 = 100_000_000
    private static let blindSweepShare: UInt64 = 100
    /// Listing who holds connections walks over every open file of the host: not too often, and no more than a
    /// two-thousandth of the time.
    private static let connectionsInterval: UInt64 = 10_000_000_000
    /// A capture is short, and its end names who took part.
    private static let captureConnectionsInterval: UInt64 = 1_000_000_000
    private static let connectionsShare: UInt64 = 2_000

    private let catalog: LibraryCatalog
    private let options: EngineOptions
    private let tuning: SharedTuning
    private let watch: MappingWatch?
    /// In its place where there is none.
    private let begun: BegunPrograms?
    /// Where packets are looked at for the programs that no library is observed of; `nil` where they are not chosen so.
    private let wire: WireLinks?
    private var looks = LookSchedule()
    private let stopDescriptor: Int32
    private let finished = DispatchGroup()
    private let turned = Atomic(monotonicNow())

    /// `stopDescriptor` becomes readable when the thread is to end.
    init(
        catalog: LibraryCatalog, options: EngineOptions, tuning: SharedTuning, stopDescriptor: Int32,
        watch: MappingWatch?, begun: BegunPrograms?, wire: WireLinks?
    ) {
        self.wire = wire
        self.catalog = catalog
        self.options = options
        self.tuning = tuning
        self.stopDescriptor = stopDescriptor
        self.watch = watch
        self.begun = begun
    }

    /// Whether what processes map is seen as it happens.
    var isLive: Bool { watch != nil }

    /// Monotonic nanoseconds at which the thread last came round: stands still when it is stuck.
    var lastTurn: UInt64 { turned.load(ordering: .relaxed) }

    private var onlyNamed: Bool { !options.libraries.isEmpty }

    /// What has to be attached before anything else happens.
    func first() throws(BPFError) {
        defer {
            catalog.reader.setPatience(.steady)
            catalog.change { $0.isObserving = true }
            // Most files that there are to read have been read.
            LargeBuffers.giveBackFreed()
        }
        guard !onlyNamed else {
            for path in options.libraries { try add(library: path) }
            sweep()
            return
        }
        catalog.addIfPresent(options.commandFiles)
        // What chosen processes have mapped comes first, as long as there is room; their children may use more than that.
        if !options.processes.isEmpty { sweep() }
        addCached()
        sweep()
    }

    private func addCached() {
        let names = catalog.reader.look(at: .path(LinkerCache.path)) { [libraries = options.stacks.libraries] in
            LinkerCache.libraries(libraries)
        }
        catalog.addIfPresent(names.value ?? [], root: HostView.root)
    }

    private func cacheChanged() -> Int64? {
        catalog.reader.look(at: .path(LinkerCache.path)) { LinkerCache.changed() }.value
    }

    /// The nanoseconds that it took.
    @discardableResult private func sweep() -> UInt64 {
        let start = monotonicNow()
        catalog.change { [onlyNamed] in $0.sweep(knownOnly: onlyNamed) }
        return monotonicNow() - start
    }

    /// The nanoseconds that it took.
    private func lookAtConnections() -> UInt64 {
        let start = monotonicNow()
        catalog.change { $0.lookAtConnections() }
        wire?.follow(groups: catalog.uncovered.groups)
        return monotonicNow() - start
    }

    private func add(library path: String) throws(BPFError) {
        guard let library = try catalog.add(path: path) else {
            throw BPFError(
                .input, operation: "observe \(path)",
                advice: "It contains no supported TLS library (\(options.stacks.titles))")
        }
        if case .unobserved(let reason, let detail) = library.state {
            throw BPFError(
                reason == .permission ? .privilege : .input, operation: "observe \(path)", advice: detail)
        }
        // Its companion: beside it, or where the linker finds it.
        let stacks = options.stacks
        guard let companion = stacks.companion(beside: path) ?? stacks.companion(beside: library.path) else { return }
        catalog.addIfPresent([companion])
        let name = companion.split(separator: "/").last.map(String.init) ?? companion
        let cached = catalog.reader.look(at: .path(LinkerCache.path)) { LinkerCache.path(of: name) }.value ?? nil
        catalog.addIfPresent(cached.map { [$0] } ?? [], root: HostView.root)
    }

    func start() throws(BPFError) {
        try WorkerThread.start("tlswatch-find", in: finished) { [self] in run() }
    }

    /// Waits for the thread, which the stop descriptor has told to end.
    func join() { finished.wait() }

    private func run() {
        var swept = monotonicNow()
        var ticked = swept
        var cache = cacheChanged()
        var nextConnections = swept
        var blindInterval = Self.blindSweepInterval
        while wait(watch == nil ? min(blindInterval, Self.tick) : Self.tick) {
            var mustSweep = applyChanges()
            catalog.carryOutRequests()
            catalog.change { $0.releaseModified() }
            let now = monotonicNow()
            turned.store(now, ordering: .relaxed)
            if !onlyNamed, let begun {
                looks.add(begun.take(), at: now)
                let due = looks.take(at: now)
                if !due.isEmpty { catalog.change { $0.look(at: due) } }
            }
            let interval = watch == nil ? min(blindInterval, tuning.value.sweepInterval) : tuning.value.sweepInterval
            if now - ticked >= Self.tick {
                ticked = now
                let changed = cacheChanged()
                if onlyNamed {
                    // A package manager may have put another file there.
                    catalog.addIfPresent(options.libraries)
                } else if changed != cache {
                    addCached()
                }
                cache = changed
                catalog.change { $0.releaseUnused(now: now) }
                // What did not answer may do so now.
                mustSweep = catalog.reader.takeCameBack() || mustSweep
            }
            if mustSweep || now - swept >= interval {
                swept = now
                blindInterval = max(Self.blindSweepInterval, sweep() * Self.blindSweepShare)
            }
            if !onlyNamed, now >= nextConnections {
                let cost = lookAtConnections()
                nextConnections = now + max(connectionsInterval, cost * Self.connectionsShare)
            }
        }
        // What a capture's end names includes what was mapped last.
        guard options.notesSightings else { return }
        _ = applyChanges()
        if !onlyNamed { catalog.change { $0.lookAtConnections() } }
    }

    private var connectionsInterval: UInt64 {
        options.notesSightings ? Self.captureConnectionsInterval : Self.connectionsInterval
    }

    /// Takes what processes have mapped since the last call. True when a sweep has to find what was lost.
    private func applyChanges() -> Bool {
        guard !onlyNamed, let changes = watch?.take(), !changes.isEmpty else { return false }
        return catalog.change { $0.apply(changes) }
    }

    /// Sleeps until there is something to do, at most so many nanoseconds. False when the thread is to end.
    private func wait(_ most: UInt64) -> Bool {
        if watch != nil {
            // A probed file that is written does not wait: programs that start meanwhile would run into its probes.
            let isEnded = poll([stopDescriptor] + catalog.wakeDescriptors, Self.pauseMilliseconds)
            if isEnded { return false }
        }
        var most = watch?.hasMore == true ? 0 : most
        if let next = looks.next {
            let now = monotonicNow()
            most = min(most, next > now ? next - now : 0)
        }
        return !poll(
            [stopDescriptor, watch?.descriptor ?? begun?.descriptor ?? -1] + catalog.wakeDescriptors,
            Int32((most + 999_999) / 1_000_000))
    }

    /// Waits until one of `descriptors` is readable; whether it is the first.
    private func poll(_ descriptors: [Int32], _ milliseconds: Int32) -> Bool {
        var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        unsafe _ = Glibc.poll(&entries, nfds_t(entries.count), milliseconds)
        return entries[0].revents != 0
    }
}
