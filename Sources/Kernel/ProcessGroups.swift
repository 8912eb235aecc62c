/// What a process belongs to, as its control group's path tells (cgroups(7)). What does not apply is `nil`.
package struct ProcessGroups: Sendable, Equatable {
    /// The first twelve digits of its container's identifier.
    package var container: String?
    /// The systemd unit of the system's manager, as `systemctl status PID` names it: `nginx.service`, `session-2.scope`.
    package var unit: String?
    /// The UID of its Kubernetes pod.
    package var pod: String?

    package init(container: String? = nil, unit: String? = nil, pod: String? = nil) {
        self.container = container
        self.unit = unit
        self.pod = pod
    }

    /// Reads /proc. Nothing is known of a process that has ended.
    package static func of(pid: UInt32) -> ProcessGroups {
        readFile("/proc/\(pid)/cgroup", limit: 16384).map { ProcessGroups(cgroup: $0) } ?? ProcessGroups()
    }

    /// - Parameter cgroup: the text of /proc/PID/cgroup, a line for each hierarchy: `0::/system.slice/nginx.service`.
    package init(cgroup: [UInt8]) {
        container = Container.identifier(in: cgroup)
        let paths = cgroup.split(separator: UInt8(ascii: "\n")).compactMap(Self.path)
        // systemd keeps its units in cgroup v2, or in a hierarchy of v1 of its own.
        let own = paths.filter { $0.controllers.isEmpty } + paths.filter { $0.controllers == "name=systemd" }
        unit = own.lazy.compactMap { Self.unit(in: $0.components) }.first
        pod = paths.lazy.compactMap { path in path.components.lazy.compactMap(Self.pod).first }.first
    }

    private static func path(_ line: ArraySlice<UInt8>) -> (controllers: String, components: [String])? {
        let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3 else { return nil }
        let components = fields[2].split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
        return (String(decoding: fields[1], as: UTF8.self), components)
    }

    // MARK: units

    /// Those that have processes (systemd.unit(5)).
    private static let unitTypes = [".service", ".scope", ".socket", ".mount", ".swap"]
    /// UNIT_NAME_MAX.
    private static let longestUnit = 255

    /// The first component that is no slice, if it is a unit's name: below it, groups have any name.
    private static func unit(in components: [String]) -> String? {
        // Seen from another namespace of control groups, the way to a process begins with the way out.
        let inside = components.drop { $0 == ".." }
        guard let component = inside.first(where: { !isUnit($0, [".slice"]) }) else { return nil }
        // systemd writes an underscore before a name that is also one of the kernel's files.
        let name = component.hasPrefix("_") ? String(component.dropFirst()) : component
        return isUnit(name, unitTypes) ? name : nil
    }

    private static func isUnit(_ name: String, _ types: [String]) -> Bool {
        name.utf8.count <= longestUnit && types.contains { name.utf8.count > $0.utf8.count && name.hasSuffix($0) }
            && name.utf8.allSatisfy { byte in
                isAlphanumeric(byte) || "-_.:@\\".utf8.contains(byte)
            }
    }

    // MARK: pods

    /// `pod0b54a9e4-…` as a kubelet with the cgroupfs driver names it, `kubepods-besteffort-pod0b54a9e4_….slice` with systemd's.
    /// A pod from a file of the node has 32 digits without dashes.
    private static func pod(in component: String) -> String? {
        var name = component[...]
        if name.hasSuffix(".slice") {
            guard name.hasPrefix("kubepods") else { return nil }
            name = name.dropLast(".slice".count)
            guard let dash = name.lastIndex(of: "-") else { return nil }
            name = name[name.index(after: dash)...]
        }
        guard name.hasPrefix("pod") else { return nil }
        let text = name.dropFirst("pod".count).map { $0 == "_" ? "-" : $0 }
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        let isHexadecimal = text.allSatisfy { $0 == "-" || ("0"..."9").contains($0) || ("a"..."f").contains($0) }
        guard isHexadecimal, [[32], [8, 4, 4, 4, 12]].contains(groups.map(\.count)) else { return nil }
        return String(text)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
    }
}
