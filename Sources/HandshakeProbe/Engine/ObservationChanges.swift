import Kernel

/// What an operator wants to know of as it happens: which files came under observation and left it, and what was lost.
/// Compares what the engine publishes now with what it published before; owned by one thread.
package struct ObservationChanges {
    package enum Weight: Sendable {
        case routine, noteworthy, grave
    }

    package struct Change: Sendable {
        package var weight: Weight
        package var message: String
        /// Names and texts that belong to it.
        package var facts: [(name: String, value: String)] = []
        /// Names and numbers.
        package var numbers: [(name: String, value: UInt64)] = []
    }

    /// Files remembered, at most: those not seen for longest are reported again when they come again.
    static let memory = 10_000

    private struct Reported {
        var state: LibraryState
        /// The number of the last call that had it.
        var seen: UInt64
    }

    /// A file that is let go and found again, as short programs and restarting containers do, is no news.
    private var known: [MappedInode: Reported] = [:]
    private var calls: UInt64 = 0
    private var lost: UInt64 = 0

    package init() {}

    /// What has changed since the last call, oldest first as far as that is known. A file is reported once, and again when
    /// its state changes.
    package mutating func take(libraries: [ObservedLibrary], lost now: UInt64) -> [Change] {
        var changes: [Change] = []
        calls += 1
        for library in libraries {
            if known[library.inode]?.state.isSame(as: library.state) != true { changes.append(Self.told(library)) }
            known[library.inode] = Reported(state: library.state, seen: calls)
        }
        if known.count > Self.memory {
            // A tenth at a time, so that this is rare.
            let oldest = known.sorted { $0.value.seen < $1.value.seen }.prefix(known.count - Self.memory * 9 / 10)
            for (file, _) in oldest { known[file] = nil }
        }
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

extension LibraryState {
    /// Whether it is the same to an operator, whatever the words.
    fileprivate func isSame(as other: LibraryState) -> Bool {
        switch (self, other) {
        case (.attached, .attached), (.detached, .detached): true
        case (.unobserved(let reason, _), .unobserved(let another, _)): reason == another
        default: false
        }
    }
}
