import CEvents

/// Brings recordings of earlier releases into the shape of this one. What they do not hold is left absent.
enum RecordingUpgrade {
    /// The oldest wire version that is read: the first release's.
    static let oldest = 2

    /// The frames of a recording of wire version 2 with each record as version 3 has it. A part that is cut or garbled stays
    /// as it is, for the reader to find.
    static func fromVersion2(_ frames: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(frames.count + frames.count / 8)
        var offset = frames.startIndex
        while offset + 8 <= frames.endIndex {
            let kind = UInt16(frames[offset]) | UInt16(frames[offset + 1]) << 8
            let length = (0..<4).reduce(0) { $0 | Int(frames[offset + 4 + $1]) << (8 * $1) }
            let start = offset + 8
            guard length <= RecordingFrame.lengthLimit, start + length <= frames.endIndex else { break }
            let body = frames[start..<start + length]
            let record = kind == RecordingFrame.record ? record(body) : Array(body)
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

    private static func record(_ body: ArraySlice<UInt8>) -> [UInt8] {
        var record = Array(body)
        guard record.count >= Old.header, Int(record[Old.size]) | Int(record[Old.size + 1]) << 8 == record.count else {
            return record
        }
        switch (UInt32(record[Old.kind]) | UInt32(record[Old.kind + 1]) << 8, record.count) {
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
        record[Old.size] = UInt8(truncatingIfNeeded: record.count)
        record[Old.size + 1] = UInt8(truncatingIfNeeded: record.count >> 8)
        return record
    }
}
