/// Long-header packets (RFC 9000 section 17.2) and the two that have a form of their own.
package enum QUICPacketType: Sendable {
    case initial, zeroRTT, handshake, retry, versionNegotiation
    /// A short header: 1-RTT.
    case short
}

/// One packet of a datagram; several may be in one (RFC 9000 section 12.2).
package struct QUICPacket: Sendable {
    package let type: QUICPacketType
    package let version: UInt32
    package let destination: ArraySlice<UInt8>
    package let source: ArraySlice<UInt8>
    package let token: ArraySlice<UInt8>
    /// Packet number, payload and tag, in bytes: what the header says.
    package let length: Int
    /// From the first byte to the end of the payload, as far as it is there.
    package let bytes: ArraySlice<UInt8>
    /// Where the packet number is, from the first byte.
    let numberAt: Int

    var isWhole: Bool { bytes.count >= numberAt + length }

    /// The packets of a datagram, up to the first that cannot be read.
    package static func all(in datagram: ArraySlice<UInt8>) -> [QUICPacket] {
        var rest = datagram
        var packets: [QUICPacket] = []
        while packets.count < 8, let packet = QUICPacket(rest) {
            packets.append(packet)
            guard packet.type != .short, packet.type != .retry, packet.type != .versionNegotiation, packet.isWhole
            else { break }
            rest = rest.dropFirst(packet.bytes.count)
        }
        return packets
    }

    /// The first packet of a datagram; `nil` where it is none.
    package init?(_ datagram: ArraySlice<UInt8>) {
        guard let first = datagram.first else { return nil }
        guard first & 0x80 != 0 else {
            // The fixed bit; without it what follows is padding.
            guard first & 0x40 != 0 else { return nil }
            (type, version, destination, source, token, length) = (.short, 0, [], [], [], datagram.count)
            (bytes, numberAt) = (datagram, 0)
            return
        }
        var reader = ByteReader(datagram.dropFirst())
        guard let number = reader.number(4), let destination = reader.vector(1), destination.count <= 20,
            let source = reader.vector(1), source.count <= 20
        else { return nil }
        version = UInt32(number)
        self.destination = destination
        self.source = source
        guard version != 0 else {
            (type, token, length, numberAt) = (.versionNegotiation, [], 0, 0)
            bytes = datagram
            return
        }
        let types = (QUICVersion(version) ?? .v1).types
        type = types[Int(first >> 4) & 3]
        guard type != .retry else {
            (token, length, numberAt) = ([], 0, 0)
            bytes = datagram
            return
        }
        var token: ArraySlice<UInt8> = []
        if type == .initial {
            guard let count = reader.variable(), let bytes = reader.take(count) else { return nil }
            token = bytes
        }
        guard let length = reader.variable(), length >= 4 else { return nil }
        self.token = token
        self.length = length
        numberAt = datagram.count - reader.count
        bytes = datagram.prefix(numberAt + length)
    }
}

extension ByteReader {
    /// A variable-length integer (RFC 9000 section 16) that counts bytes of a datagram; `nil` where it is more than any has.
    mutating func variable() -> Int? {
        guard let value = variable64(), value <= 65_535 else { return nil }
        return Int(value)
    }

    mutating func variable64() -> UInt64? {
        guard let first = byte() else { return nil }
        let more = (1 << Int(first >> 6)) - 1
        guard more > 0 else { return UInt64(first & 0x3f) }
        guard let rest = number(more) else { return nil }
        return UInt64(first & 0x3f) << UInt64(8 * more) | rest
    }
}

/// The frames that Initial packets may hold (RFC 9000 section 12.4), as far as they say something.
package enum QUICFrame: Sendable, Equatable {
    case crypto(offset: Int, bytes: ArraySlice<UInt8>)
    /// `reason` as the peer wrote it.
    case close(code: UInt64, reason: ArraySlice<UInt8>)
    case other

    /// All of a packet's, up to the first that cannot be read.
    package static func all(in payload: ArraySlice<UInt8>) -> [QUICFrame] {
        var reader = ByteReader(payload)
        var frames: [QUICFrame] = []
        while frames.count < 256, let type = reader.byte() {
            switch type {
            case 0, 1: continue
            case 2, 3:
                guard reader.skipAcknowledgement(withCounts: type == 3) else { return frames }
                frames.append(.other)
            case 6:
                guard let offset = reader.variable64(), let count = reader.variable(), let bytes = reader.take(count)
                else { return frames }
                if offset < 1 << 20 { frames.append(.crypto(offset: Int(offset), bytes: bytes)) }
            case 0x1c:
                guard let code = reader.variable64(), reader.variable64() != nil, let count = reader.variable(),
                    let reason = reader.take(count)
                else { return frames }
                frames.append(.close(code: code, reason: reason))
            case 0x1d:
                guard let code = reader.variable64(), let count = reader.variable(), let reason = reader.take(count)
                else { return frames }
                frames.append(.close(code: code, reason: reason))
            default: return frames
            }
        }
        return frames
    }
}

extension ByteReader {
    fileprivate mutating func skipAcknowledgement(withCounts: Bool) -> Bool {
        guard variable64() != nil, variable64() != nil, let ranges = variable(), variable64() != nil else {
            return false
        }
        for _ in 0..<ranges {
            guard variable64() != nil, variable64() != nil else { return false }
        }
        if withCounts {
            for _ in 0..<3 where variable64() == nil { return false }
        }
        return true
    }
}
