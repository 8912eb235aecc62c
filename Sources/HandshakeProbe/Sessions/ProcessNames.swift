import CEvents
import Handshakes
import Kernel

/// Of the processes that sessions belong to, the executables, and the control groups' meaning. Bounded; owned by the ring's thread.
///
/// Read at exec and at a process's first session: a short-lived one is gone when its session is printed.
struct ProcessNames {
    private struct Entry {
        var start: UInt64
        var exe: String?
        var groups: ProcessGroups
    }

    /// What the last session had, and by what that was found: most sessions come from the process and thread that the one before
    /// came from.
    private struct Last {
        var pid: UInt32
        var start: UInt64
        var comm, thread: TaskName
        var process: HandshakeProcess
    }

    private var entries: [UInt32: Entry] = [:] {
        didSet { (last, noted) = (nil, nil) }
    }
    private var last: Last?
    /// The process that was noted last.
    private var noted: (pid: UInt32, start: UInt64)?
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
        if let noted, noted.pid == pid, noted.start == start { return }
        if let entry = entries[pid], entry.start == start {
            noted = (pid, start)
            return
        }
        guard readsProc else {
            noted = (pid, start)
            return
        }
        replace(pid: pid, start: start)
        guard parent != 0, entries[pid]?.exe == nil else { return }
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

    /// What is known of a process, of a session by its thread.
    mutating func process(pid: UInt32, start: UInt64, _ comm: TaskName, _ thread: TaskName) -> HandshakeProcess {
        if let last, last.pid == pid, last.start == start, last.comm == comm, last.thread == thread {
            return last.process
        }
        let process = process(pid: pid, start: start, comm: comm.text, thread: thread.text)
        last = Last(pid: pid, start: start, comm: comm, thread: thread, process: process)
        return process
    }

    func process(pid: UInt32, start: UInt64, comm: String, thread: String? = nil) -> HandshakeProcess {
        guard let entry = entries[pid], entry.start == start else {
            return HandshakeProcess(comm: comm, thread: thread)
        }
        return HandshakeProcess(
            comm: comm, thread: thread, exe: entry.exe, container: entry.groups.container, unit: entry.groups.unit,
            pod: entry.groups.pod)
    }
}

/// A task's name as records have it.
struct TaskName: Equatable {
    private let low, high: UInt64

    /// - Parameter comm: `char[TLSWATCH_COMM_SIZE]`.
    init(
        _ comm: (
            CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar,
            CChar
        )
    ) {
        (low, high) = unsafe withUnsafeBytes(of: comm) { bytes in
            unsafe (
                bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            )
        }
    }

    var text: String { PeerText.comm((low, high)) }
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
