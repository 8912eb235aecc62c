import CEvents
import Handshakes

/// Where library and wire meet: hands each event to the table that it is for, and brings together what both have of a handshake.
struct Correlation: EventSink {
    var table: SessionTable
    var wire: WireTable

    init(table: SessionTable, wire: WireTable) {
        (self.table, self.wire) = (table, wire)
        self.table.keepsTraces = wire.isEnabled
    }

    mutating func callEntered(_ event: tlswatch_call_enter) -> Rejection? {
        if wire.isEnabled { wire.noteLibrary(in: event.header.pid) }
        return table.callEntered(event)
    }

    mutating func callReturned(_ event: borrowing CallReturn) -> Rejection? { table.callReturned(event) }
    mutating func stepped(_ event: tlswatch_step_record) -> Rejection? { table.stepped(event) }
    mutating func failedNamed(_ event: tlswatch_name) -> Rejection? { table.failedNamed(event) }

    mutating func messageSeen(_ event: borrowing MessageEvent) -> Rejection? {
        if wire.isEnabled { wire.noteLibrary(in: event.fixed.header.pid) }
        return table.messageSeen(event)
    }

    mutating func socketUsed(_ event: tlswatch_socket) {
        table.socketUsed(event)
        if wire.isEnabled { wire.claim(event) }
    }

    mutating func socketClosed(_ event: tlswatch_socket_closed) { table.socketClosed(event) }

    mutating func processStarted(_ event: tlswatch_process) {
        if wire.isEnabled { wire.endProcess(event.header) }
        table.processStarted(event)
    }

    mutating func processEnded(_ event: tlswatch_process) {
        if wire.isEnabled { wire.endProcess(event.header) }
        table.processEnded(event)
    }

    mutating func segmentSeen(_ event: borrowing WireEvent) -> Rejection? {
        guard wire.isEnabled else { return nil }
        if let owner = wire.take(event) { table.processes.note(pid: owner.pid, start: owner.start, parent: 0) }
        return nil
    }

    mutating func datagramSeen(_ event: borrowing DatagramEvent) -> Rejection? {
        guard wire.isEnabled else { return nil }
        if let owner = wire.take(event) { table.processes.note(pid: owner.pid, start: owner.start, parent: 0) }
        return nil
    }

    mutating func expire(now: UInt64) {
        table.expire(now: now)
        wire.expire(now: now, timeout: table.timeout)
    }

    /// A library has taken this profile.
    mutating func register(_ entry: ProfileEntry, at index: Int) {
        table.register(entry, at: index)
        wire.forget(profile: UInt16(truncatingIfNeeded: index))
    }

    mutating func note(loss: LossSpan) {
        table.note(loss: loss)
        wire.note(loss: loss)
    }

    /// Hands over what has finished, each handshake once.
    mutating func takeFinished(now: UInt64) -> [Handshake] {
        var finished = table.takeFinished()
        guard wire.isEnabled else { return finished }
        for (index, trace) in zip(finished.indices, table.takeTraces()) { wire.merge(into: &finished[index], trace) }
        guard wire.holdsSome else { return finished }
        finished += wire.takeFinished(
            now: now, wallClockOffset: table.wallClockOffset, processes: table.processes,
            hasSocketless: { [table] in table.hasSessionWithoutSocket(pid: $0, role: $1, begunBy: $2) })
        return finished
    }
}
