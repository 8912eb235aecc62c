/// A file as the kernel's probes know it: the real inode, which overlayfs hides from stat(2).
package struct MappedInode: Hashable, Sendable {
    /// The kernel's dev_t.
    package var device: UInt32
    package var inode: UInt64
    /// Tells it from an earlier file with its number, on the file systems that keep one.
    package var generation: UInt32
    /// Bytes: a file that was written over in place is another one.
    package var size: UInt64

    package init(device: UInt32, inode: UInt64, generation: UInt32, size: UInt64) {
        self.device = device
        self.inode = inode
        self.generation = generation
        self.size = size
    }
}

extension MappedInode {
    /// As stat(2) shows it.
    package init(_ file: OpenFile) {
        self.init(
            device: UInt32(truncatingIfNeeded: file.identity.device), inode: file.identity.inode, generation: 0,
            size: file.size)
    }
}

/// A file that a process maps as code.
package struct KernelMapping: Sendable {
    package var pid: UInt32
    package var start: UInt64
    package var end: UInt64
    package var file: MappedInode

    package init(pid: UInt32, start: UInt64, end: UInt64, file: MappedInode) {
        self.pid = pid
        self.start = start
        self.end = end
        self.file = file
    }

    /// The file's name in /proc/PID/map_files.
    package var range: String { String(start, radix: 16) + "-" + String(end, radix: 16) }
}
