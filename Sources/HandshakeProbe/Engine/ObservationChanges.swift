/// What an operator wants to know of as it happens: which files came under observation and left it, and what was lost.
/// Compares what the engine publishes now with what it published before; owned by one thread.
public struct ObservationChanges {
    public enum Weight: Sendable {
        case routine, noteworthy, grave
    }

    public struct Change: Sendable {
        public var weight: Weight
        public var message: String
        /// Names and texts that belong to it.
        public var facts: [(name: String, value: String)] = []
        /// Names and numbers.
        public var numbers: [(name: String, value: UInt64)] = []
    }

    /// By file and place in the kernel: a file that is let go and found again is told again.
    private struct Key: Hashable {
        var inode: MappedInode
        var path: String
    }

    private var known: [Key: LibraryState] = [:]
    private var lost: UInt64 = 0

    public init() {}

    /// What has changed since the last call, oldest first as far as that is known.
    public mutating func take(libraries: [ObservedLibrary], lost now: UInt64) -> [Change] {
        var changes: [Change] = []
        var next: [Key: LibraryState] = [:]
        for library in libraries {
            let key = Key(inode: library.inode, path: library.path)
            next[key] = library.state
            if known[key] != library.state { changes.append(Self.told(library)) }
        }
        for (key, state) in known where next[key] == nil && state == .attached {
            changes.append(
                Change(
                    weight: .routine, message: "library released: no process uses it", facts: [("library", key.path)]))
        }
        known = next
        if now > lost {
            changes.append(
                Change(
                    weight: .grave,
                    message:
                        "events lost: handshakes in flight at that time are incomplete; consider a larger --ring-size",
                    numbers: [("events", now - lost), ("total", now)]))
            lost = now
        }
        return changes
    }

    private static func told(_ library: ObservedLibrary) -> Change {
        var facts = [("library", library.path), ("stack", library.stack)]
        if let version = library.version { facts.append(("version", version)) }
        switch library.state {
        case .attached:
            var numbers = [(name: "probes", value: UInt64(library.sites.count))]
            if !library.omitted.isEmpty { numbers.append(("omitted", UInt64(library.omitted.count))) }
            return Change(weight: .routine, message: "library observed", facts: facts, numbers: numbers)
        case .unobserved(let reason, let detail):
            facts += [("reason", reason.rawValue), ("detail", detail)]
            return Change(weight: .noteworthy, message: "library not observed", facts: facts)
        case .detached(let detail):
            facts.append(("detail", detail))
            return Change(weight: .grave, message: "library detached", facts: facts)
        }
    }
}
