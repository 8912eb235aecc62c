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
    private let state: Mutex<CatalogState>
    private let published = Mutex(Published())
    /// Called when a library has come, gone, or is observed otherwise.
    private let announceNews: @Sendable () -> Void

    private struct Published {
        var libraries: [ObservedLibrary] = []
        var uncovered = UncoveredProcesses()
        var evicted: UInt64 = 0
    }

    init(
        kernel: KernelSide, rung: ProbeRung, phases: Bool, limit: Int,
        announce: @escaping @Sendable (ObservedLibrary) -> Void, news: @escaping @Sendable () -> Void
    ) {
        announceNews = news
        state = Mutex(CatalogState(kernel: kernel, rung: rung, phases: phases, limit: limit, announce: announce))
    }

    /// What was known when it was last published.
    public var libraries: [ObservedLibrary] { published.withLock { $0.libraries } }
    /// The processes that no library stands for, as last published.
    var uncovered: UncoveredProcesses { published.withLock { $0.uncovered } }
    /// Libraries that made room for others, as last published.
    var evicted: UInt64 { published.withLock { $0.evicted } }

    /// Looks at a file named by the user. The library that it is, or `nil` where it holds no known TLS stack.
    ///
    /// - Throws: `BPFError` of category `.input` when it cannot be read or is no ELF file.
    func add(path: String) throws(BPFError) -> ObservedLibrary? {
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw BPFError(.input, operation: "observe \(path)", advice: "It is not a regular file")
        }
        guard let file = OpenFile(path) else {
            throw BPFError(.input, operation: "read \(path)", errno: errno == 0 ? EINVAL : errno)
        }
        do {
            _ = try ELFFile(fileDescriptor: file.descriptor)
        } catch {
            throw BPFError(.input, operation: "observe \(path)", advice: "\(error)")
        }
        return change { $0.add(file, path: path) }
    }

    /// Looks at files that may or may not be there: the linker cache's, a command's.
    ///
    /// - Parameter root: before every path, where it is another view than this process's own.
    func addIfPresent(_ paths: [String], root: String = "") {
        change { state in
            for path in paths {
                if let file = OpenFile(root + path) { _ = state.add(file, path: path, root: root) }
            }
        }
    }

    /// Works on the state, and publishes what comes of it.
    @discardableResult
    func change<Result: Sendable>(_ body: (inout CatalogState) -> Result) -> Result {
        state.withLock { state in
            let result = body(&state)
            guard state.takeChanged() else { return result }
            let libraries = state.libraries.sorted { $0.key < $1.key }.map(\.value)
            let next = Published(libraries: libraries, uncovered: state.elsewhere, evicted: state.evicted)
            published.withLock { $0 = next }
            if state.takeNews() { announceNews() }
            return result
        }
    }

    /// Takes off every probe, at the end; what was published stays.
    func detachAll() { state.withLock { $0.detachAll() } }

    /// Takes off the probes of a library whose records make no sense.
    func distrust(profile: Int) { change { $0.distrust(profile: profile) } }

    /// One is readable when a probed file was written in place, or somebody waits to do so.
    var guardDescriptors: [Int32] { state.withLock { $0.guardDescriptors } }

    /// - Throws: `BPFError` of category `.privilege` where the kernel refused every library for want of permission.
    func requirePermission() throws(BPFError) {
        let refused = libraries.filter {
            if case .unobserved(.permission, _) = $0.state { true } else { false }
        }
        guard let first = refused.first, refused.count == libraries.count else { return }
        throw BPFError(.privilege, operation: "attach to \(first.path)")
    }
}
