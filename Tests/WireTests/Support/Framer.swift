import Wire

/// One TCP segment with payload.
struct Segment {
    var side: WireSide
    var sequence: UInt32
    var payload: [UInt8]
}

/// What the BPF programs make of segments: record headers, and the bytes of plaintext handshake records.
///
/// A second implementation of their rules (bpf/wire.bpf.h), so that the rules behind them can be tried without a kernel.
struct Framer {
    private struct Direction {
        var next: UInt32?
        var partial: [UInt8] = []
        var copyEnd: UInt32?
        var changedCipher = false
        var hasGap = false
    }

    private var directions = [Direction(), Direction()]
    private var sawServerHello = false
    private var time: UInt64 = 0

    /// Where a side's first record begins, as the other side's TCP knows.
    mutating func expect(_ sequence: UInt32, from side: WireSide) {
        directions[side == .client ? 0 : 1].next = sequence
    }

    mutating func frame(_ segment: Segment, isInOrder: Bool = true) -> WireSegment {
        time += 1000
        let index = segment.side == .client ? 0 : 1
        var result = WireSegment(time: time, side: segment.side)
        let begin = segment.sequence
        func offset(_ sequence: UInt32) -> Int { Int(Int32(bitPattern: sequence &- begin)) }
        var copied: Range<Int>?
        func copy(_ range: Range<Int>) { copied = (copied?.lowerBound ?? range.lowerBound)..<range.upperBound }
        if directions[index].next == nil { directions[index].next = begin }
        if let copyEnd = directions[index].copyEnd, offset(copyEnd) > 0 {
            copy(0..<min(offset(copyEnd), segment.payload.count))
        }
        if isInOrder, let next = directions[index].next, offset(next) + directions[index].partial.count < 0 {
            directions[index].hasGap = true
            let head = segment.payload.prefix(2)
            if head.count == 2, (20...23).contains(head[0]), head[1] == 3 {
                directions[index].next = begin
                directions[index].partial = []
                result.followsGap = true
            }
        }
        while let next = directions[index].next {
            let at = offset(next) + directions[index].partial.count
            guard at >= 0, at < segment.payload.count else { break }
            directions[index].partial += segment.payload[at...].prefix(5 - directions[index].partial.count)
            guard directions[index].partial.count == 5 else { break }
            let header = directions[index].partial
            directions[index].partial = []
            let length = Int(header[3]) << 8 | Int(header[4])
            guard let type = RecordType(rawValue: header[0]), header[1] == 3, length <= 18432 else {
                directions[index].next = next &- 1
                result.isNotTLS = !directions[index].hasGap
                break
            }
            directions[index].next = next &+ UInt32(5 + length)
            let body = max(0, offset(next) + 5)
            var content = Array(segment.payload.dropFirst(body).prefix(min(length, 8)))
            let isPlain = !sawServerHello || !directions[index].changedCipher
            if type == .applicationData || type == .handshake && !isPlain { content = [] }
            if type == .handshake && isPlain || type == .changeCipherSpec && !sawServerHello {
                let recordEnd = next &+ UInt32(5 + length)
                directions[index].copyEnd = recordEnd
                copy(max(0, offset(next))..<min(segment.payload.count, max(0, offset(recordEnd))))
            }
            if type == .changeCipherSpec { directions[index].changedCipher = true }
            result.records.append(WireRecord(type: type, length: length, content: content))
            if type == .handshake, segment.side == .server, !sawServerHello, content.first ?? 2 == 2 {
                let retry = segment.payload.dropFirst(body + 6).prefix(4).elementsEqual([0xcf, 0x21, 0xad, 0x74])
                if !retry {
                    sawServerHello = true
                    directions[0].changedCipher = false
                    directions[1].changedCipher = false
                }
            }
        }
        if let copied {
            result.bytes = segment.payload[copied]
            result.sequence = begin &+ UInt32(copied.lowerBound)
        }
        return result
    }
}
