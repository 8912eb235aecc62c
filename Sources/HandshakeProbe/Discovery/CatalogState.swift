import Glibc
import Kernel

/// The files of TLS stacks that were found, who maps them, and their probes. Owned by whoever holds the catalog's lock.
struct CatalogState: ~Copyable {
    /// Files remembered as holding no TLS, at most.
    private static let memory = 100_000

    let kernel: KernelSide
    let mappings: HostMappings
    var inspector: FileInspector
    /// Every foreign file is opened, read and closed by it.
    var reader: ForeignReader { inspector.reader }
    /// Told of each library before its first probe is in place.
    let announce: @Sendable (ObservedLibrary) -> Void

    var attacher: Attacher
    let defersObjectFree: Bool
    let fileGuard = FileGuard()
    var libraries: [Int: ObservedLibrary] = [:] { didSet { hasChanged = true } }
    var nextIdentifier = 0
    /// What each file led to: a library, or nothing.
    var files: [MappedInode: Int?] = [:]
    /// The same for what the stream of mappings tells; forgotten with every sweep, since numbers are used again.
    var hints: [MappedHint: Int?] = [:]
    var analyses: [MappedInode: FileLook.Known] = [:]
    /// Libraries that were not met in a process: the user's, the linker cache's.
    var named: Set<Int> = []
    var retention: LibraryRetention
    /// Libraries that made room for others.
    var evicted: UInt64 = 0 { didSet { hasChanged = true } }
    var blocked = BlockedFiles()
    /// For whoever asks at the end; `nil` where nobody will.
    var sightings: Sightings?
    /// Whether libraries that are probed from now on are probed late: somebody waits for their sessions already.
    var isObserving = false
    /// When the mapping that is looked at was made, where that is known.
    var mappedAt: UInt64?
    /// Processes whose files could not be looked at because descriptors had run out.
    var unopened: Set<UInt32> = [] { didSet { hasChanged = true } }
    /// Processes that hold connections on ports of TLS, as last looked at.
    private(set) var holders: [UInt32: ConnectionHolder] = [:] { didSet { hasChanged = true } }
    /// The observed processes, where not all are: the kernel side forgets those that have ended, which may not have been
    /// looked at yet.
    var followed: FollowedProcesses?
    /// Whether what others see may be another since it was last asked for.
    var hasChanged = true
    var hasNews = true

    init(
        kernel: KernelSide, reader: ForeignReader, rung: ProbeRung, options: CatalogOptions,
        announce: @escaping @Sendable (ObservedLibrary) -> Void
    ) {
        self.kernel = kernel
        self.announce = announce
        mappings = HostMappings(kernel: kernel)
        attacher = Attacher(
            rung: rung, phases: options.phases, limit: options.maxLibraries, readsRandom: options.readsRandom)
        defersObjectFree = options.defersObjectFree
        inspector = FileInspector(reader: reader, mappings: mappings, stacks: options.stacks)
        retention = LibraryRetention(reader: reader)
        if !options.processes.isEmpty {
            followed = FollowedProcesses(ProcessMaps.withDescendants(Set(options.processes)))
        }
        if options.notesSightings { sightings = Sightings() }
    }

    var guardDescriptors: [Int32] { fileGuard.pollDescriptors }

    mutating func takeChanged() -> Bool {
        defer { hasChanged = false }
        return hasChanged
    }

    /// Whether a library has come, gone, or is observed otherwise than when this was last asked.
    mutating func takeNews() -> Bool {
        defer { hasNews = false }
        return hasNews
    }

    /// Every library, and every file that may be one, as others see them.
    var rows: [ObservedLibrary] {
        let rows = LibraryFolding.fold(libraries, stacks: inspector.stacks)
        let observed = rows.filter { $0.state == .attached }.reduce(into: Set()) { $0.formUnion($1.processes) }
        return rows + blocked.rows(observed: observed)
    }

    // MARK: processes

    /// Looks at every process, or only at those that are followed.
    mutating func sweep(knownOnly: Bool) {
        guard let list = listMappings() else { return }
        forgetFailed()
        followed?.prune()
        var found: [Int: Set<UInt32>] = [:]
        blocked.begin()
        hasChanged = true
        unopened.removeAll()
        hints.removeAll(keepingCapacity: true)
        if files.count > Self.memory { files = files.filter { $0.value != nil } }
        mappedAt = nil
        inspector.forgetMounts()
        var observed: [UInt32: Bool] = [:]
        for mapping in list {
            if followed != nil {
                let isObserved = observed[mapping.pid] ?? observes(mapping.pid)
                observed[mapping.pid] = isObserved
                guard isObserved else { continue }
            }
            let identifier = knownOnly ? files[mapping.file] ?? nil : resolve(mapping)
            if let identifier {
                found[identifier, default: []].insert(mapping.pid)
                sighted(identifier, pid: mapping.pid)
            }
        }
        for identifier in libraries.keys {
            libraries[identifier]?.processes = found[identifier] ?? []
            if found[identifier] != nil { retention.forget(identifier) }
        }
    }

    /// Whether a process is one of those to look at.
    private func observes(_ pid: UInt32) -> Bool {
        guard let followed else { return true }
        return followed.contains(pid) || kernel.object.observes(process: pid)
    }

    /// What stood in the way of attaching may have passed: descriptors or memory that had run out, too many others.
    private mutating func forgetFailed() {
        for (identifier, library) in libraries {
            switch library.state {
            case .unobserved(.attachFailed, _), .unobserved(.tooManyLibraries, _), .unobserved(.fileSystemHangs, _):
                letGo(of: identifier)
            default: break
            }
        }
    }

    /// Looks at who holds connections on ports of TLS.
    mutating func lookAtConnections() {
        var found = kernel.object.connectionHolders() ?? [:]
        found[UInt32(getpid())] = nil
        holders = followed == nil ? found : found.filter { observes($0.key) }
        guard sightings != nil else { return }
        for (pid, holder) in holders.sorted(by: { $0.key < $1.key }) {
            sightings?.note(holder: pid, path: executablePath(of: pid), holds: holder.summary)
        }
    }

    /// The processes that no library stands for.
    func elsewhere(_ rows: [ObservedLibrary]) -> UncoveredProcesses {
        let covered = rows.reduce(into: Set()) { $0.formUnion($1.processes) }
        let observed = rows.filter { $0.state == .attached }.reduce(into: Set()) { $0.formUnion($1.processes) }
        return UncoveredProcesses(
            unopened: unopened.subtracting(covered).count, withoutLibrary: holders.keys.count { !covered.contains($0) },
            groups: holders.reduce(into: Set<UInt64>()) { groups, holder in
                if !observed.contains(holder.key) { groups.formUnion(holder.value.groups) }
            })
    }

    /// Takes what has happened to processes. True when a sweep has to find what was lost.
    mutating func apply(_ changes: [ProcessChange]) -> Bool {
        inspector.forgetMounts()
        var pending: [UInt32: [MappedFileEvent]] = [:]
        var lost = false
        // It maps files for a moment, to look at them.
        let ownProcess = UInt32(getpid())
        for change in changes {
            switch change {
            case .mapped(ownProcess, _): break
            case .mapped(let pid, let event):
                guard observes(pid) else { continue }
                if let known = hints[event.hint] {
                    note(known, pid: pid)
                } else {
                    pending[pid, default: []].append(event)
                }
            case .forked(let pid, let parent):
                for identifier in libraries.keys where libraries[identifier]?.processes.contains(parent) == true {
                    note(identifier, pid: pid)
                }
                if blocked.forked(pid, from: parent) { hasChanged = true }
                followed?.forked(pid, from: parent)
            case .exited(let pid):
                followed?.exited(pid)
                forget(process: pid)
            case .executed(let pid): forget(process: pid)
            case .lost: lost = true
            }
        }
        for (pid, events) in pending.sorted(by: { $0.key < $1.key }) { look(at: pid, events) }
        return lost
    }

    private mutating func look(at pid: UInt32, _ events: [MappedFileEvent]) {
        var left = events
        for mapping in list(of: pid) ?? [] {
            mappedAt = events.first { $0.hint.isOf(mapping.file) }?.time
            let identifier = resolve(mapping)
            note(identifier, pid: pid)
            left.removeAll { event in
                guard event.hint.isOf(mapping.file) else { return false }
                if files[mapping.file] != nil { hints[event.hint] = .some(identifier) }
                return true
            }
        }
        // What it does not map any more, or it has ended: by the name that the file had.
        for event in left where hints[event.hint] == nil {
            mappedAt = event.time
            let identifier = resolve(event)
            hints[event.hint] = .some(identifier)
            if let identifier { sighted(identifier, pid: pid) }
        }
        mappedAt = nil
    }

    /// Looks at some processes: what they map now.
    mutating func look(at processes: Set<UInt32>) {
        let own = UInt32(getpid())
        mappedAt = nil
        for pid in processes where pid != own {
            for mapping in list(of: pid) ?? [] { note(resolve(mapping), pid: pid) }
        }
    }

    private mutating func note(_ identifier: Int?, pid: UInt32) {
        guard let identifier else { return }
        libraries[identifier]?.processes.insert(pid)
        retention.forget(identifier)
        sighted(identifier, pid: pid)
    }

    private mutating func forget(process pid: UInt32) {
        if blocked.forget(pid) { hasChanged = true }
        if unopened.contains(pid) { unopened.remove(pid) }
        if holders[pid] != nil { holders[pid] = nil }
        for (identifier, library) in libraries where library.processes.contains(pid) {
            libraries[identifier]?.processes.remove(pid)
        }
    }
}

/// The processes that a capture of a few observes, and their children. Owned by one thread.
struct FollowedProcesses {
    private static let limit = 100_000
    private var processes: Set<UInt32>

    init(_ roots: Set<UInt32>) { processes = roots }

    func contains(_ pid: UInt32) -> Bool { processes.contains(pid) }

    mutating func forked(_ pid: UInt32, from parent: UInt32) {
        if processes.contains(parent) { processes.insert(pid) }
    }

    mutating func exited(_ pid: UInt32) { processes.remove(pid) }

    /// Ends may have been lost.
    mutating func prune() {
        if processes.count > Self.limit { processes = processes.filter(processExists) }
    }
}
