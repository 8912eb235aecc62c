import Foundation
import TestSupport
import Testing

@testable import Code

@Suite("Go binaries") struct GoBinaryTests {
    // MARK: made by hand

    // Where the last fields are small, and where they are most of their structs, as messages of Protocol Buffers have them: their
    // shifted offsets are no more than the structs' sizes.
    @Test(
        "Functions and fields are read from the tables that Go leaves", arguments: [false, true],
        [40, 16] as [UInt64])
    func synthetic(_ shiftsOffsets: Bool, _ lastOffset: UInt64) throws {
        var synthetic = SyntheticGo()
        synthetic.shiftsOffsets = shiftsOffsets
        synthetic.lastOffset = lastOffset
        let file = try ELFFile(bytes: synthetic.bytes())
        #expect(GoBinary.isGo(file))
        let binary = try GoBinary(file)
        #expect(binary.functionNames(endingIn: ".(*Conn).handshakeContext") == ["crypto/tls.(*Conn).handshakeContext"])
        let text = SyntheticGo.textAddress
        #expect(
            binary.functions(of: "crypto/tls").mapValues(\.addresses) == [
                "crypto/tls.(*Conn).handshakeContext": text + 64..<text + 128,
                "crypto/tls.(*Conn).Handshake": text + 128..<text + 192,
            ])
        #expect(binary.functions(of: "crypto").isEmpty)
        let types = try #require(binary.types())
        let name = GoTypeName("crypto/tls", "Conn")
        let conn = try #require(types.named([name])[name])
        #expect(
            types.fields(of: conn).mapValues(\.offset) == ["conn": 0, "isClient": 16, "handshakeFn": 24, "last": 120])
        #expect(types.named([GoTypeName("other/tls", "Conn")]).isEmpty)
    }

    @Test(
        "What only looks like the table of tables is passed over, and a type that makes no sense tells nothing of the others"
    )
    func decoys() throws {
        var synthetic = SyntheticGo()
        synthetic.hasDecoys = true
        // Its last field is past its end: in 1.18 nearly each one's would seem to be.
        synthetic.structures.append(("pkg/odd", "Odd", [("first", 0), ("last", 200)], 48))
        let binary = try GoBinary(ELFFile(bytes: synthetic.bytes()))
        let text = SyntheticGo.textAddress
        #expect(
            binary.functions(of: "crypto/tls")["crypto/tls.(*Conn).handshakeContext"]?.addresses == text + 64..<text
                + 128)
        let types = try #require(binary.types())
        let name = GoTypeName("crypto/tls", "Conn")
        let conn = try #require(types.named([name])[name])
        #expect(types.fields(of: conn)["last"]?.offset == 120)
    }

    @Test("What Go made before 1.18 is told, and what no Go has made") func otherTables() throws {
        for magic in [0xfb, 0xfa] as [UInt8] {
            var synthetic = SyntheticGo()
            synthetic.magic = magic
            let file = try ELFFile(bytes: synthetic.bytes())
            #expect(throws: GoError.tooOld) { try GoBinary(file) }
            #expect(GoBinary.isGo(file))
        }
        var synthetic = SyntheticGo()
        synthetic.magic = 0xe0
        let unknown = try ELFFile(bytes: synthetic.bytes())
        #expect(throws: GoError.notGo) { try GoBinary(unknown) }
        let other = try ELFFile(path: Machine.libssl)
        #expect(!GoBinary.isGo(other))
        #expect(throws: GoError.notGo) { try GoBinary(other) }
    }

    @Test("Damaged tables give an answer or none, soon") func damaged() throws {
        var synthetic = SyntheticGo()
        let whole = synthetic.bytes()
        var random = SplitMix(seed: 5)
        for round in 0..<3_000 {
            var bytes = whole
            if round % 10 == 0 {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            }
            for _ in 0..<Int.random(in: 1...8, using: &random) where bytes.count > 200 {
                let at = Int.random(in: 64..<bytes.count, using: &random)
                // Numbers that are used as offsets and counts.
                bytes[at] =
                    [0, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
            }
            guard let file = try? ELFFile(bytes: bytes), let binary = try? GoBinary(file) else { continue }
            _ = binary.functionNames(endingIn: ".(*Conn).handshakeContext")
            _ = binary.functions(of: "crypto/tls")
            _ = binary.version
            guard let types = binary.types() else { continue }
            let name = GoTypeName("crypto/tls", "Conn")
            for type in types.named([name]).values {
                for field in types.fields(of: type).values { _ = types.fields(of: field.type) }
                _ = types.pointers(to: [type])
                _ = types.has(["Read"], type)
            }
            _ = types.interfaces(with: ["Read"])
            _ = types.structures(withFieldOf: [SyntheticGo.dataAddress], limit: 10)
        }
    }

    @Test("What a program carries in its constants is not its own, be it a program with the same types") func carried()
        throws
    {
        var other = SyntheticGo()
        // Offsets that are not those of this one.
        other.shiftsOffsets = true
        other.others = 100
        let bytes = other.bytes()
        var synthetic = SyntheticGo()
        // As many types as a program has before what it carries.
        synthetic.others = 700
        for _ in 0..<20 {
            synthetic.carried += bytes
            // As the linker of the other program put its tables, to addresses of sixteen.
            while synthetic.carried.count % 16 != 0 { synthetic.carried.append(0) }
        }
        let binary = try GoBinary(ELFFile(bytes: synthetic.bytes()))
        let name = GoTypeName("crypto/tls", "Conn")
        let types = try #require(binary.types())
        let conn = try #require(types.named([name])[name])
        #expect(types.fields(of: conn)["last"]?.offset == 120)
        // One that is no program of Go is none because of what it carries.
        let stranger = CodeImage.bytes(
            type: 2, (SyntheticGo.textAddress, flags: 5, [0x90, 0xc3]), (0x600_0000, flags: 6, synthetic.carried))
        #expect(!GoBinary.isGo(try ELFFile(bytes: stranger)))
    }

    @Test("A table whose entries are in no order is not read again and again") func scattered() throws {
        // As many functions as a real program has, each entry a slice away from the one before it.
        var synthetic = SyntheticGo()
        synthetic.functions = (0..<20_000).map { "crypto/tls.f\($0)" }
        var bytes = synthetic.bytes()
        let entries = try #require(bytes.firstRange(of: Array("crypto/tls.f19999\0".utf8)))
        var at = (entries.upperBound + 7) / 8 * 8
        // The file's head is no multiple of eight: the tables are aligned by address.
        while bytes.u32(at: at) != 0 || bytes.u32(at: at + 8) != 64 { at += 1 }
        for index in 0..<20_000 where index % 2 == 1 {
            for byte in 0..<4 { bytes[at + 8 * index + 4 + byte] = byte == 3 ? 0 : 0xff }
        }
        let binary = try GoBinary(ELFFile(bytes: bytes))
        #expect(binary.functions(of: "crypto/tls").count < 20_000)
    }

    // MARK: made by Go

    private static let source = """
        package main

        import (
        \t"crypto/tls"
        \t"fmt"
        \t"net"
        \t"os"
        \t"reflect"
        )

        func main() {
        \tfor _, t := range []reflect.Type{reflect.TypeOf(tls.Conn{}), reflect.TypeOf(net.OpError{}), reflect.TypeOf(tls.Config{})} {
        \t\tfor i := 0; i < t.NumField(); i++ {
        \t\t\tfmt.Println(t.PkgPath(), t.Name(), t.Field(i).Name, t.Field(i).Offset)
        \t\t}
        \t}
        \tif len(os.Args) > 1 {
        \t\tc := tls.Client(nil, nil)
        \t\tfmt.Println(c.Handshake(), tls.Server(nil, nil).Handshake())
        \t}
        }
        """

    @Test(
        "Offsets are those that reflection gives, functions where nm says they are",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"), arguments: GoToolchain.builds)
    func real(_ build: GoToolchain.Build) throws {
        let version = build.version
        let directory = try TemporaryDirectory()
        let path = try GoToolchain(version).build(source: Self.source, in: directory, build.flags)
        let file = try ELFFile(path: path)
        #expect(GoBinary.isGo(file))
        try compare(file, path, version: version)
        try compare(ELFFile(bytes: Machine.bytesWithoutSections(path)), path, version: version)
        guard build.flags.first?.contains("-s") != true else { return }
        let witness = try Tool.symbols(["--defined-only", path]).filter {
            $0.key.hasPrefix("crypto/tls.(*Conn)") && !$0.key.contains(".jump")
        }
        #expect(witness.count > 50)
        let found = try GoBinary(file).functions(of: "crypto/tls").mapValues(\.addresses.lowerBound)
        for (name, address) in witness { #expect(found[name] == address, "\(name)") }
    }

    /// A program that carries a file, and says the same of itself.
    private static func carrying(_ type: String) -> String {
        source.replacing("import (\n", with: "import (\n\t_ \"embed\"\n")
            .replacing("func main() {\n", with: "//go:embed carried\nvar carried \(type)\n\nfunc main() {\n")
            .replacing("len(os.Args) > 1 {\n", with: "len(os.Args) > 1 {\n\t\tfmt.Println(carried)\n")
    }

    @Test(
        "A program that carries other programs of Go, once or many times, is read as itself",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"),
        arguments: [
            GoToolchain.Build("1.21.13"), GoToolchain.Build("1.27.3"), GoToolchain.Build("1.27.3", ["-buildmode=pie"]),
        ])
    func carrying(_ build: GoToolchain.Build) throws {
        let directory = try TemporaryDirectory()
        let toolchain = try GoToolchain(build.version)
        let other = try GoToolchain(build.version == "1.27.3" ? "1.21.13" : "1.27.3")
        let small = try [toolchain, other].map {
            try Data(contentsOf: URL(fileURLWithPath: $0.build(source: Self.source, in: directory, name: "small")))
        }
        for (index, (type, copies)) in [("string", 1), ("string", 6), ("[]byte", 6)].enumerated() {
            let folder = directory.file("\(index)-source")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let carried = (0..<copies).reduce(Data()) { data, copy in
                let next = data + small[1 - copy % 2]
                // Where its own tables' alignment is kept.
                return next + Data(count: (4096 - next.count % 4096) % 4096)
            }
            try carried.write(to: URL(fileURLWithPath: folder + "/carried"))
            let path = try toolchain.build(
                source: Self.carrying(type), in: directory, name: "\(index)", build.flags)
            try compare(ELFFile(path: path), path, version: build.version)
            try compare(ELFFile(bytes: Machine.bytesWithoutSections(path)), path, version: build.version)
        }
    }

    private func compare(_ file: ELFFile, _ path: String, version: String) throws {
        let binary = try GoBinary(file)
        #expect(binary.version == "go" + version)
        let types = try #require(binary.types())
        var count = 0
        for line in try Tool.lines(path, []) where line.count == 4 {
            let name = GoTypeName(String(line[0]), String(line[1]))
            let type = try #require(types.named([name])[name])
            #expect(types.fields(of: type)[String(line[2])]?.offset == UInt64(line[3]), "\(line)")
            count += 1
        }
        #expect(count > 60)
    }
}
