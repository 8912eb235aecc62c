import Code

/// libssl's tables of extensions: the number of one, and the function that reads it.
enum ExtensionHandlers {
    /// `application_layer_protocol_negotiation`, and the one before it in the two tables of what is read of a hello.
    private static let applicationProtocol: UInt64 = 16
    private static let renegotiation: UInt64 = 0xff01
    private static let row: UInt64 = 16

    /// The functions that read the extension of the application protocol: a server's and a client's.
    static func applicationProtocol(_ file: ELFFile) -> Set<UInt64> {
        var found: Set<UInt64> = []
        for area in DataSearch.areas(file) {
            let start = (area.lowerBound &+ 7) & ~7
            guard start < area.upperBound else { continue }
            let bytes = file.bytes(at: start, upTo: Int(area.upperBound - start))
            for offset in stride(from: 0, to: bytes.count, by: 8) {
                let address = start &+ UInt64(offset)
                guard bytes.u64(at: offset) == applicationProtocol,
                    file.bytes(at: address &- row, count: 8)?.u64(at: 0) == renegotiation,
                    let before = file.pointer(at: address &- row &+ 8), file.isCode(before),
                    let reader = file.pointer(at: address &+ 8), file.isCode(reader)
                else { continue }
                found.insert(reader)
            }
        }
        return found
    }
}
