import CBPF
import Testing

@testable import HandshakeProbe

/// Streams made by hand: every rule of the session table, without a kernel.
@Suite struct SessionTableTests {
    private static let timeout: UInt64 = 60_000_000_000

    private func table(capacity: Int = 100) -> SessionTable {
        var table = SessionTable(capacity: capacity, timeout: Self.timeout, wallClockOffset: 0)
        table.processes.readsProc = false
        table.register(
            ProfileEntry(rules: .openSSL, stack: "openssl", library: "/libssl.so.3", version: "3.0.19"), at: 1)
        return table
    }

    private func header(_ time: UInt64, object: UInt64 = 0x1000, pid: UInt32 = 7, hook: HookKind? = nil)
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

    private func enter(
        _ time: UInt64, object: UInt64 = 0x1000, pid: UInt32 = 7, flow: UInt32 = 0, version: UInt32 = 0x0304,
        server: UInt32 = 1
    ) -> tlswatch_call_enter {
        var event = tlswatch_call_enter()
        event.header = header(time, object: object, pid: pid, hook: .stateMachine)
        event.flow_state = flow
        event.version = version
        event.server = server
        event.hand_state = flow == 4 ? 1 : 0
        event.present = 0b1101
        return event
    }

    /// A call's return as the kernel writes it, with the steps in it.
    private func back(
        _ time: UInt64, from enter: UInt64, result: Int32, flow: UInt32, io: Int32 = 5, object: UInt64 = 0x1000,
        pid: UInt32 = 7, firstSend: UInt64 = 0, scalars: [Fact: UInt32] = [:], steps: [tlswatch_step] = []
    ) -> [UInt8] {
        var event = tlswatch_call_return()
        event.header = header(time, object: object, pid: pid, hook: .stateMachine)
        event.enter_ns = enter
        event.input_ns = enter
        event.first_send_ns = firstSend
        event.result = result
        event.io_result = io
        event.steps = UInt16(steps.count)
        // Finished: TLS_ST_OK; else some state on the way.
        let facts = [.flowState: flow, .handState: flow == 4 ? 1 : 20].merging(scalars) { $1 }
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

    private func step(
        _ time: UInt64, _ hook: HookKind, argument: Int32 = 0, argument2: Int32 = 0, input: UInt64 = 0,
        duration: UInt32 = 0
    ) -> tlswatch_step {
        tlswatch_step(
            time_ns: time, input_ns: input, argument: argument, argument2: argument2, duration_ns: duration,
            hook: hook.rawValue, hand_state: UInt16(TLSWATCH_NO_STATE))
    }

    /// A step as a record of its own.
    private func alone(_ step: tlswatch_step) -> tlswatch_step_record {
        tlswatch_step_record(header: header(step.time_ns, hook: HookKind(rawValue: step.hook)), step: step)
    }

    @Test("Two calls with a wait between them are one session; busy and wait add up")
    func twoCalls() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: -1, flow: 2, io: -11))
        #expect(table.takeFinished().isEmpty, "WANT_READ is no end")
        table.callReturned(back(250, from: 210, result: 1, flow: 4))
        let finished = table.takeFinished()
        #expect(finished.count == 1)
        #expect(finished.first?.outcome == .completed)
        #expect(finished.first?.duration == 150)
        #expect(finished.first?.busy == 70)
        #expect(finished.first?.wait == 80)
        #expect(finished.first?.calls == 2)
    }

    @Test("A ticket after a TLS 1.3 handshake is no handshake; the same entry in TLS 1.2 renegotiates")
    func afterTheHandshake() {
        var table = table()
        table.callEntered(enter(100, flow: 4, version: 0x0304))
        table.callReturned(back(110, from: 100, result: 1, flow: 4))
        #expect(table.takeFinished().isEmpty)
        table.callEntered(enter(200, flow: 4, version: 0x0303))
        table.callReturned(back(210, from: 200, result: 1, flow: 4))
        #expect(table.takeFinished().count == 1)
    }

    @Test("A failure counts once, however often the application calls again")
    func failsOnce() {
        var table = table()
        table.callEntered(enter(100))
        table.stepped(alone(step(120, .fatal, argument: 120, argument2: 235, input: 110)))
        table.callReturned(back(130, from: 100, result: -1, flow: 1))
        table.callEntered(enter(140, flow: 1))
        table.callReturned(back(150, from: 140, result: -1, flow: 1))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed])
        #expect(finished.first?.reason == "no_application_protocol")
        #expect(finished.first?.alert == 120)
        #expect(finished.first?.alertDirection == .sent)
    }

    @Test("The end of the stream inside a call is told as the peer's close, a reset as a reset")
    func transportErrors() {
        var table = table()
        for (io, reason) in [(Int32(0), "peer_closed"), (-104, "connection_reset")] {
            table.callEntered(enter(100))
            table.callReturned(back(130, from: 100, result: -1, flow: 2, io: io))
            #expect(table.takeFinished().map(\.reason) == [reason])
        }
    }

    @Test("The same address in two processes is two sessions")
    func twoProcesses() {
        var table = table()
        table.callEntered(enter(100, pid: 7))
        table.callEntered(enter(110, pid: 8))
        table.callReturned(back(130, from: 100, result: 1, flow: 4, pid: 7))
        table.callReturned(back(170, from: 110, result: 1, flow: 4, pid: 8))
        #expect(table.takeFinished().map(\.duration) == [30, 60])
    }

    @Test("Freed, cleared and used again, closed, or its process gone: abandoned")
    func abandoned() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(110, from: 100, result: -1, flow: 2, io: -11))
        table.stepped(alone(step(150, .objectFree)))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        table.callEntered(enter(200))
        table.callEntered(enter(300))
        #expect(table.takeFinished().map(\.duration) == [100])
        var ended = tlswatch_process()
        ended.header = header(400)
        table.processes.set(pid: 7, start: 5, exe: "/x")
        table.processEnded(ended)
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        #expect(table.inFlight == 0)
    }

    @Test("An idle session times out; one that moves does not")
    func expires() {
        var table = table()
        table.callEntered(enter(1_000))
        table.expire(now: 1_000 + Self.timeout)
        #expect(table.takeFinished().isEmpty)
        table.expire(now: 1_001 + Self.timeout)
        #expect(table.takeFinished().map(\.outcome) == [.timeout])
    }

    @Test("The table is bounded: the one idle longest makes room, and is counted")
    func bounded() {
        var table = table(capacity: 3)
        for index in 0..<10 as Range<UInt64> { table.callEntered(enter(100 + index, object: 0x1000 + index)) }
        let finished = table.takeFinished()
        #expect(table.inFlight == 3)
        #expect(finished.count == 7)
        #expect(finished.allSatisfy { $0.outcome == .abandoned && $0.reason == "session_table_full" })
        let key = SessionCounts.Key(role: .server, stack: "openssl")
        #expect(table.counts.started[key] == 10)
        #expect(table.counts.inFlight[key] == 3)
    }

    @Test("Key exchange runs from the input before the agreement to the handshake keys; ALPN to the choice")
    func phases() {
        var table = table()
        table.callEntered(enter(100))
        let steps = [
            step(120, .alpnSelect, input: 110),
            step(160, .keyAgreement, argument2: 1, input: 110, duration: 20),
            step(170, .keyChange, argument: 0xa2, input: 110),
            step(190, .keyChange, argument: 0x122, input: 110),
        ]
        table.callReturned(back(200, from: 100, result: 1, flow: 4, steps: steps))
        let handshake = table.takeFinished().first
        #expect(handshake?.keyExchange == 60)
        #expect(handshake?.keyExchangeCompute == 20)
        #expect(handshake?.keyExchangeSucceeded == true)
        #expect(handshake?.alpnNegotiation == nil, "no protocol was read: absent, not guessed")
    }

    @Test("A library whose first records make no sense is distrusted")
    func insane() {
        var table = table()
        for time in [100, 200, 300] as [UInt64] { table.callEntered(enter(time, version: 0x7777)) }
        #expect(table.takeRejections().count == 3)
        #expect(table.health[1].isWrong)
        #expect(table.inFlight == 0)
    }
}

extension SessionTable {
    /// Takes a return from its bytes, as the decoder does.
    fileprivate mutating func callReturned(_ bytes: [UInt8]) {
        guard let event = unsafe CallReturn(bytes.span.bytes) else {
            Issue.record("a malformed record of \(bytes.count) bytes")
            return
        }
        callReturned(event)
    }
}
