/// A part of a handshake's time.
public enum HandshakePart: String, Sendable, CaseIterable {
    /// The thread computed inside the library's handshake calls.
    case cpu
    /// It was ready to compute there, and waited for a processor.
    case runqueue
    /// The peer's bytes lay in the socket, and the program had not read them yet.
    case unread
    /// The rest: the network, and the other side.
    case peer
}

/// Where a handshake's time went, nanoseconds: the four parts are its duration, to the nanosecond, as far as they are known.
///
/// What could not be observed is `nil`, never zero: without the time spent waiting for a processor nothing is known of the
/// wait, and without a socket not whose wait it was.
public struct HandshakeParts: Sendable, Equatable {
    public let cpu, runqueue, unread, peer: UInt64?
    /// Not in calls, or blocked in them: unread plus peer, also where it is not known how much is whose.
    public let wait: UInt64?

    public static let unknown = HandshakeParts(of: 0, cpu: nil, runqueue: nil, unread: nil)

    /// The parts of `duration`; none is longer than what those before it leave.
    public init(of duration: UInt64, cpu: UInt64?, runqueue: UInt64?, unread: UInt64?) {
        let cpu = cpu.map { min($0, duration) }
        let runqueue = cpu.flatMap { cpu in runqueue.map { min($0, duration - cpu) } }
        let wait = cpu.flatMap { cpu in runqueue.map { duration - cpu - $0 } }
        let unread = wait.flatMap { wait in unread.map { min($0, wait) } }
        self.cpu = cpu
        self.runqueue = runqueue
        self.unread = unread
        peer = wait.flatMap { wait in unread.map { wait - $0 } }
        self.wait = wait
    }

    /// In calls and not blocked in them: cpu plus runqueue.
    public var busy: UInt64? { cpu.flatMap { cpu in runqueue.map { cpu + $0 } } }

    public subscript(part: HandshakePart) -> UInt64? {
        switch part {
        case .cpu: cpu
        case .runqueue: runqueue
        case .unread: unread
        case .peer: peer
        }
    }

    /// The largest part, the first of equal ones; `nil` unless all are known.
    public var largest: (part: HandshakePart, duration: UInt64)? {
        guard let cpu, let runqueue, let unread, let peer else { return nil }
        var largest = (part: HandshakePart.cpu, duration: cpu)
        for (part, duration) in [(HandshakePart.runqueue, runqueue), (.unread, unread), (.peer, peer)]
        where duration > largest.duration { largest = (part, duration) }
        return largest
    }
}
