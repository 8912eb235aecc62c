import Glibc

/// A file as the kernel's probes know it: the real inode, which overlayfs hides from stat(2).
struct MappedInode: Hashable, Sendable {
    /// The kernel's dev_t.
    var device: UInt32
    var inode: UInt64
    /// Tells it from an earlier file with its number, on the file systems that keep one.
    var generation: UInt32
    /// Bytes: a file that was written over in place is another one.
    var size: UInt64
}

extension MappedInode {
    /// As stat(2) shows it.
    init(_ file: OpenFile) {
        self.init(
            device: UInt32(truncatingIfNeeded: file.identity.device), inode: file.identity.inode, generation: 0,
            size: file.size)
    }
}

/// A file that a process maps as code.
struct KernelMapping: Sendable {
    var pid: UInt32
    var start: UInt64
    var end: UInt64
    var file: MappedInode

    /// The file's name in /proc/PID/map_files.
    var range: String { String(start, radix: 16) + "-" + String(end, radix: 16) }
}

/// What processes map as code: from the kernel's own structures where it can list them (Linux 5.12), else from
/// /proc/PID/maps, which shows overlayfs's inodes instead of the real ones.
struct HostMappings: Sendable {
    private let kernel: KernelSide

    init(kernel: KernelSide) {
        self.kernel = kernel
    }

    /// Whether files are known by the kernel's own inodes.
    var knowsInodes: Bool { kernel.object.listsProcesses }

    /// The mappings of one process, or of all where `pid` is nil; `nil` if they cannot be read.
    func list(of pid: UInt32? = nil) -> [KernelMapping]? {
        if let mappings = kernel.object.mappings(of: pid) { return mappings }
        guard let pid else { return ProcessMaps.allProcesses().flatMap { fromProc($0) ?? [] } }
        return fromProc(pid)
    }

    /// The file behind a descriptor: mapped here for a moment, where the kernel can tell which inode that is.
    func inode(of file: OpenFile) -> MappedInode {
        let named = MappedInode(file)
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        guard let area = unsafe mmap(nil, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.descriptor, 0),
            unsafe area != MAP_FAILED
        else { return named }
        defer { unsafe _ = munmap(area, page) }
        let start = UInt64(UInt(bitPattern: area))
        let own = kernel.object.mappings(of: UInt32(getpid()))
        return own?.first { $0.start == start }?.file ?? named
    }

    private func fromProc(_ pid: UInt32) -> [KernelMapping]? {
        ProcessMaps.codeFiles(of: pid)?.compactMap { file in
            let bounds = file.range.split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard bounds.count == 2 else { return nil }
            return KernelMapping(pid: pid, start: bounds[0], end: bounds[1], file: file.inode)
        }
    }
}
