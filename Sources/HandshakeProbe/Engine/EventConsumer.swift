import Handshakes

/// Everything behind the ring buffer: decode, correlate, measure. Confined to the thread that drains the ring.
final class EventConsumer {
    private(set) var decoder = EventDecoder()
    var table: SessionTable
    var metrics: MetricsRegistry
    private var recorder: RecordingWriter?
    /// Watches for losses; `nil` in a replay, whose recording tells them.
    private var losses: LossWatch?
    /// Finished sessions by outcome, for summaries.
    private(set) var outcomes: [Outcome: UInt64] = [:]

    init(
        table: SessionTable, metrics: consuming MetricsRegistry, recorder: consuming RecordingWriter?,
        losses: LossWatch? = nil
    ) {
        self.table = table
        self.metrics = metrics
        self.table.processes.keepsFresh = recorder != nil
        self.recorder = recorder
        self.losses = losses
    }

    /// One record as the kernel wrote it; the memory is valid only during the call.
    func consume(_ record: UnsafeRawBufferPointer) {
        if let span = losses?.beforeRecord() { note(span) }
        unsafe recorder?.append(record)
        let span = unsafe RawSpan(_unsafeBytes: record)
        decoder.decode(span, into: &table)
        for process in table.processes.takeFresh() { recorder?.append(process) }
    }

    /// Looks for losses; call it before a pass over the ring.
    func lookForLosses() {
        if let span = losses?.look() { note(span) }
    }

    private func note(_ span: LossSpan) {
        recorder?.append(span)
        table.note(loss: span)
    }

    /// Hands over the sessions that finished, having judged and counted them.
    func takeFinished(now: UInt64) -> [Handshake] {
        var finished = table.takeFinished()
        for index in finished.indices {
            finished[index].cause = metrics.cause(of: finished[index])
            outcomes[finished[index].outcome, default: 0] += 1
            metrics.record(finished[index], now: now)
        }
        return finished
    }

    func record(library: RecordedLibrary) {
        recorder?.append(library)
    }

    func flushRecording() throws(RecordingError) {
        try recorder?.flush()
    }

    /// The session table's own account.
    var tallies: [SessionTally] {
        table.counts.started.map { key, started in
            SessionTally(
                role: key.role, stack: key.stack, started: started, inFlight: table.counts.inFlight[key] ?? 0)
        }
        .sorted { ($0.role.rawValue, $0.stack) < ($1.role.rawValue, $1.stack) }
    }
}
