/// A Go file made by hand, as small as one can be: a table of functions, moduledata, and a few type descriptors.
package struct SyntheticGo {
    package static let dataAddress: UInt64 = 0x500_0000
    package static let textAddress: UInt64 = 0x40_1000

    /// The first byte of the table's magic number.
    package var magic: UInt8 = 0xf1
    /// As Go stored offsets of fields up to 1.18.
    package var shiftsOffsets = false
    package var functions = [
        "main.main", "crypto/tls.(*Conn).handshakeContext", "crypto/tls.(*Conn).Handshake", "runtime.main",
    ]
    /// What they do, by name; those that are not here do nothing.
    package var code: [String: [UInt8]] = [:]
    /// Bytes of each function.
    package var functionSize = 64
    package typealias Structure = (
        package: String, name: String, fields: [(name: String, offset: UInt64)], size: UInt64
    )
    /// The types that are asked for. The last field of each reaches to its end.
    package var structures: [Structure] = [
        ("crypto/tls", "Conn", [("conn", 0), ("isClient", 16), ("handshakeFn", 24), ("last", 120)], 128)
    ]
    /// Types beside those that are asked for: the base of names and the way of offsets are told by the many.
    package var others = 40
    /// Where the last field of those stands, which reaches to their end.
    package var lastOffset: UInt64 = 40
    /// Words that look like the runtime's table of tables stand before it: of other entries, of another number of them, and of code
    /// that is none.
    package var hasDecoys = false
    /// Behind the types: what the program carries in its constants.
    package var carried: [UInt8] = []

    private var data: [UInt8] = []
    /// Where the types begin in the data.
    private var types = 0

    private mutating func align(_ size: Int) { while data.count % size != 0 { data.append(0) } }
    private mutating func word(_ value: UInt64) { append(value, 8) }
    private mutating func append(_ value: UInt64, _ size: Int) {
        for index in 0..<size { data.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
    }
    private mutating func patch(_ value: UInt64, at offset: Int) {
        for index in 0..<8 { data[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }
    private var here: UInt64 { Self.dataAddress + UInt64(data.count) }

    /// internal/abi.Name; returns its offset in the data.
    private mutating func name(_ text: String) -> UInt64 {
        defer {
            data.append(0)
            data.append(UInt8(text.utf8.count))
            data += Array(text.utf8)
        }
        return UInt64(data.count)
    }

    private mutating func structure(
        _ package: String, _ name: String, _ fields: [(name: String, offset: UInt64)], size: UInt64
    )
        -> UInt64
    {
        let short = package.split(separator: "/").last.map(String.init) ?? package
        let text = self.name("*\(short).\(name)")
        let path = self.name(package)
        let names = fields.map { self.name($0.name) }
        align(8)
        let number = here
        append(8, 8); word(0); append(0, 4); data += [4, 8, 8, 2]; word(0); word(0)
        // The name that stands before all else.
        append(0, 4); append(0, 4)
        // An array.
        let rest = here
        let last = fields.last?.offset ?? 0
        // One that begins behind the end is none of the program's.
        append(last < size ? size - last : 8, 8); word(0); append(0, 4); data += [4, 8, 8, 17]; word(0); word(0)
        append(0, 4); append(0, 4)
        let members = here
        for (index, field) in fields.enumerated() {
            word(Self.dataAddress + names[index]); word(index == fields.count - 1 ? rest : number)
            word(shiftsOffsets ? field.offset << 1 : field.offset)
        }
        let type = here
        word(size); word(0); append(0x1234, 4); data += [6, 8, 8, 25]; word(0); word(0)
        append(text - UInt64(types), 4); append(0, 4)
        word(Self.dataAddress + path); word(members); word(UInt64(fields.count)); word(UInt64(fields.count))
        return type
    }

    package init() {}

    package mutating func bytes() -> [UInt8] {
        data = []
        let table = data.count
        let head = data.count
        data += [magic, 0xff, 0xff, 0xff, 0, 0, 1, 8]
        for _ in 0..<8 { word(0) }
        patch(UInt64(functions.count), at: head + 8)
        patch(UInt64(data.count - table), at: head + 32)
        data.append(0)
        var names: [UInt64] = []
        for function in functions {
            names.append(UInt64(data.count - table - 72))
            data += Array(function.utf8) + [0]
        }
        for place in [40, 48, 56] { patch(UInt64(data.count - table), at: head + place) }
        // None of the parts is empty.
        data.append(0)
        align(8)
        let entries = data.count
        patch(UInt64(entries - table), at: head + 64)
        let bodies = 8 * functions.count + 8
        for index in functions.indices {
            append(UInt64(index * functionSize), 4); append(UInt64(bodies + 16 * index), 4)
        }
        append(UInt64(functions.count * functionSize), 4); append(0, 4)
        for index in functions.indices {
            append(UInt64(index * functionSize), 4); append(names[index], 4); word(0)
        }
        align(8)
        for decoy in 0..<(hasDecoys ? 3 : 0) {
            let place = data.count
            for _ in 0..<60 { word(0) }
            patch(Self.dataAddress + UInt64(table), at: place)
            patch(Self.dataAddress + UInt64(decoy == 0 ? table : entries), at: place + 8 * 16)
            patch(UInt64(functions.count) + (decoy == 1 ? 2 : 1), at: place + 8 * 17)
            patch(decoy == 2 ? Self.dataAddress : Self.textAddress + 1, at: place + 8 * 22)
        }
        let module = data.count
        for _ in 0..<60 { word(0) }
        patch(Self.dataAddress + UInt64(table), at: module)
        patch(Self.dataAddress + UInt64(entries), at: module + 8 * 16)
        patch(UInt64(functions.count) + 1, at: module + 8 * 17)
        patch(Self.textAddress, at: module + 8 * 22)
        align(16)
        types = data.count
        // Where the types begin, behind words that are something else.
        patch(Self.dataAddress + UInt64(module), at: module + 8 * 30)
        patch(Self.dataAddress + UInt64(types), at: module + 8 * 37)
        _ = name("*int")
        for index in 0..<others {
            _ = structure("pkg/other", "Type\(index)", [("first", 0), ("last", lastOffset)], size: 48)
        }
        for type in structures { _ = structure(type.package, type.name, type.fields, size: type.size) }
        align(16)
        data += carried
        patch(here, at: module + 8 * 38)
        let text = functions.flatMap { name in
            let body = code[name] ?? []
            return body + [UInt8](repeating: 0x90, count: functionSize - body.count)
        }
        return CodeImage.bytes(type: 2, (Self.textAddress, flags: 5, text), (Self.dataAddress, flags: 6, data))
    }
}
