import Handshakes

/// What each record goes through: written down where there is a recording, decoded, correlated. One value, so that a record
/// is one access to the consumer that owns it.
struct Intake: ~Copyable {
    private(set) var decoder = EventDecoder()
    var correlation: Correlation
    var recorder: RecordingWriter?

    init(_ correlation: Correlation, recorder: consuming RecordingWriter?) {
        self.correlation = correlation
        self.recorder = recorder
        self.correlation.table.processes.keepsFresh = self.recorder != nil
    }

    /// One record as the kernel wrote it; the memory is valid only during the call.
    mutating func take(_ record: UnsafeRawBufferPointer) {
        let record = unsafe UnsafeRawBufferPointer(rebasing: record.prefix(WireEvent.length(of: record)))
        unsafe recorder?.append(record)
        unsafe decoder.decode(RawSpan(_unsafeBytes: record), into: &correlation)
        guard recorder != nil else { return }
        for process in correlation.table.processes.takeFresh() { recorder?.append(process) }
    }

    /// As `EventConsumer.consume(from:_:)`.
    mutating func take(from reader: inout RecordingReader, _ goesOn: (UInt64) -> Bool) {
        unsafe reader.takeRecords { record in
            unsafe take(record)
            return goesOn(unsafe record.count >= 8 ? record.loadUnaligned(as: UInt64.self) : 0)
        }
    }
}

/// How many sessions have ended, by outcome.
struct OutcomeCounts {
    private var completed: UInt64 = 0
    private var failed: UInt64 = 0
    private var abandoned: UInt64 = 0
    private var timeout: UInt64 = 0

    mutating func count(_ outcome: Outcome) {
        switch outcome {
        case .completed: completed += 1
        case .failed: failed += 1
        case .abandoned: abandoned += 1
        case .timeout: timeout += 1
        }
    }

    /// Those that there are.
    var byOutcome: [Outcome: UInt64] {
        let all: [Outcome: UInt64] = [
            .completed: completed, .failed: failed, .abandoned: abandoned, .timeout: timeout,
        ]
        return all.filter { $0.value > 0 }
    }
}
