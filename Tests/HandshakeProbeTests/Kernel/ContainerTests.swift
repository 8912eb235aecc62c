import Testing

@testable import Kernel

@Suite struct ContainerTests {
    @Test(
        "A container is told by the first digits of its identifier, whatever named its control group",
        arguments: [
            ("0::/\n", nil), ("", nil), ("0::/user.slice/user-0.slice/session-1.scope\n", nil),
            ("0::/system.slice/docker-\(id).scope\n", "0123456789ab"), ("0::/docker/\(id)\n", "0123456789ab"),
            (
                "12:pids:/kubepods/besteffort/pod3d5ac8f1-8fe2-4ab2-a0ff-123456789abc/\(id)\n0::/\n", "0123456789ab"
            ),
            ("0::/kubepods.slice/cri-containerd-\(id).scope", "0123456789ab"),
            ("0::/machine/libpod-\(id)x/a", "0123456789ab"),
            ("0::/libpod-\(id).scope/container/\(other)", "ffffffffffff"), ("0::/\(id)0", nil),
        ] as [(String, String?)])
    func container(_ cgroup: String, _ expected: String?) {
        #expect(Container.identifier(in: Array(cgroup.utf8)) == expected)
    }

    private static let id = String(repeating: "0123456789abcdef", count: 4)
    private static let other = String(repeating: "f", count: 64)
}
