import CEvents

/// Brings recordings of earlier releases into the shape of this one. What they do not hold is left absent.
enum RecordingUpgrade {
    /// The oldest wire version that is read: the first release's.
    static let oldest = 2

    /// The frames of a recording of an earlier wire version with each record as this one has it. A part that is cut or garbled
    /// stays as it is, for the reader to find.
    static func frames(_ frames: ArraySlice<UInt8>, from version: Int) -> [UInt8] {
        guard version < TLSWATCH_WIRE_VERSION else { return Array(frames) }
        var result: [UInt8] = []
        result.reserveCapacity(frames.count + frames.count / 8)
        var offset = frames.startIndex
        while offset + 8 <= frames.endIndex {
            let kind = UInt16(frames[offset]) | UInt16(frames[offset + 1]) << 8
            let length = (0..<4).reduce(0) { $0 | Int(frames[offset + 4 + $1]) << (8 * $1) }
            let start = offset + 8
            guard length <= RecordingFrame.lengthLimit, start + length <= frames.endIndex else { break }
            let body = frames[start..<start + length]
            var record = Array(body)
            if kind == RecordingFrame.record {
                if version < 3 { record = fromVersion2(record) }
                if version < 4 { record = fromVersion3(record) }
                record = fromVersion4(record)
            }
            result += frames[offset..<offset + 4]
            result += (0..<4).map { UInt8(truncatingIfNeeded: record.count >> (8 * $0)) }
            result += record
            offset = start + length
        }
        return result + frames[offset...]
    }

    /// Sizes and offsets of version 2, in bytes.
    private enum Old {
        static let kind = 32
        static let size = 36
        static let header = 40
        /// call_enter: the header, six words, the thread's name.
        static let enter = 80
        static let name = 64
        /// call_return: the header, entry, input, first send; result, io_result, present; steps and texts' lengths, two bytes
        /// each, and two unused; nineteen scalars.
        static let callReturn = 160
        static let idleTime = 64
        static let idleCount = 84
        /// socket: 112 bytes, of which the upper half of the direction is now the proof.
        static let socket = 112
        static let proof = 106
    }

    private static func fromVersion2(_ body: [UInt8]) -> [UInt8] {
        var record = body
        guard let kind = kind(of: record) else { return record }
        switch (kind, record.count) {
        case (TLSWATCH_CALL_ENTER.rawValue, Old.enter):
            // The thread's name stood alone, and is the best there is for the process's.
            let name = record[Old.name...]
            record = record[..<Old.name] + [UInt8](repeating: 0, count: 8) + name + name
        case (TLSWATCH_CALL_RETURN.rawValue, Old.callReturn...):
            // From behind, so that the offsets hold: a twentieth scalar, the count and the time of calls without effect.
            for place in [Old.callReturn, Old.idleCount] {
                record.insert(contentsOf: [0, 0, 0, 0], at: place)
            }
            record.insert(contentsOf: [UInt8](repeating: 0, count: 8), at: Old.idleTime)
        case (TLSWATCH_SOCKET.rawValue, Old.socket):
            // Whatever socket a call used was taken for the handshake's.
            record[Old.proof] = UInt8(TLSWATCH_INFERRED.rawValue)
        default: return record
        }
        setSize(of: &record)
        return record
    }

    /// `nil` for what is no whole record.
    private static func kind(of record: [UInt8]) -> UInt32? {
        guard record.count >= Old.header, Int(record[Old.size]) | Int(record[Old.size + 1]) << 8 == record.count else {
            return nil
        }
        return UInt32(record[Old.kind]) | UInt32(record[Old.kind + 1]) << 8
    }

    private static func setSize(of record: inout [UInt8]) {
        record[Old.size] = UInt8(truncatingIfNeeded: record.count)
        record[Old.size + 1] = UInt8(truncatingIfNeeded: record.count >> 8)
    }

    /// Version 3, whose facts were OpenSSL's, numbered otherwise.
    private enum Three {
        /// call_enter: the header; message-flow state, handshake state, version, server, present, requested state; the
        /// parent, an unused word, two names.
        static let enter = 104
        static let parent = 64
        /// Before the scalars of a call_return: `present` stands 16 words from its beginning, with what is fixed behind it.
        static let callReturn = 176
        static let present = 80
        static let scalars = 96
        static let count = 20
        /// Their numbers now, in their order then.
        static let numbers = [3, 2, 0, 1, 10, 11, 12, 13, 8, 14, 15, 16, 17, 18, 19, 9, 4, 5, 6, 20]
        static let name = 304
    }

    private static func fromVersion3(_ body: [UInt8]) -> [UInt8] {
        var record = body
        guard let kind = kind(of: record) else { return record }
        func word(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(body[offset + $1]) << (8 * UInt32($1)) } }
        func bytes(_ word: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
        func renumbered(_ present: UInt32) -> UInt32 {
            Three.numbers.enumerated().reduce(0) { $0 | (present >> UInt32($1.offset) & 1) << UInt32($1.element) }
        }
        switch (kind, record.count) {
        case (TLSWATCH_CALL_ENTER.rawValue, Three.enter):
            var state = [UInt32](repeating: 0, count: Int(TLSWATCH_STATE_SLOTS.rawValue))
            // Message-flow state, handshake state, version, and behind two other words the requested state.
            for (number, offset) in [(0, 40), (1, 44), (3, 48), (4, 60)] { state[number] = word(offset) }
            record = Array(body[..<40]) + bytes(word(52)) + bytes(renumbered(word(56)))
            record += state.flatMap(bytes) + body[Three.parent...]
        case (TLSWATCH_CALL_RETURN.rawValue, Three.callReturn...):
            var scalars = [UInt32](repeating: 0, count: Four.count)
            for (index, number) in Three.numbers.enumerated() { scalars[number] = word(Three.scalars + 4 * index) }
            record.replaceSubrange(Three.scalars..<Three.callReturn, with: scalars.flatMap(bytes))
            record.replaceSubrange(Three.present..<Three.present + 4, with: bytes(renumbered(word(Three.present))))
        case (TLSWATCH_NAME.rawValue, Three.name):
            // The failure had a record of its own: no step here.
            record.insert(contentsOf: [UInt8](repeating: 0, count: MemoryLayout<tlswatch_step>.size), at: Old.header)
        default: return record
        }
        setSize(of: &record)
        return record
    }

    /// Version 4, which knew nothing of a call's time off the processor and of TCP's own figures.
    private enum Four {
        /// call_return: the header, entry, input, first send, idle time; behind the idle calls, 24 scalars.
        static let callReturn = 192
        static let result = 72
        static let scalars = 96
        static let count = 24
        /// socket: an unused word at its end.
        static let socket = 112
        static let unused = 108
    }

    private static func fromVersion4(_ body: [UInt8]) -> [UInt8] {
        var record = body
        guard let kind = kind(of: record) else { return record }
        func unknown(_ count: Int) -> [UInt8] { [UInt8](repeating: 0xff, count: count) }
        func none(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
        switch (kind, record.count) {
        case (TLSWATCH_CALL_RETURN.rawValue, Four.callReturn...):
            // From behind, so that the offsets hold: two more scalars; the round-trip time and the retransmissions; the time
            // off the processor, waiting for one and with bytes unread, and when the bytes had arrived.
            record.insert(contentsOf: none(8), at: Four.callReturn)
            record.insert(contentsOf: none(4) + unknown(4), at: Four.scalars)
            record.insert(contentsOf: unknown(24) + none(8), at: Four.result)
        case (TLSWATCH_SOCKET.rawValue, Four.socket):
            record.replaceSubrange(Four.unused..<Four.socket, with: unknown(4))
        default: return record
        }
        setSize(of: &record)
        return record
    }
}
