import CEvents
import Handshakes

/// Where the time of a session in flight went so far: summed over its calls and over the gaps between them.
///
/// Nanoseconds. What is not known of one call is not known of the session, for good.
struct SessionParts: Equatable {
    private var cpu: UInt64 = 0
    private var runqueue: UInt64 = 0
    private var unread: UInt64 = 0
    /// The last call's return; 0 before there was one.
    private var returned: UInt64 = 0
    /// Each call's entry, return and time off the processor were seen.
    private var knowsCalls = true
    /// And how much of that it waited for a processor.
    private var knowsDelays = true
    /// Of the calls it is known what they waited for their socket, and no more.
    private var knowsWaits = false
    /// A call read a socket of the session's own: the others had nothing to read there.
    private var readsSocket = false

    /// A call came back, and the calls without effect before it are told of.
    mutating func add(_ call: tlswatch_call_return) {
        let (enter, end) = (call.enter_ns, call.header.time_ns)
        // Calls that overlap are those of an object that two threads use at once: their sum is nobody's time.
        guard enter != 0, enter >= returned, end >= enter, call.off_cpu_ns != TLSWATCH_NO_TIME else {
            return loseTrack()
        }
        // The calls without effect before it are told of together with it.
        let gap = returned == 0 ? 0 : enter - returned
        let idle = min(call.idle_ns, gap)
        if call.flags & UInt16(TLSWATCH_CALL_WAITS.rawValue) != 0 { knowsWaits = true }
        let spent = end - enter + idle
        let offCPU = min(call.off_cpu_ns, spent)
        cpu += spent - offCPU
        let delay = call.run_delay_ns == TLSWATCH_NO_TIME ? nil : min(call.run_delay_ns, offCPU)
        if let delay { runqueue += delay } else { knowsDelays = false }
        let reads = call.unread_ns != TLSWATCH_NO_TIME
        if reads {
            readsSocket = true
            unread += min(call.unread_ns, offCPU - (delay ?? 0))
        }
        if reads, call.arrived_ns != 0, call.arrived_ns < enter {
            // Calls without effect found nothing to read.
            unread += min(enter - max(call.arrived_ns, returned), gap - idle)
        }
        returned = end
    }

    /// Calls without effect after the last one that is told of, before the session ended at `end`.
    mutating func addIdle(_ time: UInt64, until end: UInt64) {
        guard returned != 0, end > returned else { return }
        cpu += min(time, end - returned)
    }

    /// Something of a call was not seen: nothing can be said any more.
    mutating func loseTrack() { knowsCalls = false }

    /// The parts of a session that has taken so long. What follows the last call is the peer's.
    func finished(duration: UInt64) -> HandshakeParts {
        guard knowsCalls else { return .unknown }
        if knowsWaits { return HandshakeParts(of: duration, busy: cpu, unread: readsSocket ? unread : nil) }
        return HandshakeParts(
            of: duration, cpu: cpu, runqueue: knowsDelays ? runqueue : nil, unread: readsSocket ? unread : nil)
    }
}
