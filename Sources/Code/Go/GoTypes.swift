/// Go's type descriptors (internal/abi.Type), as far as they are needed: structs with their fields, pointers to types, interfaces
/// with their methods, and a few named numbers.
///
/// Their list has changed with nearly each release, and with it where it stands; the descriptors themselves have not. So they
/// are found by their shape, and judged by their names.
package struct GoTypes: Sendable {
    package struct Field: Sendable, Equatable {
        package var offset: UInt64
        /// The address of its type's descriptor.
        package var type: UInt64
    }

    package enum Kind: UInt8, Sendable {
        case int = 2
        case uint8 = 8
        case uintptr = 12
        case interface = 20
        case pointer = 22
        case structure = 25
    }

    private let image: GoImage
    /// What offsets of names are relative to.
    private let base: UInt64
    /// Fields' offsets are shifted, with a flag in the lowest bit (up to 1.18).
    private var shift: UInt64 = 0
    private let found: GoTypeScan

    /// More fields, or methods, than real types have.
    private static let memberLimit: UInt64 = 4096

    /// - Parameter words: addresses that the runtime's table of tables has, from the code's beginning on, in any order. One of
    ///   them is where the types begin, and what offsets of their names are relative to.
    init?(_ image: GoImage, words: [UInt64]) {
        self.image = image
        guard let area = Self.area(image, words) else { return nil }
        base = area.lowerBound
        found = GoTypeScan(image, in: image.data(in: area))
        if storesShiftedOffsets() { shift = 1 }
    }

    /// The descriptors that a beginning is judged by.
    private static let sampleSize = 600

    /// From where the types begin to the next part that the runtime knows of.
    ///
    /// What stands elsewhere in the file in the shape of types is not this program's: it may carry other programs in its
    /// constants. What its linker puts between the types and the next part, texts for one, follows the types.
    private static func area(_ image: GoImage, _ words: [UInt64]) -> Range<UInt64>? {
        let starts = Set(words).filter { image.file.segment(at: $0) != nil }.sorted()
        var best: (area: Range<UInt64>, votes: Int)?
        for (index, start) in starts.enumerated() {
            let area = start..<(index + 1 < starts.count ? starts[index + 1] : .max)
            let sample = GoTypeScan(image, in: image.data(in: area), structureLimit: sampleSize).structures.prefix(
                sampleSize)
            let votes = sample.count { isNamed(image, $0, start) }
            if votes > best?.votes ?? 0, votes * 2 > sample.count { best = (area, votes) }
        }
        return best?.area
    }

    /// Whether a name is that of a type of a package: `tls.Conn`.
    private static func isQualified(_ name: [UInt8]) -> Bool {
        guard let dot = name.firstIndex(of: UInt8(ascii: ".")), dot > 0, dot + 1 < name.count else { return false }
        return name[..<dot].allSatisfy { byte in
            byte == UInt8(ascii: "_") || (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
                || (0x61...0x7a).contains(byte)
        }
    }

    /// A last field that ends past its struct's end is proof, and nearly each one would. What the file carries besides, and looks
    /// like types, comes behind the types.
    private func storesShiftedOffsets() -> Bool {
        var (seen, past) = (0, 0)
        for type in found.structures.lazy.filter({ Self.isNamed(image, $0, base) }).prefix(Self.sampleSize) {
            guard let size = image.u64(at: type), let members = members(of: type), members.count > 1 else { continue }
            let last = members.start &+ 24 * (members.count - 1)
            guard let offset = image.u64(at: last &+ 16), let field = image.pointer(at: last &+ 8),
                let width = image.u64(at: field)
            else { continue }
            seen += 1
            if offset > size || width > size - offset { past += 1 }
        }
        return past * 2 > seen
    }

    private static func isNamed(_ image: GoImage, _ type: UInt64, _ base: UInt64) -> Bool {
        typeName(image, type, base).map(isQualified) ?? false
    }

    // MARK: names

    /// runtime.name: flags, the length as a varint, then so many bytes.
    private static func name(_ image: GoImage, at address: UInt64) -> [UInt8]? {
        guard let head = image.bytes(at: address, count: 3), head[0] & 0xf0 == 0 else { return nil }
        var (length, start) = (Int(head[1]), 2)
        if length & 0x80 != 0 {
            guard head[2] & 0x80 == 0 else { return nil }
            (length, start) = (length & 0x7f | Int(head[2]) << 7, 3)
        }
        guard length <= 512, let text = image.bytes(at: address &+ UInt64(start), count: length),
            text.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { return nil }
        return text
    }

    /// A type's name with its package's last element, `tls.Conn`.
    private static func typeName(_ image: GoImage, _ type: UInt64, _ base: UInt64) -> [UInt8]? {
        guard let flags = image.u8(at: type &+ 20), let offset = image.u32(at: type &+ 40),
            var text = name(image, at: base &+ UInt64(offset))
        else { return nil }
        // The text is the pointer's, and this type shares it.
        if flags & 2 != 0 {
            guard text.first == UInt8(ascii: "*") else { return nil }
            text.removeFirst()
        }
        return text
    }

    private func text(at address: UInt64) -> String? {
        Self.name(image, at: address).map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: types

    package func kind(_ type: UInt64) -> Kind? { image.u8(at: type &+ 23).flatMap { Kind(rawValue: $0 & 31) } }

    /// A named type's package, as its path is written in an import.
    private func package(of type: UInt64) -> String? {
        guard let kind = kind(type) else { return nil }
        // A struct has it beside its fields, if one of them is not exported.
        if kind == .structure, let path = image.pointer(at: type &+ 48) { return text(at: path) }
        guard let place = uncommon(type, kind), let offset = image.u32(at: place) else { return nil }
        return text(at: base &+ UInt64(offset))
    }

    /// internal/abi.UncommonType, which stands behind the descriptor of a type that is named or has methods.
    private func uncommon(_ type: UInt64, _ kind: Kind) -> UInt64? {
        guard let flags = image.u8(at: type &+ 20), flags & 1 != 0 else { return nil }
        switch kind {
        case .structure, .interface: return type &+ 80
        case .pointer: return type &+ 56
        case .int, .uint8, .uintptr: return type &+ 48
        }
    }

    /// The descriptors of named types, by package and name, as one reading of them all gives them.
    package func named(_ wanted: Set<GoTypeName>) -> [GoTypeName: UInt64] {
        // Most are told apart by their names alone.
        let names = Set(wanted.map { Array($0.name.utf8)[...] })
        var result: [GoTypeName: UInt64] = [:]
        for type in found.structures + found.numbers {
            guard let name = Self.typeName(image, type, base), let dot = name.firstIndex(of: UInt8(ascii: ".")),
                names.contains(name[(dot + 1)...]), let package = package(of: type)
            else { continue }
            let key = GoTypeName(package, String(decoding: name[(dot + 1)...], as: UTF8.self))
            if wanted.contains(key), result[key] == nil { result[key] = type }
        }
        return result
    }

    /// A type's size in bytes.
    package func size(of type: UInt64) -> UInt64? { image.u64(at: type) }

    /// Whether an interface holds the type's value itself rather than its address: pointers, and structs of one pointer.
    package func isDirect(_ type: UInt64) -> Bool {
        // A flag of the kind, since 1.26 one beside it.
        (image.u8(at: type &+ 23) ?? 0) & 0x20 != 0 || (image.u8(at: type &+ 20) ?? 0) & 0x20 != 0
    }

    private func members(of type: UInt64) -> (start: UInt64, count: UInt64)? {
        guard let start = image.pointer(at: type &+ 56), let count = image.u64(at: type &+ 64), count > 0,
            count <= Self.memberLimit
        else { return nil }
        return (start, count)
    }

    /// A struct's fields by name; one that is embedded has its type's.
    package func fields(of type: UInt64) -> [String: Field] {
        guard kind(type) == .structure, let (start, count) = members(of: type),
            let bytes = image.bytes(at: start, count: Int(count) * 24)
        else { return [:] }
        var fields: [String: Field] = [:]
        for index in 0..<Int(count) {
            let place = start &+ UInt64(24 * index)
            guard let name = image.pointer(at: place).flatMap({ text(at: $0) }),
                let type = image.pointer(at: place &+ 8),
                let offset = bytes.u64(at: 24 * index + 16)
            else { continue }
            fields[name] = Field(offset: offset >> shift, type: type)
        }
        return fields
    }

    /// What a pointer points to.
    package func pointee(of type: UInt64) -> UInt64? {
        kind(type) == .pointer ? image.pointer(at: type &+ 48) : nil
    }

    /// The descriptors of the pointers to these types.
    package func pointers(to types: Set<UInt64>) -> [UInt64: UInt64] {
        var result: [UInt64: UInt64] = [:]
        var left: Set<UInt64> = []
        for type in types {
            // What the type itself tells of it may be 0, though there is one.
            if let offset = image.u32(at: type &+ 44), offset != 0, pointee(of: base &+ UInt64(offset)) == type {
                result[type] = base &+ UInt64(offset)
            } else {
                left.insert(type)
            }
        }
        for pointer in found.pointers where !left.isEmpty {
            if let type = image.pointer(at: pointer &+ 48), left.remove(type) != nil { result[type] = pointer }
        }
        return result
    }

    // MARK: methods

    private func methodNames(of interface: UInt64) -> Set<String> {
        guard let (start, count) = members(of: interface), let bytes = image.bytes(at: start, count: Int(count) * 8)
        else { return [] }
        return Set(
            (0..<Int(count)).compactMap { index in bytes.u32(at: 8 * index).flatMap { text(at: base &+ UInt64($0)) } })
    }

    /// The interfaces that have all these methods.
    package func interfaces(with methods: Set<String>) -> Set<UInt64> {
        Set(
            found.interfaces.filter { type in
                guard let (_, count) = members(of: type), count >= methods.count else { return false }
                return methods.isSubset(of: methodNames(of: type))
            })
    }

    /// Whether a struct, or a pointer, has these methods.
    package func has(_ methods: Set<String>, _ type: UInt64) -> Bool {
        guard let kind = kind(type), let place = uncommon(type, kind), let head = image.bytes(at: place, count: 16),
            let count = head.u16(at: 4), let offset = head.u32(at: 8), count >= methods.count,
            let bytes = image.bytes(at: place &+ UInt64(offset), count: Int(count) * 16)
        else { return false }
        let names = (0..<Int(count)).compactMap { bytes.u32(at: 16 * $0) }
        return methods.isSubset(of: names.compactMap { text(at: base &+ UInt64($0)) })
    }

    /// The structs that have a field of one of these types, with their fields' offsets and types.
    package func structures(withFieldOf types: Set<UInt64>, limit: Int) -> [(type: UInt64, fields: [Field])] {
        var result: [(type: UInt64, fields: [Field])] = []
        for type in found.structures where result.count < limit {
            guard let (start, count) = members(of: type), let bytes = image.bytes(at: start, count: Int(count) * 24)
            else { continue }
            var fields: [Field] = []
            for index in 0..<Int(count) {
                let target =
                    image.holdsPointers
                    ? bytes.u64(at: 24 * index + 8) : image.pointer(at: start &+ UInt64(24 * index + 8))
                guard let target, types.contains(target), let offset = bytes.u64(at: 24 * index + 16) else { continue }
                fields.append(Field(offset: offset >> shift, type: target))
            }
            if !fields.isEmpty { result.append((type, fields)) }
        }
        return result
    }
}

/// A named type.
package struct GoTypeName: Hashable, Sendable {
    /// The package's path as it is written in an import.
    package var package: String
    package var name: String

    package init(_ package: String, _ name: String) { (self.package, self.name) = (package, name) }
}
