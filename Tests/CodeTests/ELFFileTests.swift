import TestSupport
import Testing

@testable import Code

@Suite("ELF files", .enabled(if: Machine.has(Machine.libssl, Machine.libcrypto, "/usr/bin/readelf", "/usr/bin/nm")))
struct ELFFileTests {
    @Test("Dynamic symbols are where nm says they are") func dynamicSymbolsAreWhereNmSaysTheyAre() throws {
        let file = try ELFFile(path: Machine.libssl)
        let witness = try Tool.symbols(["-D", "--defined-only", Machine.libssl]).filter { $0.key.hasPrefix("SSL_") }
        #expect(witness.count > 300)
        let found = file.symbols(named: Array(witness.keys))
        #expect(found.mapValues(\.address) == witness)
        #expect(file.symbol("CRYPTO_free") == nil, "an import is no definition")
        #expect(file.symbol("SSL_no_such_function") == nil)
    }

    @Test("Static symbols are where nm says they are", .enabled(if: Machine.has(Machine.node)))
    func staticSymbolsAreWhereNmSaysTheyAre() throws {
        let file = try ELFFile(path: Machine.node)
        // In .symtab only: it is local.
        let witness = try #require(try Tool.symbols(["--defined-only", Machine.node])["state_machine.part.0"])
        #expect(file.symbol("state_machine.part.0")?.address == witness)
        #expect(file.kind == .fixedAddress)
        #expect(file.interpreter == "/lib64/ld-linux-x86-64.so.2")
    }

    @Test("The dynamic section's names are those that readelf shows") func namesOfTheDynamicSection() throws {
        let file = try ELFFile(path: Machine.libssl)
        #expect(file.neededLibraries == ["libcrypto.so.3", "libc.so.6"])
        #expect(file.soName == "libssl.so.3")
        #expect(file.interpreter == nil)
        let notes = try Tool.run("/usr/bin/readelf", ["-n", Machine.libssl])
        #expect(notes.contains("Build ID: \(try #require(file.buildID))"))
    }

    @Test("A function's extent is its unwind entry's") func extentsAreThoseOfTheUnwindEntries() throws {
        let file = try ELFFile(path: Machine.libssl)
        let stripped = try ELFFile(bytes: Machine.bytesWithoutSections(Machine.libssl))
        let unindexed = try ELFFile(bytes: Self.withoutUnwindIndex(Machine.bytes(Machine.libssl)))
        var count = 0
        for line in try Tool.lines("/usr/bin/readelf", ["--debug-dump=frames-interp", "-W", Machine.libssl]) {
            guard let range = line.last, range.hasPrefix("pc=") else { continue }
            let ends = range.dropFirst(3).split(separator: ".").compactMap { UInt64($0, radix: 16) }
            guard ends.count == 2, ends[0] < ends[1] else { continue }
            count += 1
            #expect(file.functionExtent(containing: ends[0]) == ends[0]..<ends[1])
            #expect(file.functionExtent(containing: ends[1] - 1) == ends[0]..<ends[1])
            #expect(stripped.functionExtent(containing: ends[0]) == ends[0]..<ends[1])
            #expect(unindexed.functionExtent(containing: ends[0]) == ends[0]..<ends[1])
        }
        #expect(count > 1000)
    }

    @Test("Pointers in data are the relocations that readelf shows") func pointersAreTheRelocationsReadelfShows() throws
    {
        let file = try ELFFile(path: Machine.libssl)
        var relative = 0
        var slots = 0
        for line in try Tool.lines("/usr/bin/readelf", ["-rW", Machine.libssl]) where line.count >= 4 {
            guard let place = UInt64(line[0], radix: 16) else { continue }
            if line[2] == "R_X86_64_RELATIVE" {
                relative += 1
                #expect(file.pointer(at: place) == UInt64(line[3], radix: 16))
            } else if line.count >= 5, line[4].hasPrefix("ERR_vset_error") {
                slots += 1
                #expect(file.importSlots(of: "ERR_vset_error") == [place])
                #expect(file.pointer(at: place) == nil, "an import points outside the file")
            }
        }
        #expect(relative > 2000)
        #expect(slots == 1)
    }

    @Test("A file without section headers gives the same") func aFileWithoutSectionHeadersGivesTheSame() throws {
        let whole = try ELFFile(path: Machine.libssl)
        let stripped = try ELFFile(bytes: Machine.bytesWithoutSections(Machine.libssl))
        #expect(stripped.sections.isEmpty)
        #expect(!whole.sections.isEmpty)
        #expect(stripped.symbol("SSL_free") == whole.symbol("SSL_free"))
        #expect(stripped.neededLibraries == whole.neededLibraries)
        let table = try #require(whole.sections.first { $0.name == ".data.rel.ro" })
        for address in stride(from: table.address, to: table.addresses.upperBound, by: 8) {
            #expect(stripped.pointer(at: address) == whole.pointer(at: address))
        }
    }

    @Test("Packed relocations and a run path are read", .enabled(if: Machine.has(Machine.compiler)))
    func packedRelocationsAndRunPath() throws {
        let path = try Machine.compile(
            "extern int other; int a, b; int *table[40] = {&a, &b, 0, &a}; int *far[9] = {[8] = &b};",
            ["-shared", "-fPIC", "-O0", "-Wl,-z,pack-relative-relocs,-Bsymbolic,-rpath,/opt/x:/opt/y", "-nostdlib"])
        let file = try ELFFile(path: path)
        let symbols = file.symbols(named: ["a", "b", "table", "far"])
        let table = try #require(symbols["table"]).address
        #expect(file.pointer(at: table) == symbols["a"]?.address)
        #expect(file.pointer(at: table + 8) == symbols["b"]?.address)
        #expect(file.pointer(at: table + 16) == nil)
        #expect(file.pointer(at: table + 24) == symbols["a"]?.address)
        #expect(file.pointer(at: try #require(symbols["far"]).address + 64) == symbols["b"]?.address)
        #expect(file.runPath == "/opt/x:/opt/y" || file.rPath == "/opt/x:/opt/y")
    }

    @Test("Addresses and offsets are each other's, inside a segment only") func addressesAndOffsets() throws {
        let file = try CodeImage.file([0x90, 0xc3], data: Array("text\0".utf8))
        #expect(file.fileOffset(ofAddress: 0x1001) == 177)
        #expect(file.address(ofFileOffset: 177) == 0x1001)
        #expect(file.fileOffset(ofAddress: 0x1002) == nil)
        #expect(file.bytes(at: 0x1001, count: 2) == nil)
        #expect(file.bytes(at: 0x1001, upTo: 2) == [0xc3])
        #expect(file.text(at: 0x2000) == "text")
        #expect(file.text(at: .max) == nil)
        #expect(file.isCode(0x1000))
        #expect(!file.isCode(0x2000))
    }

    @Test("What is no ELF file of this machine is refused with its reason") func refusesWhatIsNoUsableFile() throws {
        #expect(throws: ELFError(.open, "/no/such/file", "No such file or directory")) {
            try ELFFile(path: "/no/such/file")
        }
        #expect(throws: ELFError(.open, "/dev/null", "it is not a regular file")) { try ELFFile(path: "/dev/null") }
        #expect(throws: ELFError.self) { try ELFFile(path: "/etc/passwd") }
        #expect(throws: ELFError.self) { try ELFFile(fileDescriptor: -1) }
        #expect(throws: ELFError(.read, "ELF header", "the file has 0 bytes")) { try ELFFile(bytes: []) }
    }

    @Test("What was found out about a file is asked for once, also where it is nothing, and by copies too")
    func remembers() throws {
        let file = try ELFFile(path: "/proc/self/exe")
        let copy = file
        var asked = 0
        for file in [file, copy, file] {
            let none: Int? = file.remembered("none") {
                asked += 1
                return nil
            }
            #expect(none == nil)
            #expect(file.remembered("some") { 7 } == 7)
        }
        #expect(asked == 1)
        #expect(copy.remembered("some") { 8 } == 7)
        // Another kind of answer is another question.
        #expect(copy.remembered("some") { "text" } == "text")
    }

    /// The same file without `PT_GNU_EH_FRAME`, as static musl programs are.
    static func withoutUnwindIndex(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for base in stride(from: 64, to: 64 + 56 * Int(bytes.u16(at: 56) ?? 0), by: 56)
        where bytes.u32(at: base) == 0x6474_e550 {
            for index in base..<base + 4 { bytes[index] = 0 }
        }
        return bytes
    }
}
