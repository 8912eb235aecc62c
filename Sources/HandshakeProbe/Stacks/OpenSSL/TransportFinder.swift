import Code

/// How a `BIO` tells its descriptor, from the code of the exported functions that read its fields. They are libcrypto's.
struct TransportFinder {
    let code: CodeReader
    let symbols: [String: ELFSymbol]

    /// `BIO_TYPE_DESCRIPTOR`, `BIO_TYPE_FILTER` (include/openssl/bio.h).
    private static let descriptorBit: UInt32 = 0x0100
    private static let filterBit: UInt32 = 0x0200
    /// OpenSSL's own kinds at the end of a chain. Their numbers do not tell: curl's method calls itself BIO_TYPE_MEM.
    private static let own = [
        "socket", "socket connect", "datagram socket", "file descriptor", "memory buffer", "secure memory buffer",
        "BIO pair", "NULL",
    ]

    /// `nil` where the file does not hold the functions, or they do not have the known shape.
    func layout() -> TransportLayout? {
        // In `struct bio_st` stand int retry_reason, int num, void *ptr: the descriptor lies between two that have getters.
        guard let type = field("BIO_method_type", depth: 2, width: 4),
            let name = field("BIO_method_name", depth: 2, width: 8), name.offsets[0] == type.offsets[0],
            let next = field("BIO_next", depth: 1, width: 8),
            let reason = field("BIO_get_retry_reason", depth: 1, width: 4)?.offsets[0],
            let data = field("BIO_get_data", depth: 1, width: 8)?.offsets[0],
            case let descriptor = reason + 4, data == (descriptor + 4 + 7) & ~7,
            let kinds = UInt16(exactly: type.offsets[0]), let kind = UInt16(exactly: type.offsets[1]),
            let name = UInt16(exactly: name.offsets[1]),
            let descriptor = UInt16(exactly: descriptor), let next = UInt16(exactly: next.offsets[0])
        else { return nil }
        return TransportLayout(
            kinds: kinds, kind: kind, name: name, descriptor: descriptor, next: next,
            hasDescriptor: Self.descriptorBit, isFilter: Self.filterBit, own: Self.own)
    }

    /// The one field of its parameter that a getter returns, behind so many loads.
    private func field(_ getter: String, depth: Int, width: Int) -> Field? {
        guard let symbol = symbols[getter] else { return nil }
        var fields: Set<Field> = []
        for case .returned(let value) in AbstractInterpreter(code: code).run(symbol.address) {
            if let field = value.field, field.root == 0, field.offsets.count == depth, field.width == width {
                fields.insert(field)
            }
        }
        return fields.count == 1 ? fields.first : nil
    }
}
