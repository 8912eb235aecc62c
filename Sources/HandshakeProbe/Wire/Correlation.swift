import CEvents
import Handshakes

/// Where library and wire meet: hands each event to the table that it is for, and tells the wire's what the library's knows.
struct Correlation: EventSink {
    var table: SessionTable
    var wire: WireTable

    mutating func callEntered(_ event: tlswatch_call_enter) -> Rejection? {
        if wire.isEnabled { wire.noteLibrary(in: event.header.pid) }
        return table.callEntered(event)
    }

    mutating func callReturned(_ event: borrowing CallReturn) -> Rejection? { table.callReturned(event) }
    mutating func stepped(_ event: tlswatch_step_record) -> Rejection? { table.stepped(event) }
    mutating func failedNamed(_ event: tlswatch_name) -> Rejection? { table.failedNamed(event) }

    mutating func socketUsed(_ event: tlswatch_socket) {
        table.socketUsed(event)
        if wire.isEnabled { wire.claim(event) }
    }

    mutating func socketClosed(_ event: tlswatch_socket_closed) { table.socketClosed(event) }
    mutating func processStarted(_ event: tlswatch_process) { table.processStarted(event) }

    mutating func processEnded(_ event: tlswatch_process) { table.processEnded(event) }

    mutating func segmentSeen(_ event: borrowing WireEvent) -> Rejection? {
        guard wire.isEnabled else { return nil }
        if let owner = wire.take(event) { table.processes.note(pid: owner.pid, start: owner.start, parent: 0) }
        return nil
    }

    mutating func expire(now: UInt64) {
        table.expire(now: now)
        wire.expire(now: now, timeout: table.timeout)
    }

    mutating func note(loss: LossSpan) {
        table.note(loss: loss)
        wire.note(loss: loss)
    }

    /// Hands over what has finished, each handshake once.
    mutating func takeFinished(now: UInt64) -> [Handshake] {
        var finished = table.takeFinished()
        guard wire.isEnabled else { return finished }
        for handshake in finished { wire.note(handshake) }
        guard wire.holdsSome else { return finished }
        finished += wire.takeFinished(
            now: now, wallClockOffset: table.wallClockOffset, processes: table.processes,
            hasSocketless: { [table] in table.hasSessionWithoutSocket(pid: $0) })
        return finished
    }
}
