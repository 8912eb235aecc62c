import Code
import Glibc
import Kernel

/// What a look at one file found. Values only, but for the file itself where it is to be probed: they outlive the look.
struct FileLook: Sendable {
    enum Finding: Sendable {
        /// It was looked at before.
        case seen
        /// It holds no TLS stack.
        case nothing
        case analysed(LibraryAnalysis)
        /// The stack is known and not observed.
        case unsupported(stack: String)
        case thirtyTwoBit(stack: String)
        /// It holds a stack that is observed elsewhere, of a release that is too old.
        case outdated(stack: String, detail: String)
        /// It holds a stack that is observed elsewhere, and its code could not be read.
        case failed(String)
    }

    /// What is known of it from an earlier look.
    struct Known: Sendable {
        var analysis: LibraryAnalysis
        /// As `OpenFile.changed` at that time.
        var changed: Int
    }

    /// The kernel's name for it.
    var path: String
    var inode: MappedInode
    var identity: FileIdentity
    var changed: Int
    var size: UInt64
    var modified: Int
    var isFresh: Bool
    var finding: Finding
    /// Open where there is something to probe. To be closed by a look of its own.
    var file: OpenFile?

    /// On the reader's thread.
    ///
    /// - Parameters:
    ///   - path: its name where the kernel has none.
    ///   - own: this program's file, which holds the texts that it looks for.
    ///   - isSeen: whether it need not be read again.
    fileprivate init(
        _ file: OpenFile, path: String, inode: MappedInode, own: OwnFile?, isSeen: Bool, known: Known?,
        stacks: TLSStacks
    ) {
        self.path = file.kernelPath ?? path
        self.inode = inode
        identity = file.identity
        (changed, size, modified, isFresh) = (file.changed, file.size, file.modified, file.isFresh)
        if isSeen {
            finding = .seen
        } else if let own, inode == own.inode || identity == own.identity {
            finding = .nothing
        } else if let known, known.changed == file.changed, !file.isFresh {
            finding = .analysed(known.analysis)
        } else {
            finding = Self.finding(file, stacks)
        }
        if case .analysed = finding { self.file = file } else { file.close() }
    }

    static func finding(_ file: OpenFile, _ stacks: TLSStacks = .builtIn) -> Finding {
        guard let elf = try? ELFFile(fileDescriptor: file.descriptor) else {
            // What is no ELF file of this machine has nothing to observe in it.
            return (try? ELFSource(duplicating: file.descriptor)).flatMap(ELF32.init)
                .flatMap(UnsupportedStacks.recognise).map { .thirtyTwoBit(stack: $0) } ?? .nothing
        }
        var failure: AnalysisError?
        do {
            if let analysis = try stacks.analyse(elf), analysis.isCompanion || !analysis.sites.isEmpty {
                return .analysed(analysis)
            }
        } catch {
            if let stack = error.outdated { return .outdated(stack: stack, detail: error.description) }
            failure = error
        }
        // Others have texts of OpenSSL too: what was made from it, and what looks for it.
        if let stack = UnsupportedStacks.recognise(elf), failure?.stack != stack { return .unsupported(stack: stack) }
        return failure.map { .failed($0.description) } ?? .nothing
    }
}

/// This program's own file.
struct OwnFile: Sendable {
    let inode: MappedInode
    let identity: FileIdentity
}

/// What became of opening a file.
enum FileAnswer: Sendable {
    case looked(FileLook)
    /// With errno.
    case failed(Int32)
    /// The name leads to another file by now.
    case another
}

/// Opens and reads files, on the reader's thread.
struct FileLooker: Sendable {
    /// `nil` where no BPF program is loaded: files are then known as stat(2) tells them.
    private let mappings: HostMappings?
    private let own: OwnFile?
    let stacks: TLSStacks

    init(mappings: HostMappings?, stacks: TLSStacks) {
        self.mappings = mappings
        self.stacks = stacks
        own = OpenFile("/proc/self/exe").map { file in
            OwnFile(inode: mappings?.inode(of: file) ?? MappedInode(file), identity: file.identity)
        }
    }

    /// The kernel's link to the mapped file itself.
    static func link(to mapping: KernelMapping) -> String { "/proc/\(mapping.pid)/map_files/\(mapping.range)" }

    /// Opens and reads the file behind a mapping: the mapped one itself, whatever its name leads to now.
    ///
    /// - Parameter name: its name, where the kernel has none.
    func mapped(_ mapping: KernelMapping, name: String, known: FileLook.Known?) -> FileAnswer {
        guard let file = OpenFile(Self.link(to: mapping)) else { return .failed(errno) }
        return read(file, path: name, expected: mapping.file, known: known)
    }

    /// The same by a name in the view of `root`: what /proc/PID/map_files refuses without CAP_CHECKPOINT_RESTORE.
    ///
    /// - Parameters:
    ///   - expected: what it must be, where that is known.
    ///   - seen: what files led to that were looked at.
    func named(
        _ path: String, root: String = "", expected: MappedInode? = nil, known: FileLook.Known? = nil,
        seen: [MappedInode: Int?] = [:]
    ) -> FileAnswer {
        guard let file = OpenFile(root + path) else { return .failed(errno) }
        return read(file, path: path, expected: expected, known: known, seen: seen)
    }

    private func read(
        _ file: OpenFile, path: String, expected: MappedInode?, known: FileLook.Known?,
        seen: [MappedInode: Int?] = [:]
    ) -> FileAnswer {
        if let error = file.readError {
            file.close()
            return .failed(error)
        }
        let inode = mappings?.inode(of: file) ?? MappedInode(file)
        if let expected, inode != expected, mappings?.knowsInodes == true {
            file.close()
            return .another
        }
        return .looked(
            FileLook(
                file, path: path, inode: expected ?? inode, own: own, isSeen: seen[inode] != nil, known: known,
                stacks: stacks))
    }
}

extension FileLook.Finding {
    /// Why a file with this finding is not observed; `nil` where it is to be, or holds nothing.
    var unobserved: (stack: String, reason: UnobservedReason, detail: String)? {
        switch self {
        case .seen, .nothing, .analysed: nil
        case .unsupported(let stack):
            (stack, .unsupportedStack, UnsupportedStacks.reason(stack))
        case .thirtyTwoBit(let stack):
            (stack, .thirtyTwoBit, "32-bit \(UnsupportedStacks.title(stack)) is not supported yet")
        case .outdated(let stack, let detail): (stack, .goTooOld, detail)
        case .failed(let detail): ("unknown", .analysisFailed, detail)
        }
    }
}
