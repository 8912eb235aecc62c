/// Which container a process runs in, as its control group's path tells (cgroups(7)): Docker, containerd, CRI-O, Podman
/// and Kubernetes name the group after the container's identifier, 64 hexadecimal digits.
enum Container {
    private static let digits = 64
    private static let told = 12

    /// The last identifier in a control group's path, of the innermost container: its first twelve digits, as the runtimes' own
    /// tools show it; `nil` outside of a container.
    static func identifier(in cgroup: [UInt8]) -> String? {
        var found: String?
        var length = 0
        for (place, byte) in (cgroup + [UInt8(ascii: "\n")]).enumerated() {
            if isHexadecimal(byte) {
                length += 1
                continue
            }
            if length == digits {
                found = String(decoding: cgroup[place - length..<place - length + told], as: UTF8.self)
            }
            length = 0
        }
        return found
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
}
