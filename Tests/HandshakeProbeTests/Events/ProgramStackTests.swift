import Foundation
import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

/// The compiled BPF programs themselves: what they must not do to a host.
@Suite("The stack of the BPF programs") struct ProgramStackTests {
    /// clang 21 and later turn what cannot happen into a call of `__bpf_trap`, which Linux has since 6.17 and libbpf looks for.
    @Test("The programs do not call what older kernels lack") func traps() {
        var places: [Int] = []
        DataSearch.find(Array("__bpf_trap".utf8), in: EmbeddedObject.bytes()) { place in
            places.append(place)
            return false
        }
        #expect(places.isEmpty)
    }

    @Test("No program or function of the BPF object uses 64 bytes of stack: at that size it gets a private stack")
    func stackUse() throws {
        let object = try ELFFile.sections(ofBPFObject: EmbeddedObject.bytes())
        #expect(object.count > 5)
        for (name, code) in object {
            let depth = try #require(Self.deepest(code))
            #expect(depth < 64, "\(name) reaches \(depth) bytes below the frame pointer")
        }
    }

    /// The deepest access below r10 (the frame pointer), directly or through a copy that is then moved down.
    private static func deepest(_ code: [UInt8]) -> Int? {
        guard code.count % 8 == 0 else { return nil }
        var deepest = 0
        var copy: UInt8?
        for start in stride(from: 0, to: code.count, by: 8) {
            let (operation, registers) = (code[start], code[start + 1])
            let offset = Int(Int16(bitPattern: UInt16(code[start + 2]) | UInt16(code[start + 3]) << 8))
            let immediate = Int(
                Int32(bitPattern: (0..<4).reduce(0) { $0 | UInt32(code[start + 4 + $1]) << (8 * UInt32($1)) }))
            let (target, source) = (registers & 15, registers >> 4)
            switch operation & 7 {
            case 1 where source == 10: deepest = max(deepest, -offset)
            case 2, 3: if target == 10 { deepest = max(deepest, -offset) }
            default: break
            }
            if operation == 0xbf, source == 10 { copy = target }
            if operation == 0x07, target == copy { deepest = max(deepest, -immediate) }
        }
        return deepest
    }
}

extension ELFFile {
    /// The code of a relocatable BPF object, section by section.
    fileprivate static func sections(ofBPFObject bytes: [UInt8]) throws -> [(String, [UInt8])] {
        func word(_ at: Int, _ size: Int) -> Int { (0..<size).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
        let table = word(0x28, 8)
        let count = word(0x3c, 2)
        return (0..<count).compactMap { index in
            let entry = table + index * 64
            let flags = word(entry + 8, 8)
            let (offset, size) = (word(entry + 24, 8), word(entry + 32, 8))
            guard word(entry + 4, 4) == 1, flags & 4 != 0, size > 0 else { return nil }
            return ("section \(index)", Array(bytes[offset..<offset + size]))
        }
    }
}
