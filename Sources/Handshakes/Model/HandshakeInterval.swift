/// A part of a session that begins and ends at known times: what a time axis shows.
package struct HandshakeInterval: Sendable, Equatable {
    package enum Part: String, Sendable, CaseIterable {
        /// SYN to ESTABLISHED.
        case connect = "TCP connect"
        /// The peer's key share to handshake traffic keys.
        case keyExchange = "key exchange"
        /// Handshake traffic keys to the end; on a server of TLS 1.3 to the client's Finished, where that is known.
        case finish
    }

    package let part: Part
    /// Monotonic nanoseconds.
    package let begin, end: UInt64

    /// `nil` where one of them is not known, or they are the wrong way round.
    init?(_ part: Part, _ begin: UInt64?, _ end: UInt64?) {
        guard let begin, let end, begin <= end else { return nil }
        self.part = part
        self.begin = begin
        self.end = end
    }
}

extension Handshake {
    /// The making of its TCP connection: mostly before the session's start, on a server possibly long before.
    package var connectInterval: HandshakeInterval? {
        HandshakeInterval(.connect, timeline.connecting, timeline.established)
    }

    /// Those that lie inside the session, one after the other.
    package var innerIntervals: [HandshakeInterval] {
        let finished = timeline.finished ?? (outcome == .completed ? end : nil)
        var last = start
        return [
            HandshakeInterval(.keyExchange, timeline.keyExchangeBegin, timeline.keyExchangeEnd),
            HandshakeInterval(.finish, timeline.keyExchangeEnd, finished),
        ].compactMap { interval in
            guard let interval, interval.begin >= last, interval.end <= end else { return nil }
            last = interval.end
            return interval
        }
    }

    /// The wall-clock time of a moment of the session, nanoseconds since 1970.
    package func wallTime(of moment: UInt64) -> Int64 {
        wallTime &+ Int64(bitPattern: moment &- start)
    }
}
