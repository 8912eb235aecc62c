import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// Hostile files: nothing here may crash or hang; what is read does not matter.
@Suite("Hostile ELF files", .enabled(if: Machine.has(Machine.compiler, Machine.libssl)))
struct ELFFuzzTests {
    private static func exercise(_ bytes: [UInt8]) {
        guard let file = try? ELFFile(bytes: bytes) else { return }
        _ = file.symbols(named: ["TLS_method", "table", "a", "SSL_free"])
        _ = (file.neededLibraries, file.soName, file.runPath, file.rPath, file.buildID, file.interpreter)
        _ = file.importSlots(of: "ERR_vset_error")
        for segment in file.segments.prefix(16) {
            for address in [segment.address, segment.address &+ segment.fileSize &- 1, .max - segment.address] {
                _ = (file.pointer(at: address), file.functionExtent(containing: address), file.text(at: address))
                _ = (file.bytes(at: address, upTo: 64), file.fileOffset(ofAddress: address))
            }
        }
        if OpenSSL.recognises(file) { _ = try? OpenSSL.analyse(file) }
    }

    @Test("A small library with bytes changed at random") func mutatedSmallLibrary() throws {
        let path = try Machine.compile(
            "int a, b; int *table[4] = {&a, &b, 0, &a}; int *TLS_method(void) { return &a; }",
            ["-shared", "-fPIC", "-nostdlib", "-Wl,-z,pack-relative-relocs"])
        try Self.mutate(Machine.bytes(path), rounds: 3000, seed: 1)
    }

    @Test("A small library cut short anywhere") func truncatedSmallLibrary() throws {
        let path = try Machine.compile("int a; int *table = &a;", ["-shared", "-fPIC", "-nostdlib"])
        let bytes = try Machine.bytes(path)
        for count in stride(from: 0, to: bytes.count, by: 37) { Self.exercise(Array(bytes.prefix(count))) }
    }

    /// The headers, the dynamic section, relocations, unwind tables and code of a real library.
    @Test("The host's libssl with bytes changed at random") func mutatedLibSSL() throws {
        try Self.mutate(Machine.bytes(Machine.libssl), rounds: 25, seed: 2)
    }

    private static func mutate(_ original: [UInt8], rounds: Int, seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        // Program headers, section headers and the dynamic section decide most.
        let file = try ELFFile(bytes: original)
        let dynamic = file.segments.first { $0.type == 2 }
        let hot =
            Array(0..<min(original.count, 64 + 56 * file.segments.count))
            + Array(Int(dynamic?.fileOffset ?? 0)..<Int((dynamic?.fileOffset ?? 0) + (dynamic?.fileSize ?? 0)))
        let extremes: [UInt8] = [0, 1, 0x7f, 0x80, 0xff]
        for _ in 0..<rounds {
            var bytes = original
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                let anywhere = Bool.random(using: &generator)
                let index =
                    anywhere
                    ? Int.random(in: 0..<bytes.count, using: &generator)
                    : hot[Int.random(in: 0..<hot.count, using: &generator)]
                if index < 20 { continue }  // the magic, the class and the machine: refused at once
                bytes[index] =
                    Bool.random(using: &generator)
                    ? UInt8.random(in: 0...255, using: &generator)
                    : extremes[Int.random(in: 0..<extremes.count, using: &generator)]
            }
            exercise(bytes)
        }
    }
}
