import Glibc
import Kernel

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
        ProcessMaps.codeFiles(of: pid)?.compactMap { KernelMapping($0, of: pid) }
    }
}

extension KernelMapping {
    /// `nil` where its addresses make no sense.
    init?(_ file: MappedFile, of pid: UInt32) {
        let bounds = file.range.split(separator: "-").compactMap { UInt64($0, radix: 16) }
        guard bounds.count == 2 else { return nil }
        self.init(pid: pid, start: bounds[0], end: bounds[1], file: file.inode)
    }
}
