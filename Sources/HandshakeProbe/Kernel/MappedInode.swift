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
