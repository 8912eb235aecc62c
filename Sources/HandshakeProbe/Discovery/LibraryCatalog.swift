import Code
import Glibc
import Handshakes
import Kernel
import Synchronization

/// Every file of a TLS stack that was found, each read once, and what became of it.
///
/// One thread at a time works on it (the lock); others read what was last published, and never wait for that work.
package final class LibraryCatalog: Sendable {
    private let state: Mutex<CatalogState>
    private let published = Mutex(Published())
    private let requests = Mutex(Requests())
    /// Readable while there are some.
    private let wake: Int32
    /// Called when a library has come, gone, or is observed otherwise.
    private let announceNews: @Sendable () -> Void
    let reader: ForeignReader

    /// What is to be done to the probes of libraries, by profile.
    private struct Requests {
        var distrusted: Set<Int> = []
        var objectFree: Set<Int> = []

        var isEmpty: Bool { distrusted.isEmpty && objectFree.isEmpty }
    }

    private struct Published {
        var libraries: [ObservedLibrary] = []
        var uncovered = UncoveredProcesses()
        var evicted: UInt64 = 0
    }

    init(
        kernel: KernelSide, rung: ProbeRung, options: CatalogOptions,
        announce: @escaping @Sendable (ObservedLibrary) -> Void, news: @escaping @Sendable () -> Void
    ) throws(BPFError) {
        announceNews = news
        wake = eventDescriptor()
        guard wake >= 0 else { throw .from(errno, operation: "create an eventfd") }
        let reader = ForeignReader(.first)
        self.reader = reader
        state = Mutex(CatalogState(kernel: kernel, reader: reader, rung: rung, options: options, announce: announce))
    }

    deinit { close(wake) }

    /// What was known when it was last published. A companion is part of its library.
    package var libraries: [ObservedLibrary] { published.withLock { $0.libraries } }
    /// The processes that no library stands for, as last published.
    var uncovered: UncoveredProcesses { published.withLock { $0.uncovered } }
    /// Libraries that made room for others, as last published.
    var evicted: UInt64 { published.withLock { $0.evicted } }

    /// Looks at a file named by the user. The library that it is, or `nil` where it holds no known TLS stack.
    ///
    /// - Throws: `BPFError` of category `.input` when it cannot be read or is no ELF file.
    func add(path: String) throws(BPFError) -> ObservedLibrary? {
        enum Outcome: Sendable {
            case looked(FileLook)
            case refused(errno: Int32?, advice: String?)
        }
        let looker = state.withLock { $0.inspector.looker }
        let answer = reader.look(at: .path(path), asking: path) { () -> Outcome in
            var status = stat()
            if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
                return .refused(errno: nil, advice: "It is not a regular file")
            }
            switch looker.named(path) {
            case .looked(let look):
                if case .nothing = look.finding {
                    do throws(ELFError) {
                        _ = try ELFFile(path: path)
                    } catch {
                        return .refused(errno: nil, advice: error.description)
                    }
                }
                return .looked(look)
            case .failed(let error): return .refused(errno: error == 0 ? EINVAL : error, advice: nil)
            case .another: return .refused(errno: ESTALE, advice: nil)
            }
        }
        switch answer {
        case .value(.looked(let look)): return change { $0.add(look, path: path) }
        case .value(.refused(let error?, _)): throw BPFError(.input, operation: "read \(path)", errno: error)
        case .value(.refused(nil, let advice)):
            throw BPFError(.input, operation: "observe \(path)", advice: advice)
        case .hangs(let detail):
            throw BPFError(.input, operation: "read \(path)", advice: "Its file system does not answer: \(detail)")
        }
    }

    /// Looks at files that may or may not be there: the linker cache's, a command's.
    ///
    /// - Parameter root: before every path, where it is another view than this process's own.
    func addIfPresent(_ paths: [String], root: String = "") {
        for path in paths {
            let (inspector, seen) = state.withLock { ($0.inspector, $0.files) }
            if case .looked(let look, _) = inspector.named(path, root: root, seen: seen) {
                change { state in
                    state.mappedAt = nil
                    _ = state.add(look, path: path, root: root)
                }
            }
        }
    }

    /// Works on the state, and publishes what comes of it.
    @discardableResult
    func change<Result: Sendable>(_ body: (inout CatalogState) -> Result) -> Result {
        state.withLock { state in
            let result = body(&state)
            guard state.takeChanged() else { return result }
            let rows = state.rows
            let next = Published(libraries: rows, uncovered: state.elsewhere(rows), evicted: state.evicted)
            published.withLock { $0 = next }
            if state.takeNews() { announceNews() }
            return result
        }
    }

    /// Takes off every probe, at the end; what was published stays.
    func detachAll() { state.withLock { $0.detachAll() } }

    /// Has the probes of a library taken off whose records make no sense. Any thread; waits for nothing.
    func distrust(profile: Int) { request { $0.distrusted.insert(profile) } }

    /// Has the end of objects probed in a library where that has waited. Any thread; waits for nothing.
    func probeObjectFree(profile: Int) { request { $0.objectFree.insert(profile) } }

    private func request(_ add: (inout Requests) -> Void) {
        var one: UInt64 = 1
        requests.withLock { requests in
            add(&requests)
            unsafe _ = write(wake, &one, 8)
        }
    }

    /// Does what was asked for since the last call.
    func carryOutRequests() {
        var count: UInt64 = 0
        let taken = requests.withLock { requests in
            defer { requests = Requests() }
            if !requests.isEmpty { unsafe _ = read(wake, &count, 8) }
            return requests
        }
        guard !taken.isEmpty else { return }
        change { state in
            state.distrust(taken.distrusted)
            state.probeObjectFree(taken.objectFree)
        }
    }

    /// One is readable when a probed file was written in place, or somebody waits to do so, or something was asked for.
    var wakeDescriptors: [Int32] { [wake] + state.withLock { $0.guardDescriptors } }

    /// What took part and was not observed, and files for which there was no room among them; to be asked for at the end.
    ///
    /// - Parameter told: as `Sightings.list`.
    package func sightings(observed told: Set<UInt32>?, seen: Set<UInt32>) -> (list: [Sighting], omitted: Int) {
        state.withLock { ($0.sightings?.list(observed: told, seen: seen) ?? [], $0.sightings?.omitted ?? 0) }
    }

    /// - Throws: `BPFError` of category `.privilege` where the kernel refused every library for want of permission.
    func requirePermission() throws(BPFError) {
        let analysed = libraries.filter { $0.analysis != nil }
        let refused = analysed.filter {
            if case .unobserved(.permission, _) = $0.state { true } else { false }
        }
        guard let first = refused.first, refused.count == analysed.count else { return }
        throw BPFError(.privilege, operation: "attach to \(first.path)")
    }
}
