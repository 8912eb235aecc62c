import Code

/// Where a connection has the random of the handshake's ClientHello: its last eight bytes tell one from every other, on packets
/// and in the library alike.
enum ClientRandom {
    /// `SSL_get_client_random(connection, out, size)` of OpenSSL and of what descends from it.
    static let getter = "SSL_get_client_random"
    /// A copy of so many bytes is followed through the getter, inline or not.
    private static let copied: UInt64 = 8
    /// Of the last eight bytes, in the random's 32.
    private static let last: Int32 = 24

    /// Its paths, from the getter's code; `nil` where that tells no place, or several.
    static func paths(_ interpreter: AbstractInterpreter, _ getter: ELFSymbol) -> [Fact: FactPath]? {
        var interpreter = interpreter
        interpreter.followsTailJumps = false
        var places: Set<[Int32]> = []
        for event in interpreter.run(getter.address, parameters: [2: .constant(copied)]) {
            switch event {
            case .stored(let place, let value):
                // Copied inline: its first bytes first.
                guard place.root == 1, place.count == 0, place.displacement == 0, let field = value.field,
                    field.root == 0, field.width == Int(copied)
                else { continue }
                places.insert(field.offsets)
            case .called(_, let arguments), .jumpedOut(_, let arguments):
                guard case .place(let out, _) = arguments[0], out.root == 1, out.count == 0, out.displacement == 0,
                    case .place(let place, _) = arguments[1], place.root == 0
                else { continue }
                places.insert(place.offsets + [place.displacement])
            default: break
            }
        }
        guard places.count == 1, let found = places.first, found.count <= 2,
            found.allSatisfy({ (0..<0x10000).contains($0) }), let offset = found.last
        else { return nil }
        return paths(behind: Array(found.dropLast()), at: offset)
    }

    /// BoringSSL's: in its connection's state (`SSL3_STATE`), behind the two directions' sequence numbers and the server's random,
    /// in every release. Nothing in the code confirms it where the getter has no name: it is believed once it has agreed with
    /// packets.
    static func boringSSL(state: Int32) -> [Fact: FactPath] { paths(behind: [state], at: 8 + 8 + 32) }

    /// The paths to a random at this offset.
    private static func paths(behind chain: [Int32], at offset: Int32) -> [Fact: FactPath] {
        [
            .random: FactPath(offsets: chain + [offset + last], size: 4),
            .randomEnd: FactPath(offsets: chain + [offset + last + 4], size: 4),
        ]
    }
}
