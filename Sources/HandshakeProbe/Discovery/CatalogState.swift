import CBPF
import Glibc

/// The files of TLS stacks that were found, who maps them, and their probes. Owned by whoever holds the catalog's lock.
struct CatalogState: ~Copyable {
    /// Files remembered as holding no TLS, at most.
    private static let memory = 100_000
    /// Files of TLS stacks that are told one by one, for each that may be probed. The processes of all others are told
    /// together.
    private static let told = 2
    /// Stands for those others.
    private static let others = -1
    /// Analyses kept of libraries that were let go: a container that starts again brings the same file.
    private static let analysisMemory = 64

    private let kernel: KernelSide
    private let mappings: HostMappings
    /// This program: it holds the names that it looks for.
    private let own: MappedInode?
    /// Told of each library before its first probe is in place.
    private let announce: @Sendable (ObservedLibrary) -> Void

    private var attacher: Attacher
    private let fileGuard = FileGuard()
    private(set) var libraries: [Int: ObservedLibrary] = [:] { didSet { hasChanged = true } }
    private var nextIdentifier = 0
    /// What each file led to: a library, or nothing.
    private var files: [MappedInode: Int?] = [:]
    /// The same for what the stream of mappings tells; forgotten with every sweep, since numbers are used again.
    private var hints: [MappedHint: Int?] = [:]
    private var analyses: [MappedInode: (analysis: LibraryAnalysis, changed: Int)] = [:]
    /// Libraries that were not met in a process: the user's, the linker cache's.
    private var named: Set<Int> = []
    private var retention = LibraryRetention()
    /// Libraries that made room for others.
    private(set) var evicted: UInt64 = 0 { didSet { hasChanged = true } }
    /// Processes that map a file that could not be opened.
    private(set) var unreadable: Set<UInt32> = [] { didSet { hasChanged = true } }
    /// Processes whose files could not be looked at because descriptors had run out.
    private var unopened: Set<UInt32> = [] { didSet { hasChanged = true } }
    /// Processes that hold connections on ports of TLS, as last looked at.
    private(set) var holders: [UInt32: ConnectionHolder] = [:] { didSet { hasChanged = true } }
    /// Whether what others see may be another since it was last asked for.
    private var hasChanged = true
    private var hasNews = true

    init(
        kernel: KernelSide, rung: ProbeRung, phases: Bool, limit: Int,
        announce: @escaping @Sendable (ObservedLibrary) -> Void
    ) {
        self.kernel = kernel
        self.announce = announce
        mappings = HostMappings(kernel: kernel)
        attacher = Attacher(rung: rung, phases: phases, limit: limit)
        if let file = OpenFile("/proc/self/exe") { own = mappings.inode(of: file) } else { own = nil }
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

    // MARK: files by name

    /// The library that a file is; `nil` where it holds no TLS stack.
    mutating func add(_ file: borrowing OpenFile, path: String, root: String = "") -> ObservedLibrary? {
        guard let identifier = examine(file, path: path, root: root, inode: mappings.inode(of: file)) else {
            return nil
        }
        named.insert(identifier)
        return libraries[identifier]
    }

    // MARK: processes

    /// Looks at every process, or only at those that the kernel side observes.
    mutating func sweep(filtered: Bool, knownOnly: Bool) {
        guard let list = mappings.list() else { return }
        forgetFailed()
        var found: [Int: Set<UInt32>] = [:]
        unreadable.removeAll()
        unopened.removeAll()
        hints.removeAll(keepingCapacity: true)
        if files.count > Self.memory { files = files.filter { $0.value != nil } }
        var observed: [UInt32: Bool] = [:]
        for mapping in list {
            if filtered {
                let isObserved = observed[mapping.pid] ?? kernel.object.observes(process: mapping.pid)
                observed[mapping.pid] = isObserved
                guard isObserved else { continue }
            }
            let identifier = knownOnly ? files[mapping.file] ?? nil : resolve(mapping)
            if let identifier { found[identifier, default: []].insert(mapping.pid) }
        }
        for identifier in libraries.keys {
            libraries[identifier]?.processes = found[identifier] ?? []
            if found[identifier] != nil { retention.forget(identifier) }
        }
    }

    /// What stood in the way of attaching may have passed: descriptors or memory that had run out, too many others.
    private mutating func forgetFailed() {
        for (identifier, library) in libraries {
            switch library.state {
            case .unobserved(.attachFailed, _), .unobserved(.tooManyLibraries, _): letGo(of: identifier)
            default: break
            }
        }
    }

    /// Looks at who holds connections on ports of TLS.
    mutating func lookAtConnections(filtered: Bool) {
        var found = kernel.object.connectionHolders() ?? [:]
        found[UInt32(getpid())] = nil
        holders = filtered ? found.filter { kernel.object.observes(process: $0.key) } : found
    }

    /// The processes that no library stands for.
    var elsewhere: UncoveredProcesses {
        let withoutLibrary = holders.keys.count { pid in
            !unreadable.contains(pid)
                && !libraries.values.contains {
                    $0.analysis?.observesSessions != false && $0.processes.contains(pid)
                }
        }
        return UncoveredProcesses(
            unreadable: unreadable.count, unopened: unopened.subtracting(unreadable).count,
            withoutLibrary: withoutLibrary)
    }

    /// Takes what has happened to processes. True when a sweep has to find what was lost.
    mutating func apply(_ changes: [ProcessChange], filtered: Bool) -> Bool {
        var pending: [UInt32: [MappedHint]] = [:]
        var lost = false
        // It maps files for a moment, to look at them.
        let ownProcess = UInt32(getpid())
        for change in changes {
            switch change {
            case .mapped(ownProcess, _): break
            case .mapped(let pid, let hint):
                if let known = hints[hint] {
                    note(known, pid: pid)
                } else if !filtered || kernel.object.observes(process: pid) {
                    pending[pid, default: []].append(hint)
                }
            case .forked(let pid, let parent):
                for identifier in libraries.keys where libraries[identifier]?.processes.contains(parent) == true {
                    libraries[identifier]?.processes.insert(pid)
                }
            case .exited(let pid), .executed(let pid): forget(process: pid)
            case .lost: lost = true
            }
        }
        for (pid, told) in pending {
            guard let list = mappings.list(of: pid) else { continue }
            for mapping in list {
                let identifier = resolve(mapping)
                note(identifier, pid: pid)
                for hint in told
                where hint.inode == mapping.file.inode
                    && UInt32(truncatingIfNeeded: hint.generation) == mapping.file.generation
                {
                    hints[hint] = .some(identifier)
                }
            }
        }
        return lost
    }

    /// Looks at some processes: what they map now.
    mutating func look(at processes: Set<UInt32>) {
        let own = UInt32(getpid())
        for pid in processes where pid != own {
            for mapping in mappings.list(of: pid) ?? [] { note(resolve(mapping), pid: pid) }
        }
    }

    private mutating func note(_ identifier: Int?, pid: UInt32) {
        guard let identifier else { return }
        libraries[identifier]?.processes.insert(pid)
        retention.forget(identifier)
    }

    private mutating func forget(process pid: UInt32) {
        if unreadable.contains(pid) { unreadable.remove(pid) }
        if unopened.contains(pid) { unopened.remove(pid) }
        if holders[pid] != nil { holders[pid] = nil }
        for (identifier, library) in libraries where library.processes.contains(pid) {
            libraries[identifier]?.processes.remove(pid)
        }
    }

    private mutating func resolve(_ mapping: KernelMapping) -> Int? {
        if let known = files[mapping.file] { return known }
        switch ProcessMaps.open(mapping) {
        case .failed(let error):
            // A process that has gone cannot be looked at; that is no lack of permission.
            if error == EACCES || error == EPERM { unreadable.insert(mapping.pid) }
            if error == EMFILE || error == ENFILE { unopened.insert(mapping.pid) }
            return nil
        case .opened(let file, let path):
            // The name may lead elsewhere by now; only the mapped file is looked at.
            guard mappings.inode(of: file) == mapping.file || !kernel.object.listsProcesses else { return nil }
            return examine(file, path: path, root: "/proc/\(mapping.pid)/root", inode: mapping.file)
        }
    }

    // MARK: libraries

    /// Analyses and attaches a file once. The library, or `nil` where it holds no TLS stack.
    private mutating func examine(
        _ file: borrowing OpenFile, path: String, root: String, inode: MappedInode
    ) -> Int? {
        if let known = files[inode] { return known }
        guard inode != own, var library = analyse(file, path: path, inode: inode) else {
            // What has just been written may not be all of it: looked at again when it is next mapped.
            if !file.isFresh { files[inode] = .some(nil) }
            return nil
        }
        let tableSize = Self.told * attacher.limit
        guard libraries.count < tableSize || makeRoom(probed: false) else {
            if libraries[Self.others] == nil {
                libraries[Self.others] = .others(limit: tableSize)
                hasNews = true
            }
            files[inode] = Self.others
            return Self.others
        }
        if library.analysis?.observesSessions == true, library.version == nil,
            let companion = Companion(of: file, path: path, root: root)
        {
            let beside = examine(
                companion.file, path: companion.path, root: root, inode: mappings.inode(of: companion.file))
            library.companionVersion = beside.flatMap { libraries[$0]?.version }
            library.companionTransport = beside.flatMap { libraries[$0]?.analysis?.transport }
        }
        let identifier = nextIdentifier
        nextIdentifier += 1
        libraries[identifier] = library
        hasNews = true
        files[inode] = identifier
        if library.analysis != nil { attach(identifier, file) }
        return identifier
    }

    private mutating func analyse(
        _ file: borrowing OpenFile, path: String, inode: MappedInode
    ) -> ObservedLibrary? {
        var library = ObservedLibrary(
            profile: 0, path: path, inode: inode, identity: file.identity,
            state: .unobserved(reason: .analysisFailed, detail: "not read"))
        library.changed = file.changed
        if let known = analyses[inode], known.changed == file.changed, !file.isFresh {
            library.analysis = known.analysis
            return library
        }
        // What is not an ELF file, or not one of this machine, has nothing to observe in it.
        guard let elf = try? ELFFile(fileDescriptor: file.descriptor) else { return nil }
        var failure: AnalysisError?
        do {
            if let analysis = try TLSStacks.analyse(elf), !analysis.sites.isEmpty {
                library.analysis = analysis
                return library
            }
        } catch {
            failure = error
        }
        // Others have texts of OpenSSL too: what was made from it, and what looks for it.
        if let stack = UnsupportedStacks.recognise(elf) {
            library.unobservedStack = stack
            library.state = .unobserved(
                reason: .unknownStack, detail: "\(stack) is recognised, and cannot be observed yet")
            return library
        }
        guard let failure else { return nil }
        library.state = .unobserved(reason: .analysisFailed, detail: failure.description)
        return library
    }

    private mutating func attach(_ identifier: Int, _ file: borrowing OpenFile) {
        guard var library = libraries[identifier], let analysis = library.analysis,
            let rules = SessionRules.of(stack: analysis.stack)
        else { return }
        defer { libraries[identifier] = library }
        let choice = attacher.choose(analysis)
        library.omitted = choice.omitted
        let seesSessions = !analysis.observesSessions || choice.sites.contains { $0.hook == .stateMachine }
        guard seesSessions, !choice.sites.isEmpty else {
            library.state = .unobserved(reason: .noCheapSite, detail: choice.omitted.joined(separator: "; "))
            return
        }
        // Before the probes: who wants to write it from now on waits, or is noticed.
        guard fileGuard.hold(file, id: identifier) else {
            library.state = .unobserved(reason: .attachFailed, detail: "somebody has it open for writing")
            return
        }
        // It may have been written between the analysis and the hold.
        if !file.isUnchanged {
            analyses[library.inode] = nil
            guard let again = self.analyse(file, path: library.path, inode: library.inode)?.analysis, again == analysis
            else {
                fileGuard.release(id: identifier)
                library.state = .unobserved(reason: .attachFailed, detail: "it was written while it was looked at")
                return
            }
        }
        var profile = attacher.reserveProfile()
        if profile == nil, makeRoom(probed: true) { profile = attacher.reserveProfile() }
        guard let profile else {
            fileGuard.release(id: identifier)
            library.state = .unobserved(
                reason: .tooManyLibraries, detail: "more than \(attacher.limit) libraries (--max-libraries)")
            return
        }
        library.profile = profile
        library.hitsBefore = kernel.object.hits(profile: UInt32(profile))
        library.sites = choice.sites
        library.state = .attached
        announce(library)
        do {
            try attacher.attach(
                choice.sites, facts: analysis.facts, transport: analysis.transport ?? library.companionTransport,
                rules: rules, profile: profile, path: file.magicPath, object: kernel.object)
        } catch {
            try? attacher.detach(
                profile: profile, object: kernel.object, lease: fileGuard.release(id: identifier))
            library.sites = []
            library.state = .unobserved(
                reason: error.category == .privilege ? .permission : .attachFailed, detail: error.description)
        }
    }

    /// Takes off every probe, at the end.
    mutating func detachAll() {
        attacher.detachAll()
        // Who waits to write one of their files waits for nothing any more.
        for identifier in libraries.keys { fileGuard.release(id: identifier) }
    }

    /// Takes off the probes of a library whose records make no sense.
    mutating func distrust(profile: Int) {
        for (identifier, library) in libraries where library.profile == profile && library.state == .attached {
            detach(
                identifier,
                as: .detached(detail: "its first sessions read no sane version and role: detached, not believed"))
        }
    }

    /// Takes off the probes of files that were written in place, or are about to be. They are looked at anew when they are
    /// next mapped.
    mutating func releaseModified() {
        for identifier in fileGuard.takeModified() {
            guard let library = libraries[identifier], library.state == .attached else { continue }
            detach(
                identifier,
                as: .unobserved(
                    reason: .fileModified,
                    detail: "the file was opened for writing, or written in place, while it was probed")
            )
            // The inode is the same, and what it holds is not: looked at anew by whoever maps it next.
            analyses[library.inode] = nil
            files[library.inode] = nil
            hints.removeAll(keepingCapacity: true)
        }
    }

    /// Lets go of libraries that no process maps any more and that are not to be kept.
    mutating func releaseUnused(now: UInt64) {
        for (identifier, library) in libraries where library.processes.isEmpty {
            if retention.isOver(identifier, library, isNamed: named.contains(identifier), now: now) {
                letGo(of: identifier)
            }
        }
    }

    private mutating func letGo(of identifier: Int) {
        guard let library = libraries[identifier] else { return }
        detach(identifier, as: library.state)
        libraries[identifier] = nil
        hasNews = true
        retention.forget(identifier)
        named.remove(identifier)
        hints.removeAll(keepingCapacity: true)
        if identifier == Self.others {
            // There may be room for them when they are next mapped.
            files = files.filter { $0.value != Self.others }
        } else {
            if files[library.inode] == .some(identifier) { files[library.inode] = nil }
            if analyses.count >= Self.analysisMemory { analyses.removeAll() }
            analyses[library.inode] = library.analysis.map { ($0, library.changed) }
        }
    }

    /// Lets go of the library that has been without a process longest, which a program that starts later may or may not
    /// find again. False where there is none that nothing of can be on its way any more.
    private mutating func makeRoom(probed: Bool) -> Bool {
        let candidates = libraries.filter { identifier, library in
            library.processes.isEmpty && !named.contains(identifier) && (!probed || library.state == .attached)
        }.keys
        guard let longest = retention.longestUnused(among: candidates, now: monotonicNow()) else { return false }
        letGo(of: longest)
        evicted += 1
        return true
    }

    private mutating func detach(_ identifier: Int, as state: LibraryState) {
        let lease = fileGuard.release(id: identifier)
        guard let library = libraries[identifier] else { return }
        if library.state == .attached {
            try? attacher.detach(profile: library.profile, object: kernel.object, lease: lease)
        }
        libraries[identifier]?.sites = []
        libraries[identifier]?.state = state
        hasNews = true
    }
}
