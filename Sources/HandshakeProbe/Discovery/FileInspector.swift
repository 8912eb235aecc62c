import Glibc
import Handshakes
import Kernel

/// What a file is to TLS: of which stack, how it can be observed, or why it cannot. One for the daemon, `targets` and
/// `doctor`, which agree for that reason. Owned by one thread; every file is opened, read and closed by the reader's.
struct FileInspector: Sendable {
    enum Verdict: Sendable {
        /// It was read; the name is the one by which it was found. What the look left open is for the caller to `close`.
        case looked(FileLook, foundAs: String)
        /// It cannot be opened or read, with errno and its name; that its process has gone is no fault of the file.
        case failed(Int32, name: String?)
        /// The name leads to another file by now.
        case another
        /// Its file system does not answer.
        case hangs(detail: String, name: String?)

        /// Why it is not known what the file holds, where the file is the reason.
        var refusal: (reason: UnobservedReason, detail: String, path: String)? {
            switch self {
            case .looked, .another: nil
            case .failed(let error, let name?) where Self.refusals.contains(error):
                (.unreadable, "it cannot be read: \(errnoText(error))", name)
            case .failed: nil
            case .hangs(let detail, let name): (.fileSystemHangs, detail, name ?? Label.unknown)
            }
        }

        private static let refusals: Set<Int32> = [
            EACCES, EPERM, EIO, ENOTCONN, ESTALE, ETIMEDOUT, EREMOTEIO, EHOSTDOWN, EKEYREJECTED,
        ]
    }

    let reader: ForeignReader
    let looker: FileLooker
    private var mounts = MountTable()

    /// - Parameter mappings: `nil` where no BPF program is loaded.
    init(reader: ForeignReader, mappings: HostMappings?, stacks: TLSStacks) {
        self.reader = reader
        looker = FileLooker(mappings: mappings, stacks: stacks)
    }

    var stacks: TLSStacks { looker.stacks }

    /// Forgets which devices hold local file systems: their numbers are reused.
    mutating func forgetMounts() { mounts.forget() }

    /// The file behind a mapping itself, whatever its name leads to now; by its name where the kernel refuses that.
    ///
    /// - Parameters:
    ///   - name: as /proc/PID/maps has it; asked for when it is needed, where it is not known.
    ///   - known: what is known of the file from an earlier look.
    mutating func inspect(
        _ mapping: KernelMapping, name: (text: String, deleted: Bool)? = nil, known: FileLook.Known? = nil
    ) -> Verdict {
        let asking = mounts.isLocal(mapping.file.device, for: mapping.pid) ? nil : FileLooker.link(to: mapping)
        let answer = reader.look(at: .device(mapping.file.device), asking: asking) { [looker] in
            looker.mapped(mapping, name: name?.text ?? "", known: known)
        }
        let found: (text: String, deleted: Bool)?
        switch answer {
        case .value(.looked(let look)): return .looked(look, foundAs: name?.text ?? look.path)
        case .value(.another): return .another
        case .value(.failed(let error)):
            // The name would not help.
            guard error != EMFILE, error != ENFILE else { return .failed(error, name: name?.text) }
            found = name ?? self.name(of: mapping)
            if let found, !found.deleted {
                let second = named(
                    found.text, root: "/proc/\(mapping.pid)/root", expected: mapping.file, known: known)
                // What stood in the way of the mapped file itself says more than what its name leads to.
                if case .looked = second { return second }
            }
            return .failed(error, name: found?.text)
        case .hangs(let detail):
            found = name ?? self.name(of: mapping)
            return .hangs(detail: detail, name: found?.text)
        }
    }

    /// A file by its name in the view of `root`.
    ///
    /// - Parameters:
    ///   - expected: what it must be, where that is known.
    ///   - seen: what files led to that were looked at, which are not read again.
    func named(
        _ path: String, root: String = "", expected: MappedInode? = nil, known: FileLook.Known? = nil,
        seen: [MappedInode: Int?] = [:]
    ) -> Verdict {
        let answer = reader.look(at: .path(root + path), asking: root + path) { [looker] in
            looker.named(path, root: root, expected: expected, known: known, seen: seen)
        }
        return switch answer {
        case .value(.looked(let look)): .looked(look, foundAs: path)
        case .value(.failed(let error)): .failed(error, name: path)
        case .value(.another): .another
        case .hangs(let detail): .hangs(detail: detail, name: path)
        }
    }

    /// The companion of a library whose version its own file does not tell, looked at, and the name by which it was found.
    ///
    /// - Parameters:
    ///   - path: the library's name in the view of `root`.
    ///   - seen: as of `named`.
    func companion(
        of look: FileLook, foundAs path: String, root: String, seen: [MappedInode: Int?] = [:]
    ) -> (look: FileLook, path: String)? {
        guard case .analysed(let analysis) = look.finding, analysis.observesSessions, analysis.version == nil,
            let name = stacks.named(analysis.stack)?.companion
        else { return nil }
        var library = look
        library.file = nil
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let asking = mounts.isKnown(look.inode.device) ? nil : root + path
        let answer = reader.look(at: .path(root + directory), asking: asking) {
            [looker, library] () -> (look: FileLook, path: String)? in
            guard let companion = Companion(of: library, called: name, path: path, root: root),
                case .looked(let look) = looker.named(companion.path, root: root, seen: seen)
            else { return nil }
            return (look, companion.path)
        }
        return answer.value ?? nil
    }

    /// Closes what a look left open, where that may wait.
    func close(_ look: FileLook) {
        guard let file = look.file else { return }
        _ = reader.look(at: .device(look.inode.device)) { file.close() }
    }

    private func name(of mapping: KernelMapping) -> (text: String, deleted: Bool)? {
        reader.look(at: .process(mapping.pid)) { ProcessMaps.path(of: mapping) }.value ?? nil
    }
}
