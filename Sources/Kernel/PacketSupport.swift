/// Whether packets can be looked at here (`--wire`), for `doctor`. Nothing is attached.
package struct PacketSupport: Sendable {
    /// Where the control groups are; `nil` where they are not to be seen.
    package var root: String?
    package var isPermitted: Bool
    /// Programs of others that work on all packets; `nil` where the kernel does not tell.
    package var others: Int?

    package static func probe() -> PacketSupport {
        let root = ControlGroups.root()
        let privileges = Privileges.current(rung: nil, wire: true)
        return PacketSupport(
            root: root, isPermitted: !privileges.missing.contains("CAP_NET_ADMIN"),
            others: root.flatMap(ControlGroups.programs(at:)))
    }

    /// A sentence each, and whether it is good.
    package var sentences: [(good: Bool, name: String, detail: String)] {
        var sentences = [
            (
                root != nil, "control groups",
                root.map { "cgroup v2 at \($0)" }
                    ?? "no cgroup v2 hierarchy is mounted, or it is hidden from this process"
            ),
            (
                isPermitted, "CAP_NET_ADMIN",
                isPermitted ? "held" : "not held: --wire is refused (packaging/examples/wire.conf grants it)"
            ),
        ]
        if let others, others > 0 {
            sentences.append(
                (true, "other programs", "\(others) on all packets: tlswatch's cost less beside them"))
        }
        return sentences
    }
}
