/// Sessions grouped by the values of some fields. Exact, up to the limits below. Owned by one thread.
package struct HandshakeGroups: Sendable {
    /// Groups that are told apart, at most: whatever comes later is in one group together.
    package static let standardLimit = 100_000

    /// One combination of values.
    package struct Row: Sendable {
        /// In the order of the keys; `nil` where the fact was not observed.
        package let values: [String?]
        /// Whether it holds what came when there was no place for more groups; `values` are of no session then.
        package let isRest: Bool
        package private(set) var sessions: UInt64 = 0
        /// By outcome.
        package private(set) var failed: UInt64 = 0
        package private(set) var unfinished: UInt64 = 0
        /// Of completed sessions, nanoseconds.
        package var durations: DurationSample
        package private(set) var longest: UInt64?
        /// Completed sessions whose time is known by part, and the sums of their parts, nanoseconds.
        package private(set) var timed: UInt64 = 0
        private var parts = InlineArray<4, UInt64>(repeating: 0)

        init(values: [String?], isRest: Bool = false, exactLimit: Int) {
            self.values = values
            self.isRest = isRest
            durations = DurationSample(limit: exactLimit)
        }

        mutating func add(_ handshake: Handshake) {
            sessions += 1
            switch handshake.outcome {
            case .completed: break
            case .failed:
                failed += 1
                return
            case .abandoned, .timeout:
                unfinished += 1
                return
            }
            durations.insert(handshake.duration)
            longest = max(longest ?? 0, handshake.duration)
            let known = handshake.parts
            guard let cpu = known.cpu, let runqueue = known.runqueue, let unread = known.unread, let peer = known.peer
            else { return }
            timed += 1
            for (index, part) in [cpu, runqueue, unread, peer].enumerated() { parts[index] &+= part }
        }

        package var completed: UInt64 { durations.count }

        /// The sum of a part over the sessions that `timed` counts.
        package func time(in part: HandshakePart) -> UInt64 {
            switch part {
            case .cpu: parts[0]
            case .runqueue: parts[1]
            case .unread: parts[2]
            case .peer: parts[3]
            }
        }

        /// Of all parts.
        package var timedTotal: UInt64 { parts[0] &+ parts[1] &+ parts[2] &+ parts[3] }
    }

    package let keys: [HandshakeKey]
    private let limit: Int
    private let exactLimit: Int
    private var places: [[String?]: Int] = [:]
    private var groups: [Row] = []
    private var rest: Row?

    /// - Parameters:
    ///   - limit: groups.
    ///   - exactLimit: durations of a group that are kept for exact quantiles.
    package init(
        by keys: [HandshakeKey], limit: Int = standardLimit, exactLimit: Int = DurationSample.standardLimit
    ) {
        self.keys = keys
        self.limit = limit
        self.exactLimit = exactLimit
    }

    package mutating func add(_ handshake: Handshake) {
        let values = keys.map { $0.read(handshake) }
        if let place = places[values] {
            groups[place].add(handshake)
        } else if groups.count < limit {
            places[values] = groups.count
            groups.append(Row(values: values, exactLimit: exactLimit))
            groups[groups.count - 1].add(handshake)
        } else {
            if rest == nil { rest = Row(values: keys.map { _ in nil }, isRest: true, exactLimit: exactLimit) }
            rest?.add(handshake)
        }
    }

    /// Those with the most sessions first, what had no place last.
    package func rows() -> [Row] {
        groups.sorted { left, right in
            if left.sessions != right.sessions { return left.sessions > right.sessions }
            return Self.precedes(left.values, right.values)
        } + (rest.map { [$0] } ?? [])
    }

    /// By their bytes; what is absent comes last.
    package static func precedes(_ left: [String?], _ right: [String?]) -> Bool {
        for (left, right) in zip(left, right) where left != right {
            guard let left else { return false }
            guard let right else { return true }
            return left.utf8.lexicographicallyPrecedes(right.utf8)
        }
        return false
    }
}
