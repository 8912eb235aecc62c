import CEvents
import Handshakes

/// Receives decoded events, in the ring's order. One thread. What turns out not to be one is returned as rejected.
protocol EventSink {
    mutating func callEntered(_ event: tlswatch_call_enter) -> Rejection?
    mutating func callReturned(_ event: borrowing CallReturn) -> Rejection?
    mutating func stepped(_ event: tlswatch_step_record) -> Rejection?
    mutating func socketUsed(_ event: tlswatch_socket)
    mutating func socketClosed(_ event: tlswatch_socket_closed)
    mutating func processStarted(_ event: tlswatch_process)
    mutating func processEnded(_ event: tlswatch_process)
    mutating func failedNamed(_ event: tlswatch_name) -> Rejection?
    mutating func segmentSeen(_ event: borrowing WireEvent) -> Rejection?
    mutating func datagramSeen(_ event: borrowing DatagramEvent) -> Rejection?
    mutating func messageSeen(_ event: borrowing MessageEvent) -> Rejection?
}

/// Why a record was not taken. The raw value is the metric's `reason` label.
enum Rejection: String, CaseIterable, Sendable {
    /// Shorter than a header, or its size field does not agree with its length.
    case truncated
    case unknownKind = "unknown_kind"
    /// The length is not that of its kind.
    case wrongSize = "wrong_size"
    case unknownProfile = "unknown_profile"
    /// Its length is not what its steps and texts make it, or a step of no known hook.
    case malformed
    /// Values that no build of the library has.
    case implausible
}

/// The record of a returned call: the fixed part by value, steps and texts still where the kernel wrote them.
package struct CallReturn: ~Escapable {
    let fixed: tlswatch_call_return
    private let bytes: RawSpan

    /// `nil` if the record's length is not what its steps and texts make it.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        let fixed = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_call_return.self)
        let limit = Int(TLSWATCH_TEXT_SIZE)
        guard Int(fixed.alpn_length) < limit, Int(fixed.sni_length) < limit, fixed.steps <= Self.stepLimit
        else { return nil }
        let steps = MemoryLayout<tlswatch_step>.stride * Int(fixed.steps)
        guard bytes.byteCount == Self.size + steps + Int(fixed.alpn_length) + Int(fixed.sni_length) else { return nil }
        self.fixed = fixed
        self.bytes = bytes
    }

    static let size = MemoryLayout<tlswatch_call_return>.size
    /// Recordings up to wire version 4 have as many; TLSWATCH_STEPS is less.
    private static let stepLimit: UInt16 = 10

    /// A scalar fact, if it was read.
    func scalar(_ fact: Fact) -> UInt32? {
        guard !fact.isAddress, fixed.present & (1 << UInt32(fact.rawValue)) != 0 else { return nil }
        let offset = Self.scalars + 4 * fact.rawValue
        return unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    /// Whether the call did not complete a server's handshake, and what the object has written could not have gone to any peer.
    var isMute: Bool { fixed.flags & UInt16(TLSWATCH_CALL_MUTE.rawValue) != 0 }

    /// The last eight bytes of the ClientHello's random; `nil` where they were not read, or are not there yet.
    var random: UInt64? {
        guard let low = scalar(.random), let high = scalar(.randomEnd), low | high != 0 else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// The facts of the state.
    var state: StateValues {
        StateValues(
            present: fixed.present,
            values: InlineArray<8, UInt32> { [bytes] slot in
                unsafe bytes.unsafeLoadUnaligned(fromByteOffset: Self.scalars + 4 * slot, as: UInt32.self)
            })
    }

    /// - Precondition: `index` is below `fixed.steps`.
    func step(_ index: Int) -> tlswatch_step {
        let offset = Self.size + MemoryLayout<tlswatch_step>.stride * index
        precondition(index >= 0 && offset + MemoryLayout<tlswatch_step>.size <= bytes.byteCount)
        return unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: tlswatch_step.self)
    }

    var alpn: String? { text(at: texts, count: Int(fixed.alpn_length)) }
    var sni: String? { text(at: texts + Int(fixed.alpn_length), count: Int(fixed.sni_length)) }

    private var texts: Int { Self.size + MemoryLayout<tlswatch_step>.stride * Int(fixed.steps) }

    private func text(at offset: Int, count: Int) -> String? {
        guard count > 0 else { return nil }
        return unsafe bytes.extracting(offset..<offset + count).withUnsafeBytes { unsafe PeerText.clean($0) }
    }

    private static let scalars = MemoryLayout<tlswatch_call_return>.offset(of: \.scalar) ?? 0
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

    /// Counts a record that `sink` has judged.
    private mutating func count(_ rejection: Rejection?) {
        if let rejection {
            reject(rejection)
        } else {
            decoded &+= 1
        }
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
            return count(sink.callEntered(event))
        case TLSWATCH_CALL_RETURN.rawValue:
            guard bytes.byteCount >= CallReturn.size else { return reject(.wrongSize) }
            guard let event = CallReturn(bytes) else { return reject(.malformed) }
            return count(sink.callReturned(event))
        case TLSWATCH_STEP.rawValue:
            guard HookKind(rawValue: header.hook) != nil else { return reject(.malformed) }
            guard let event = load(bytes, as: tlswatch_step_record.self) else { return }
            return count(sink.stepped(event))
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
        case TLSWATCH_NAME.rawValue:
            guard let event = load(bytes, as: tlswatch_name.self) else { return }
            return count(sink.failedNamed(event))
        case TLSWATCH_WIRE.rawValue:
            guard bytes.byteCount >= WireEvent.size else { return reject(.wrongSize) }
            guard let event = WireEvent(bytes) else { return reject(.malformed) }
            return count(sink.segmentSeen(event))
        case TLSWATCH_DATAGRAM.rawValue:
            guard bytes.byteCount >= DatagramEvent.size else { return reject(.wrongSize) }
            guard let event = DatagramEvent(bytes) else { return reject(.malformed) }
            return count(sink.datagramSeen(event))
        case TLSWATCH_MESSAGE.rawValue:
            guard bytes.byteCount >= MessageEvent.size else { return reject(.wrongSize) }
            guard let event = MessageEvent(bytes) else { return reject(.malformed) }
            return count(sink.messageSeen(event))
        default:
            return reject(.unknownKind)
        }
        decoded &+= 1
    }

    private mutating func load<Record: BitwiseCopyable>(_ bytes: RawSpan, as type: Record.Type) -> Record? {
        guard bytes.byteCount == MemoryLayout<Record>.size else {
            reject(.wrongSize)
            return nil
        }
        return unsafe bytes.unsafeLoadUnaligned(as: Record.self)
    }
}
