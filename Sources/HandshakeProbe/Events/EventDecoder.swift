import CBPF

/// Receives decoded events, in the ring's order. One thread.
protocol EventSink {
    mutating func callEntered(_ event: tlswatch_call_enter)
    mutating func callReturned(_ event: tlswatch_call_return)
    mutating func callEnded(_ event: borrowing CallEnd)
    mutating func stepped(_ event: tlswatch_step)
    mutating func socketUsed(_ event: tlswatch_socket)
    mutating func socketClosed(_ event: tlswatch_socket_closed)
    mutating func processStarted(_ event: tlswatch_process)
    mutating func processEnded(_ event: tlswatch_process)
}

/// Why a record was not taken. The raw value is the metric's `reason` label.
enum Rejection: String, CaseIterable, Sendable {
    /// Shorter than a header, or its size field does not agree with its length.
    case truncated
    case unknownKind = "unknown_kind"
    /// The length is not that of its kind.
    case wrongSize = "wrong_size"
    case unknownProfile = "unknown_profile"
    /// A text longer than its field, or a step of no known hook.
    case malformed
    /// Values that no build of the library has.
    case insane
}

/// The record of an ended call: fixed part by value, texts still where the kernel wrote them.
struct CallEnd: ~Escapable {
    let call: tlswatch_call_return
    private let bytes: RawSpan

    /// - Precondition: `bytes` holds exactly one `tlswatch_call_end`.
    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) {
        call = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_call_return.self)
        self.bytes = bytes
    }

    /// A scalar fact, if it was read.
    func scalar(_ fact: Fact) -> UInt32? {
        guard call.present & (1 << UInt32(fact.rawValue)) != 0, fact.rawValue < Layout.scalars else { return nil }
        return unsafe bytes.unsafeLoadUnaligned(fromByteOffset: Layout.scalar + 4 * fact.rawValue, as: UInt32.self)
    }

    var alpnLength: Int { length(at: Layout.alpnLength) }
    var sniLength: Int { length(at: Layout.sniLength) }
    var alpn: String? { text(at: Layout.alpn, count: alpnLength) }
    var sni: String? { text(at: Layout.sni, count: sniLength) }

    private func length(at offset: Int) -> Int {
        Int(unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    private func text(at offset: Int, count: Int) -> String? {
        guard count > 0, count < Int(TLSWATCH_TEXT_SIZE) else { return nil }
        return unsafe bytes.extracting(offset..<offset + count).withUnsafeBytes { unsafe PeerText.clean($0) }
    }

    private enum Layout {
        static let scalars = Int(TLSWATCH_FACT_SCALARS.rawValue)
        static let scalar = MemoryLayout<tlswatch_call_return>.size
        static let alpnLength = scalar + 4 * scalars
        static let sniLength = alpnLength + 2
        static let alpn = sniLength + 2
        static let sni = alpn + Int(TLSWATCH_TEXT_SIZE)
    }
}

/// Turns the ring's bytes into typed events, or counts why not.
///
/// Nothing here trusts a record: it may come from a recording that somebody else made.
struct EventDecoder {
    private(set) var decoded: UInt64 = 0
    private(set) var rejected = [UInt64](repeating: 0, count: Rejection.allCases.count)

    /// Records that reached the decoder: decoded plus rejected.
    var submitted: UInt64 { decoded &+ rejected.reduce(0, &+) }

    mutating func reject(_ reason: Rejection) {
        for (index, candidate) in Rejection.allCases.enumerated() where candidate == reason {
            rejected[index] &+= 1
        }
    }

    /// Takes back the last decoded event as rejected: its values turned out to be impossible.
    mutating func rejectDecoded(_ reason: Rejection) {
        decoded &-= 1
        reject(reason)
    }

    /// Decodes one record and hands it to `sink`.
    mutating func decode<Sink: EventSink>(_ bytes: RawSpan, into sink: inout Sink) {
        let headerSize = MemoryLayout<tlswatch_header>.size
        guard bytes.byteCount >= headerSize else { return reject(.truncated) }
        let header = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_header.self)
        guard Int(header.size) == bytes.byteCount else { return reject(.truncated) }
        switch UInt32(header.kind) {
        case TLSWATCH_CALL_ENTER.rawValue:
            guard let event = load(bytes, as: tlswatch_call_enter.self) else { return }
            sink.callEntered(event)
        case TLSWATCH_CALL_RETURN.rawValue:
            guard let event = load(bytes, as: tlswatch_call_return.self) else { return }
            sink.callReturned(event)
        case TLSWATCH_CALL_END.rawValue:
            guard bytes.byteCount == MemoryLayout<tlswatch_call_end>.size else { return reject(.wrongSize) }
            let event = CallEnd(bytes)
            let limit = Int(TLSWATCH_TEXT_SIZE)
            guard event.alpnLength < limit, event.sniLength < limit else { return reject(.malformed) }
            decoded &+= 1
            sink.callEnded(event)
        case TLSWATCH_STEP.rawValue:
            guard HookKind(rawValue: header.hook) != nil else { return reject(.malformed) }
            guard let event = load(bytes, as: tlswatch_step.self) else { return }
            sink.stepped(event)
        case TLSWATCH_SOCKET.rawValue:
            guard let event = load(bytes, as: tlswatch_socket.self) else { return }
            sink.socketUsed(event)
        case TLSWATCH_SOCKET_CLOSED.rawValue:
            guard let event = load(bytes, as: tlswatch_socket_closed.self) else { return }
            sink.socketClosed(event)
        case TLSWATCH_PROCESS_EXEC.rawValue:
            guard let event = load(bytes, as: tlswatch_process.self) else { return }
            sink.processStarted(event)
        case TLSWATCH_PROCESS_EXIT.rawValue:
            guard let event = load(bytes, as: tlswatch_process.self) else { return }
            sink.processEnded(event)
        default:
            reject(.unknownKind)
        }
    }

    private mutating func load<Record: BitwiseCopyable>(_ bytes: RawSpan, as type: Record.Type) -> Record? {
        guard bytes.byteCount == MemoryLayout<Record>.size else {
            reject(.wrongSize)
            return nil
        }
        decoded &+= 1
        return unsafe bytes.unsafeLoadUnaligned(as: Record.self)
    }
}
