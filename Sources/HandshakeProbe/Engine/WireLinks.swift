import Glibc
import Kernel
import Synchronization

/// The programs on packets where they are attached; gone with the process, nothing is pinned.
///
/// Unchecked: links are touched under the lock alone.
final class WireLinks: @unchecked Sendable {
    private final class Holder {
        let link: ProbeLink
        init(_ link: consuming ProbeLink) { self.link = link }
    }

    private let kernel: KernelSide
    private let lock = Mutex(())
    private var state: Holder?
    private struct Group {
        var path: String
        var links: [Holder]
    }

    /// By the inodes of their directories; the root that was asked for has 0.
    private var groups: [UInt64: Group] = [:]
    private let root: (descriptor: Int32, path: String)?

    init(kernel: KernelSide) throws(BPFError) {
        self.kernel = kernel
        root = ControlGroups.root().flatMap { path in
            let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            return descriptor < 0 ? nil : (descriptor, path)
        }
        guard root != nil else {
            throw BPFError(
                .unsupported, operation: "look at packets (--wire)",
                advice: "No cgroup v2 hierarchy is mounted: mount it on /sys/fs/cgroup/unified, or bind the host's "
                    + "/sys/fs/cgroup into the container")
        }
        let program = try unsafe kernel.object.program(WireProgram.state)
        state = Holder(try unsafe ProbeLink(tracepoint: program, name: "inet_sock_set_state"))
    }

    deinit {
        if let root { close(root.descriptor) }
    }

    /// Control groups whose packets are looked at. Any thread.
    var count: Int { lock.withLock { _ in groups.count } }

    /// All packets of the host, or of what this process sees of it.
    func attachToRoot() throws(BPFError) {
        guard let root else { return }
        let links = try self.links(on: root.descriptor, name: root.path)
        lock.withLock { _ in groups[0] = Group(path: root.path, links: links) }
    }

    /// The packets of a control group and of those below it.
    private func links(on descriptor: Int32, name: String) throws(BPFError) -> [Holder] {
        var links: [Holder] = []
        for program in [WireProgram.egress, WireProgram.ingress] {
            let program = try unsafe kernel.object.program(program)
            links.append(Holder(try unsafe ProbeLink(packets: program, group: descriptor, name: name)))
        }
        return links
    }

    /// Looks at the packets of these groups from now on, and of no others: by the inodes of their directories. The root is
    /// left out, for everything is below it. What cannot be attached to is gone, or is tried again the next time.
    func follow(groups wanted: Set<UInt64>) {
        let known = lock.withLock { _ in Set(groups.keys) }
        guard wanted != known, let root else { return }
        var found: [UInt64: (descriptor: Int32, path: String)] = [:]
        defer { for group in found.values { close(group.descriptor) } }
        for inode in wanted { found[inode] = ControlGroups.open(inode: inode, root: root.descriptor) }
        let paths = found.values.map(\.path)
        // A program on a group sees the packets of those below it: once is enough.
        let chosen = found.filter { _, group in
            group.path != root.path && !paths.contains { $0 != root.path && group.path.hasPrefix($0 + "/") }
        }
        for inode in known where chosen[inode] == nil { detach(from: inode) }
        for (inode, group) in chosen where !known.contains(inode) {
            guard let links = try? self.links(on: group.descriptor, name: group.path) else { continue }
            lock.withLock { _ in groups[inode] = Group(path: group.path, links: links) }
        }
    }

    private func detach(from inode: UInt64) {
        // Let go of outside the lock: the kernel takes its time.
        var group: Group?
        lock.withLock { _ in group = groups.removeValue(forKey: inode) }
        withExtendedLifetime(group) {}
    }

    /// Any thread.
    func letGo() {
        lock.withLock { _ in
            groups = [:]
            state = nil
        }
    }
}
