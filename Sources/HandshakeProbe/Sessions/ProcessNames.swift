import CEvents
import Handshakes
import Kernel

/// What is known of a session's process from /proc.
struct ProcessIdentity {
    var exe: String?
    var groups = ProcessGroups()

    func fill(_ handshake: inout Handshake) {
        handshake.exe = exe
        handshake.container = groups.container
        handshake.unit = groups.unit
        handshake.pod = groups.pod
    }
}

/// Of the processes that sessions belong to, the executables, and the control groups' meaning. Bounded; owned by the ring's thread.
///
/// Read at exec and at a process's first session: a short-lived one is gone when its session is printed.
struct ProcessNames {
    private struct Entry {
        var start: UInt64
        var exe: String?
        var groups: ProcessGroups
    }

    private var entries: [UInt32: Entry] = [:]
    private let capacity = 16384
    private var fresh: [RecordedProcess] = []
    /// Whether executables are kept for `takeFresh`.
    var keepsFresh = false
    /// `false` in a replay, where pids mean nothing on this host.
    var readsProc = true

    /// A process has a session: remember its executable while it can be read.
    ///
    /// - Parameter parent: the parent, where it runs the same file, else 0: it can tell for a child that is gone already.
    mutating func note(pid: UInt32, start: UInt64, parent: UInt32) {
        if let entry = entries[pid], entry.start == start { return }
        replace(pid: pid, start: start)
        guard parent != 0, readsProc, entries[pid]?.exe == nil else { return }
        let known = entries[pid]?.groups ?? ProcessGroups()
        set(
            pid: pid, start: start, exe: entries[parent]?.exe ?? executablePath(of: parent),
            // Of a process that is gone nothing could be read.
            groups: known != ProcessGroups() ? known : entries[parent]?.groups ?? ProcessGroups.of(pid: parent))
    }

    /// A process has begun a program. `told` is how the kernel named it: a fallback for one that is gone already.
    mutating func replace(pid: UInt32, start: UInt64, told: String? = nil) {
        guard readsProc else { return }
        set(
            pid: pid, start: start, exe: executablePath(of: pid) ?? told.flatMap { $0.hasPrefix("/") ? $0 : nil },
            groups: ProcessGroups.of(pid: pid))
    }

    mutating func set(pid: UInt32, start: UInt64, exe: String?, groups: ProcessGroups = ProcessGroups()) {
        let exe = exe.map { PeerText.clean($0) }
        if entries.count >= capacity { entries.removeAll(keepingCapacity: true) }
        entries[pid] = Entry(start: start, exe: exe, groups: groups)
        if let exe, keepsFresh {
            fresh.append(
                RecordedProcess(
                    pid: pid, start: start, exe: exe, container: groups.container, unit: groups.unit, pod: groups.pod))
        }
    }

    /// Hands over the executables learned since the last time, for a recording.
    mutating func takeFresh() -> [RecordedProcess] {
        guard !fresh.isEmpty else { return [] }
        defer { fresh.removeAll(keepingCapacity: true) }
        return fresh
    }

    mutating func forget(pid: UInt32) {
        entries.removeValue(forKey: pid)
    }

    func names(pid: UInt32, start: UInt64) -> ProcessIdentity {
        guard let entry = entries[pid], entry.start == start else { return ProcessIdentity() }
        return ProcessIdentity(exe: entry.exe, groups: entry.groups)
    }
}

extension tlswatch_process {
    /// The program's path as the kernel told it; `nil` where it told none.
    var pathText: String? {
        var copy = path
        return unsafe withUnsafeBytes(of: &copy) { bytes in
            let text = unsafe bytes.prefix { $0 != 0 }
            return unsafe text.isEmpty ? nil : PeerText.clean(UnsafeRawBufferPointer(rebasing: text))
        }
    }
}
