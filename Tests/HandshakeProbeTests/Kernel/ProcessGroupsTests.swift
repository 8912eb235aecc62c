import Glibc
import TestSupport
import Testing

@testable import Kernel

/// The texts are of /proc/PID/cgroup on hosts of the kinds named.
@Suite("What a process belongs to") struct ProcessGroupsTests {
    private func groups(_ text: String) -> ProcessGroups { ProcessGroups(cgroup: Array(text.utf8)) }

    @Test(
        "The unit is the system manager's, whatever lies below it",
        arguments: [
            ("0::/system.slice/nginx.service\n", "nginx.service"),
            ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
            ("0::/user.slice/user-1000.slice/session-2.scope\n", "session-2.scope"),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service\n", "user@1000.service"
            ),
            ("0::/system.slice/postgresql@15-main.service/worker\n", "postgresql@15-main.service"),
            ("0::/init.scope\n", "init.scope"), ("0::/system.slice/dev-hugepages.mount\n", "dev-hugepages.mount"),
            // An escaped dash, and a name that is also a file of the kernel's.
            ("0::/system.slice/srv\\x2da.service\n", "srv\\x2da.service"),
            ("0::/system.slice/_cpu.service\n", "cpu.service"),
            // Another namespace of control groups.
            ("0::/../../system.slice/nginx.service\n", "nginx.service"),
            // Version 1, alone and beside version 2.
            ("2:cpu,cpuacct:/other.service\n1:name=systemd:/system.slice/a.service\n", "a.service"),
            ("1:name=systemd:/system.slice/a.service\n0::/\n", "a.service"),
            ("1:name=systemd:/system.slice/b.service\n0::/system.slice/a.service\n", "a.service"),
            ("2:cpu:/system.slice/a.service\n", nil),
            ("0::/\n", nil), ("", nil), ("0::/system.slice\n", nil), ("0::/docker/0123\n", nil),
            ("0::/lxc/system.slice/a.service\n", nil), ("0::/.service\n", nil), ("0::/a b.service\n", nil),
            ("0::/" + String(repeating: "a", count: 248) + ".service\n", nil), ("0:/a.service", nil),
        ] as [(String, String?)])
    func unit(_ text: String, _ unit: String?) {
        #expect(groups(text).unit == unit)
    }

    @Test(
        "The pod is the kubelet's, by either driver of control groups",
        arguments: [
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\(uid_).slice/cri-containerd-\(id).scope",
                uid
            ),
            ("0::/kubepods.slice/kubepods-pod\(uid_).slice/crio-\(id).scope", uid),
            ("0::/kubepods/besteffort/pod\(uid)/\(id)", uid), ("11:pids:/kubepods/pod\(uid)/\(id)\n0::/\n", uid),
            ("0::/../../kubepods-besteffort-pod\(uid_).slice/x", uid),
            ("0::/kubepods/burstable/pod0123456789abcdef0123456789abcdef/x", "0123456789abcdef0123456789abcdef"),
            ("0::/machine.slice/libpod-\(id).scope", nil), ("0::/podman.service", nil), ("0::/pod", nil),
            ("0::/system.slice/other-pod\(uid_).slice", nil), ("0::/kubepods/pod0b54a9e4-1cf6", nil),
            ("0::/kubepods/pod" + String(repeating: "-", count: 36), nil), ("0::/kubepods/podX\(uid.dropFirst())", nil),
        ] as [(String, String?)])
    func pod(_ text: String, _ pod: String?) {
        #expect(groups(text).pod == pod)
    }

    @Test("One text gives all three")
    func together() {
        let text = "0::/kubepods.slice/kubepods-pod\(Self.uid_).slice/cri-containerd-\(Self.id).scope\n"
        #expect(
            groups(text)
                == ProcessGroups(container: "0123456789ab", unit: "cri-containerd-\(Self.id).scope", pod: Self.uid))
    }

    @Test("This test's own process is read as the kernel tells it; one that has ended has nothing")
    func own() {
        let text = readTextFile("/proc/self/cgroup") ?? ""
        #expect(ProcessGroups.of(pid: UInt32(getpid())) == groups(text))
        #expect(ProcessGroups.of(pid: UInt32(Int32.max)) == ProcessGroups())
    }

    @Test("Any bytes are taken", arguments: [1, 2, 3] as [UInt64])
    func anything(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        let pieces = [
            "0::", "/", "pod", Self.uid, Self.uid_, ".slice", ".service", "kubepods-", "\n", ":", "_", "\\", "\u{0}",
            "..",
        ]
        for _ in 0..<2_000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                bytes += (pieces.randomElement(using: &random) ?? "").utf8
                if Bool.random(using: &random) { bytes.append(UInt8.random(in: 0...255, using: &random)) }
            }
            let found = ProcessGroups(cgroup: bytes)
            #expect((found.unit?.utf8.count ?? 1) <= 255 && found.pod.map { [32, 36].contains($0.count) } != false)
        }
    }

    private static let id = String(repeating: "0123456789abcdef", count: 4)
    private static let uid = "0b54a9e4-1cf6-4a1b-8f6e-aa00bb11cc22"
    private static let uid_ = "0b54a9e4_1cf6_4a1b_8f6e_aa00bb11cc22"
}
