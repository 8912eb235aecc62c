import CEvents
import Glibc
import Handshakes
import Testing

@testable import HandshakeProbe

/// What the programs measure of a call besides its ends, nanoseconds: as made, it computed all the time and read nothing late.
struct CallTime {
    var offCPU: UInt64 = 0
    var delay: UInt64 = 0
    var unread: UInt64 = 0
    var arrived: UInt64 = 0
    /// Microseconds.
    var rtt: UInt32 = 0
    var retransmits: UInt32 = 0
}

/// What a suite needs to make a session table's input by hand: the records as the kernel writes them.
protocol SessionStream {}

extension SessionStream {
    static var timeout: UInt64 { 60_000_000_000 }

    func table(
        capacity: Int = 100, rules: SessionRules = .openSSL, stack: String = "openssl"
    ) -> SessionTable {
        var table = SessionTable(capacity: capacity, timeout: Self.timeout, wallClockOffset: 0)
        table.processes.readsProc = false
        table.register(
            ProfileEntry(rules: rules, stack: stack, library: "/libssl.so.3", version: "3.0.19"), at: 1)
        return table
    }

    func header(_ time: UInt64, object: UInt64 = 0x1000, pid: UInt32 = 7, hook: HookKind? = nil)
        -> tlswatch_header
    {
        var header = tlswatch_header()
        header.time_ns = time
        header.process_start_ns = 5
        header.object = object
        header.pid = pid
        header.tid = pid
        header.profile = 1
        header.hook = hook?.rawValue ?? 0
        return header
    }

    func enter(
        _ time: UInt64, object: UInt64 = 0x1000, pid: UInt32 = 7, flow: UInt32 = Flow.uninitialised,
        version: UInt32 = 0x0304,
        server: UInt32 = 1
    ) -> tlswatch_call_enter {
        var event = tlswatch_call_enter()
        event.header = header(time, object: object, pid: pid, hook: .call)
        event.server = server
        event.set(.flowState, flow)
        event.set(.handState, flow == Flow.finished ? HandState.ok : 0)
        event.set(.version, version)
        return event
    }

    /// A call's return as the kernel writes it, with the steps in it.
    func back(
        _ time: UInt64, from enter: UInt64, result: Int32, flow: UInt32, io: Int32 = 5, object: UInt64 = 0x1000,
        pid: UInt32 = 7, firstSend: UInt64 = 0, scalars: [Fact: UInt32] = [:], steps: [tlswatch_step] = [],
        input: UInt64? = nil, idle: (count: UInt32, time: UInt64) = (0, 0), time told: CallTime = CallTime(),
        flags: UInt16 = 0
    ) -> [UInt8] {
        var event = tlswatch_call_return()
        event.header = header(time, object: object, pid: pid, hook: .call)
        event.enter_ns = enter
        event.input_ns = input ?? enter
        (event.idle_calls, event.idle_ns) = idle
        (event.off_cpu_ns, event.run_delay_ns, event.unread_ns) = (told.offCPU, told.delay, told.unread)
        (event.arrived_ns, event.rtt_us, event.retransmits) = (told.arrived, told.rtt, told.retransmits)
        event.first_send_ns = firstSend
        event.flags = flags
        event.result = result
        event.io_result = io
        event.steps = UInt16(steps.count)
        let hand = flow == Flow.finished ? HandState.ok : HandState.serverReadsHello
        let facts = [.flowState: flow, .handState: hand].merging(scalars) { $1 }
        event.present = facts.keys.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
        unsafe withUnsafeMutableBytes(of: &event.scalar) { bytes in
            for (fact, value) in facts {
                unsafe bytes.storeBytes(of: value, toByteOffset: 4 * fact.rawValue, as: UInt32.self)
            }
        }
        return unsafe withUnsafeBytes(of: &event) { fixed in
            unsafe steps.withUnsafeBytes { unsafe Array(fixed) + Array($0) }
        }
    }

    /// One call of a handshake, from 100 to 130.
    func oneCall(
        server: UInt32 = 1, result: Int32 = 1, flow: UInt32 = Flow.finished, io: Int32 = 5,
        scalars: [Fact: UInt32] = [:],
        steps: [tlswatch_step] = []
    ) -> Handshake? {
        var table = table()
        table.callEntered(enter(100, server: server))
        table.callReturned(
            back(130, from: 100, result: result, flow: flow, io: io, scalars: scalars, steps: steps))
        return table.takeFinished().first
    }

    func step(
        _ time: UInt64, _ hook: HookKind, argument: Int32 = 0, argument2: Int32 = 0, input: UInt64 = 0,
        duration: UInt32 = 0
    ) -> tlswatch_step {
        tlswatch_step(
            time_ns: time, input_ns: input, argument: argument, argument2: argument2, duration_ns: duration,
            hook: hook.rawValue, detail: UInt16(TLSWATCH_NO_STATE))
    }

    /// A step as a record of its own.
    func alone(_ step: tlswatch_step) -> tlswatch_step_record {
        tlswatch_step_record(header: header(step.time_ns, hook: HookKind(rawValue: step.hook)), step: step)
    }

    func used(_ time: UInt64, cookie: UInt64 = 9) -> tlswatch_socket {
        var event = tlswatch_socket()
        event.header = header(time)
        event.number = cookie
        event.family = UInt16(AF_INET)
        event.direction = UInt16(TLSWATCH_RECEIVE.rawValue)
        event.proof = UInt16(TLSWATCH_PROOF_DESCRIPTOR.rawValue)
        return event
    }

    func closed(_ time: UInt64, cookie: UInt64 = 9, error: UInt16 = 0) -> tlswatch_socket_closed {
        tlswatch_socket_closed(
            header: header(time), number: cookie, old_state: TCPState.established, new_state: TCPState.closed,
            error: error)
    }

    /// One call that waits for the peer, and then the socket closes.
    func closedInBetween() -> SessionTable {
        var table = table()
        table.callEntered(enter(100))
        table.socketUsed(used(110))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.socketClosed(closed(200))
        return table
    }
}

extension SessionTable {
    /// Takes a return from its bytes, as the decoder does.
    mutating func callReturned(_ bytes: [UInt8]) {
        guard let event = unsafe CallReturn(bytes.span.bytes) else {
            Issue.record("a malformed record of \(bytes.count) bytes")
            return
        }
        _ = callReturned(event)
    }
}

extension tlswatch_call_enter {
    /// A fact of the state, as found on entry.
    mutating func set(_ fact: Fact, _ value: UInt32) {
        present |= 1 << UInt32(fact.rawValue)
        unsafe withUnsafeMutableBytes(of: &state) { bytes in
            unsafe bytes.storeBytes(of: value, toByteOffset: 4 * fact.rawValue, as: UInt32.self)
        }
    }
}
