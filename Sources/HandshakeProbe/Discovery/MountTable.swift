import Kernel

/// Which file systems are this machine's own, from the kernel's table of mounts (proc_pid_mountinfo(5)): asking that asks
/// no file system.
struct MountTable: Sendable {
    /// File systems that no server provides.
    private static let local: Set<Substring> = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "jfs", "reiserfs", "zfs", "tmpfs", "ramfs",
        "rootfs", "devtmpfs", "hugetlbfs", "squashfs", "erofs", "iso9660", "udf", "vfat", "exfat", "ntfs3", "ubifs",
        "overlay",
    ]

    /// Devices known to be local, of this pass: their numbers are reused.
    private var known: Set<UInt32> = []

    /// Forgets what it knows.
    mutating func forget() { known.removeAll(keepingCapacity: true) }

    /// Whether that has been found out of a device.
    func isKnown(_ device: UInt32) -> Bool { known.contains(device) }

    /// Whether a device holds a local file system, as a process sees it or else this one; false where neither does.
    mutating func isLocal(_ device: UInt32, for pid: UInt32) -> Bool {
        if known.contains(device) { return true }
        let isLocal = ["/proc/\(pid)/mountinfo", "/proc/self/mountinfo"].contains { table in
            readFile(table, limit: 4 << 20).map { Self.isLocal(device, in: $0) } ?? false
        }
        if isLocal { known.insert(device) }
        return isLocal
    }

    /// Lines `ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS [FIELDS] - TYPE SOURCE OPTIONS`.
    static func isLocal(_ device: UInt32, in table: [UInt8]) -> Bool {
        let number = Array("\(device >> 20):\(device & 0xfffff)".utf8)
        for line in table.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "))
            guard fields.count > 2, fields[2].elementsEqual(number),
                let separator = fields.firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
                separator + 1 < fields.count
            else { continue }
            return local.contains(Substring(decoding: fields[separator + 1], as: UTF8.self))
        }
        return false
    }
}
