import Testing

@testable import HandshakeProbe

@Suite("Which file systems are local") struct MountTableTests {
    private static let table = Array(
        """
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        30 22 0:44 / /mnt/a\\040b rw,nosuid - fuse.sshfs user@host:/ rw,user_id=0
        31 22 0:45 / /run rw - tmpfs tmpfs rw
        32 22 8:17 / /data rw master:2 propagate_from:1 - fuseblk /dev/sdb1 rw
        33 22 0:46 / /nfs rw -
        """.utf8)

    @Test("A device is local where its file system needs no server, and unknown ones are not")
    func localFileSystemsNeedNoServer() {
        func isLocal(_ major: UInt32, _ minor: UInt32) -> Bool {
            MountTable.isLocal(major << 20 | minor, in: Self.table)
        }
        #expect(isLocal(254, 0))
        #expect(isLocal(0, 45))
        #expect(!isLocal(0, 44))
        #expect(!isLocal(8, 17))
        #expect(!isLocal(0, 46))
        #expect(!isLocal(9, 9))
    }

    @Test("What no table has is not local, nor is anything for a process that is gone")
    func unknownDevicesAreNotLocal() {
        var table = MountTable()
        let unknown = table.isLocal(0xfff << 20 | 1, for: 1)
        let gone = table.isLocal(0xfff << 20 | 1, for: .max)
        #expect(!unknown)
        #expect(!gone)
    }
}
