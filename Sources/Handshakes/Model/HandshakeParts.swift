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
    /// In calls and not blocked in them: cpu plus runqueue, also where it is not known how much is which.
    public let busy: UInt64?

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
        busy = wait.map { duration - $0 }
    }

    /// The same of calls that no thread is kept by: how long one was blocked is known, and no more.
    public init(of duration: UInt64, busy: UInt64, unread: UInt64?) {
        let busy = min(busy, duration)
        let wait = duration - busy
        let unread = unread.map { min($0, wait) }
        (cpu, runqueue) = (nil, nil)
        (self.busy, self.wait, self.unread) = (busy, wait, unread)
        peer = unread.map { wait - $0 }
    }

    /// The same of a session that packets alone show: no more than the time before each of the peer's is known.
    public init(peer: UInt64, of duration: UInt64) {
        (cpu, runqueue, unread, wait, busy) = (nil, nil, nil, nil, nil)
        self.peer = min(peer, duration)
    }

    public subscript(part: HandshakePart) -> UInt64? {
        switch part {
        case .cpu: cpu
        case .runqueue: runqueue
        case .unread: unread
        case .peer: peer
        }
    }

    /// The largest part, the first of equal ones; `nil` where that is not known.
    public var largest: (part: HandshakePart, duration: UInt64)? {
        guard let busy, let unread, let peer else { return nil }
        guard let cpu, let runqueue else {
            // It may be less than busy, and no more.
            let waits = unread >= peer ? (part: HandshakePart.unread, duration: unread) : (part: .peer, duration: peer)
            return waits.duration > busy ? waits : nil
        }
        var largest = (part: HandshakePart.cpu, duration: cpu)
        for (part, duration) in [(HandshakePart.runqueue, runqueue), (.unread, unread), (.peer, peer)]
        where duration > largest.duration { largest = (part, duration) }
        return largest
    }
}
