import Handshakes
import Kernel

/// Files that processes map and that cannot be looked at: what they hold is not known, and is not passed over.
struct BlockedFiles {
    struct Entry {
        var path: String
        var reason: UnobservedReason
        var detail: String
        var processes: Set<UInt32> = []
        /// In the order of the addresses, in which a program comes before its libraries.
        var order: Int
    }

    /// Files reported one by one, at most.
    private static let limit = 500
    /// Stands for all others.
    private static let others = MappedInode(device: 0, inode: 0, generation: 0, size: 0)

    private(set) var entries: [MappedInode: Entry] = [:]
    private var before: Set<MappedInode> = []

    /// All processes are about to be looked at.
    mutating func begin() {
        before = Set(entries.keys)
        entries.removeAll(keepingCapacity: true)
    }

    /// Whether the file was not known before.
    mutating func note(
        _ file: MappedInode, pid: UInt32, reason: UnobservedReason, detail: String, path: @autoclosure () -> String
    ) -> Bool {
        if entries[file] != nil {
            entries[file]?.processes.insert(pid)
            return false
        }
        var file = file
        if entries.count >= Self.limit { file = Self.others }
        let isNew = entries[file] == nil && !before.contains(file)
        let path = file == Self.others ? Label.other : path()
        let order = entries.count
        entries[file, default: Entry(path: path, reason: reason, detail: detail, order: order)].processes.insert(pid)
        return isNew
    }

    /// Whether any of them was the parent's.
    mutating func forked(_ pid: UInt32, from parent: UInt32) -> Bool {
        var found = false
        for (file, entry) in entries where entry.processes.contains(parent) {
            found = true
            entries[file]?.processes.insert(pid)
        }
        return found
    }

    /// Whether any of them was the process's.
    mutating func forget(_ pid: UInt32) -> Bool {
        var found = false
        for (file, entry) in entries where entry.processes.contains(pid) {
            found = true
            entries[file]?.processes.remove(pid)
            if entry.processes.count == 1 { entries[file] = nil }
        }
        return found
    }

    /// It can be looked at now.
    mutating func resolved(_ file: MappedInode) -> Bool { entries.removeValue(forKey: file) != nil }

    /// As libraries that are not observed. Of a process's files, those whose names are a TLS library's; where there is none,
    /// and the process is not observed otherwise, its first: the program, mostly.
    func rows(observed: Set<UInt32>) -> [ObservedLibrary] {
        let ordered = entries.sorted { $0.value.order < $1.value.order }
        let named = ordered.filter { Self.stack($0.value) != nil }
        var covered = named.reduce(into: observed) { $0.formUnion($1.value.processes) }
        var rows = named.map { Self.row($0.key, $0.value, $0.value.processes) }
        for (file, entry) in ordered where Self.stack(entry) == nil {
            let first = entry.processes.subtracting(covered)
            covered.formUnion(first)
            if !first.isEmpty { rows.append(Self.row(file, entry, first)) }
        }
        return rows
    }

    private static func stack(_ entry: Entry) -> String? {
        entry.path.split(separator: "/").last.flatMap { UnsupportedStacks.stack(ofLibrary: $0) }
    }

    private static func row(_ file: MappedInode, _ entry: Entry, _ processes: Set<UInt32>) -> ObservedLibrary {
        var row = ObservedLibrary(
            profile: 0, path: entry.path, inode: file,
            identity: FileIdentity(device: UInt64(file.device), inode: file.inode, origin: .change(0)),
            state: .unobserved(reason: entry.reason, detail: entry.detail))
        row.unobservedStack = stack(entry)
        row.processes = processes
        return row
    }
}
