import CBPF
import Glibc
import Synchronization

/// The object in the kernel, for the two threads that use it.
///
/// Unchecked: after load libbpf's handles are only read, and the maps are reached by system calls.
final class KernelSide: @unchecked Sendable {
    let object: LoadedBPFObject

    init(_ object: consuming LoadedBPFObject) {
        self.object = object
    }
}

/// Every file of a TLS stack that was found, each read once, and what became of it.
///
/// One thread at a time works on it (the lock); others read what was last published, and never wait for that work.
public final class LibraryCatalog: Sendable {
    private struct State: ~Copyable {
        var attacher: Attacher
        var libraries: [ObservedLibrary] = []
        var byIdentity: [FileIdentity: Int] = [:]
        /// Files that hold no TLS stack, by identity.
        var plain: Set<FileIdentity> = []
        /// What a line of maps led to, so that a sweep opens no file twice; -1 for a plain one.
        var byMapping: [String: Int] = [:]
        /// Processes whose maps could not be read.
        var unreadable: Set<UInt32> = []
    }

    /// Files remembered as holding no TLS, at most.
    private static let memory = 100_000

    private let kernel: KernelSide
    /// This program: it holds the names that it looks for.
    private let own = OpenFile("/proc/self/exe")?.identity
    private let state: Mutex<State>
    private let published = Mutex<[ObservedLibrary]>([])
    private let unreadable = Mutex<Int>(0)
    /// Told of each library before its first probe is in place.
    private let announce: @Sendable (ObservedLibrary) -> Void

    init(kernel: KernelSide, rung: ProbeRung, phases: Bool, announce: @escaping @Sendable (ObservedLibrary) -> Void) {
        self.kernel = kernel
        self.announce = announce
        state = Mutex(State(attacher: Attacher(rung: rung, phases: phases)))
    }

    /// What is known now.
    public var libraries: [ObservedLibrary] { published.withLock { $0 } }
    /// Processes whose maps could not be read at the last sweep.
    public var unreadableProcesses: Int { unreadable.withLock { $0 } }

    /// Looks at a file named by the user. The library that it is, or `nil` where it holds no known TLS stack.
    ///
    /// - Throws: `BPFError` of category `.input` when it cannot be read or is no ELF file.
    func add(path: String) throws(BPFError) -> ObservedLibrary? {
        guard let file = OpenFile(path) else {
            throw BPFError(.input, operation: "read \(path)", errno: errno == 0 ? EINVAL : errno)
        }
        do {
            _ = try ELFFile(fileDescriptor: file.descriptor)
        } catch {
            throw BPFError(.input, operation: "observe \(path)", advice: "\(error)")
        }
        return state.withLock { state in
            defer { publish(state.libraries) }
            let index = examine(file, path: path, &state)
            return index.map { state.libraries[$0] }
        }
    }

    /// Looks at files that may or may not be there: the linker cache's, a command's.
    func addIfPresent(_ paths: [String]) {
        state.withLock { state in
            for path in paths {
                if let file = OpenFile(path) { _ = examine(file, path: path, &state) }
            }
            publish(state.libraries)
        }
    }

    /// Looks at what a process maps, and at its executable first.
    func look(at pid: UInt32) {
        state.withLock { state in
            if let file = OpenFile("/proc/\(pid)/exe"), let path = executablePath(of: pid) {
                _ = examine(file, path: path, &state)
            }
            mapped(by: pid, &state)
            publish(state.libraries)
        }
    }

    /// Looks at every process of the host and notes who maps what.
    func sweep(only pids: [UInt32]? = nil) {
        state.withLock { state in
            for index in state.libraries.indices { state.libraries[index].processes = [] }
            state.unreadable = []
            for pid in pids ?? ProcessMaps.allProcesses() { mapped(by: pid, &state) }
            unreadable.withLock { $0 = state.unreadable.count }
            publish(state.libraries)
        }
    }

    /// Takes off the probes of a library whose records make no sense.
    func distrust(profile: Int) {
        state.withLock { state in
            guard let index = state.libraries.firstIndex(where: { $0.profile == profile }),
                state.libraries[index].state == .attached
            else { return }
            try? state.attacher.detach(profile: profile, object: kernel.object)
            state.libraries[index].sites = []
            state.libraries[index].state = .detached(
                detail: "its first sessions read no sane version and role: detached, not believed")
            publish(state.libraries)
        }
    }

    private func publish(_ libraries: [ObservedLibrary]) {
        published.withLock { $0 = libraries }
    }

    private func mapped(by pid: UInt32, _ state: inout State) {
        guard let files = ProcessMaps.codeFiles(of: pid) else {
            // A zombie has no maps to read; that is no lack of permission.
            if errno == EACCES || errno == EPERM { state.unreadable.insert(pid) }
            return
        }
        for mapping in files {
            // The path as well: overlayfs shows inodes of other devices.
            let key = mapping.key + mapping.path
            let index: Int
            if let known = state.byMapping[key] {
                index = known
            } else {
                switch ProcessMaps.open(mapping, of: pid) {
                case .failed: continue
                case .opened(let file): index = examine(file, path: mapping.path, &state) ?? -1
                }
                if state.byMapping.count > Self.memory { state.byMapping.removeAll() }
                state.byMapping[key] = index
            }
            if index >= 0, state.libraries[index].processes.last != pid {
                state.libraries[index].processes.append(pid)
            }
        }
    }

    /// Analyses and attaches a file once. Its index, or `nil` where it holds no TLS stack.
    private func examine(_ file: borrowing OpenFile, path: String, _ state: inout State) -> Int? {
        if let known = state.byIdentity[file.identity] { return known }
        if state.plain.contains(file.identity) || file.identity == own { return nil }
        var library = ObservedLibrary(
            profile: 0, path: path, identity: file.identity,
            state: .unobserved(reason: .analysisFailed, detail: "not read"))
        do {
            let elf = try ELFFile(fileDescriptor: file.descriptor)
            guard let analysis = try TLSStacks.analyse(elf), !analysis.sites.isEmpty else {
                return remember(plain: file.identity, &state)
            }
            library.analysis = analysis
        } catch let error as AnalysisError {
            library.state = .unobserved(reason: .analysisFailed, detail: error.description)
        } catch {
            // Not an ELF file, or not one of this machine: nothing to observe in it.
            return remember(plain: file.identity, &state)
        }
        if library.analysis != nil { attach(&library, file, &state) }
        state.libraries.append(library)
        state.byIdentity[file.identity] = state.libraries.count - 1
        return state.libraries.count - 1
    }

    private func remember(plain identity: FileIdentity, _ state: inout State) -> Int? {
        if state.plain.count >= Self.memory { state.plain.removeAll() }
        state.plain.insert(identity)
        return nil
    }

    private func attach(_ library: inout ObservedLibrary, _ file: borrowing OpenFile, _ state: inout State) {
        guard let analysis = library.analysis, let rules = SessionRules.of(stack: analysis.stack) else { return }
        let choice = Attacher.choose(analysis, phases: state.attacher.phases)
        library.omitted = choice.omitted
        if analysis.observesSessions, !choice.sites.contains(where: { $0.hook == .stateMachine }) {
            library.state = .unobserved(reason: .noCheapSite, detail: choice.omitted.joined(separator: "; "))
            return
        }
        guard !choice.sites.isEmpty else {
            library.state = .unobserved(
                reason: .noCheapSite, detail: choice.omitted.joined(separator: "; "))
            return
        }
        guard let profile = state.attacher.reserveProfile() else {
            library.state = .unobserved(
                reason: .tooManyLibraries, detail: "more than \(TLSWATCH_MAX_PROFILES) libraries")
            return
        }
        library.profile = profile
        library.sites = choice.sites
        library.state = .attached
        announce(library)
        do {
            try state.attacher.attach(
                choice.sites, facts: analysis.facts, rules: rules, profile: profile, path: file.magicPath,
                object: kernel.object)
        } catch {
            library.sites = []
            library.state = .unobserved(
                reason: error.category == .privilege ? .permission : .attachFailed, detail: error.description)
        }
    }
}
