import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

/// A 32-bit shared object: one loaded segment with everything in it, and a dynamic table.
enum Image32 {
    static func bytes(soName: String?, code: Int = 0, text: String = "", machine: UInt16 = 3) -> [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1] + Array(repeating: 0, count: 9)
        func append<T: FixedWidthInteger>(_ values: T...) {
            for value in values {
                for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: value >> shift))
                }
            }
        }
        let strings = [0] + Array((soName ?? "").utf8) + [0]
        let tableStart = 52 + 2 * 32
        let stringStart = tableStart + 4 * 8
        let size = stringStart + strings.count + code + text.utf8.count + 1
        append(UInt16(3), machine)
        append(UInt32(1), 0, 52, 0, 0)
        append(UInt16(52), 32, 2, 40, 0, 0)
        append(UInt32(1), 0, 0x1000, 0x1000, UInt32(size), UInt32(size), 5, 0x1000)
        append(UInt32(2), UInt32(tableStart), 0x1000 + UInt32(tableStart), 0, 32, 32, 4, 4)
        append(UInt32(5), 0x1000 + UInt32(stringStart), 10, UInt32(strings.count))
        append(UInt32(soName == nil ? 1 : 14), 1, 0, 0)
        return bytes + strings + Array(repeating: 0x90, count: code) + Array(text.utf8) + [0]
    }
}

@Suite("32-bit files") struct ELF32Tests {
    private func stack(_ bytes: [UInt8]) -> String? {
        ELF32(ELFSource(bytes: bytes)).flatMap { UnsupportedStacks.recognise($0) }
    }

    @Test("A 32-bit library of a TLS stack is known by its soname, whatever the machine")
    func thirtyTwoBitLibrariesAreKnownBySoname() {
        #expect(ELF32(ELFSource(bytes: Image32.bytes(soName: "libssl.so.3")))?.soName == "libssl.so.3")
        #expect(stack(Image32.bytes(soName: "libssl.so.3")) == "openssl")
        #expect(stack(Image32.bytes(soName: "libssl.so.1.1", machine: 40)) == "openssl")
        #expect(stack(Image32.bytes(soName: "libgnutls.so.30")) == "gnutls")
        #expect(stack(Image32.bytes(soName: "libbotan-2.so.19")) == "botan")
        #expect(stack(Image32.bytes(soName: "libssl3.so")) == "nss")
        #expect(stack(Image32.bytes(soName: "libcrypto.so.3")) == nil)
        #expect(stack(Image32.bytes(soName: "libc.so.6")) == nil)
        #expect(stack(Image32.bytes(soName: nil)) == nil)
    }

    @Test("A 32-bit program with a TLS stack inside is known by its texts, and none with as little code as a client")
    func thirtyTwoBitProgramsAreKnownByTexts() {
        let openssl = "client finished\0ssl/statem/statem.c"
        #expect(stack(Image32.bytes(soName: nil, code: 2 << 20, text: openssl)) == "openssl")
        #expect(stack(Image32.bytes(soName: nil, code: 2 << 20, text: "crypto/tls.(*Conn).handshakeContext")) == "go")
        #expect(stack(Image32.bytes(soName: nil, code: 1 << 10, text: openssl)) == nil)
        #expect(stack(Image32.bytes(soName: nil, code: 2 << 20, text: "client finished")) == nil)
    }

    @Test("What is cut short, or points anywhere, is read without harm")
    func hostileFilesAreReadWithoutHarm() {
        let whole = Image32.bytes(soName: "libssl.so.3", code: 64)
        for length in 0..<whole.count { _ = stack(Array(whole.prefix(length))) }
        for place in 16..<148 {
            var bytes = whole
            for value in [UInt8(0xff), 0x7f, 0] {
                bytes[place] = value
                _ = stack(bytes)
            }
        }
        #expect(stack(whole) == "openssl")
    }

    @Test("A 32-bit file is told from one that holds nothing, and a 64-bit one is not taken for it")
    func thirtyTwoBitFilesAreToldApart() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("library")
        try Data(Image32.bytes(soName: "libssl.so.3")).write(to: URL(fileURLWithPath: path))
        let finding = FileLook.finding(try #require(OpenFile(path)))
        #expect(finding.unobserved?.reason == .thirtyTwoBit)
        #expect(finding.unobserved?.stack == "openssl")
        try Data("no program".utf8).write(to: URL(fileURLWithPath: path))
        #expect(FileLook.finding(try #require(OpenFile(path))).unobserved == nil)
        #expect(ELF32(ELFSource(bytes: try Machine.bytes(Machine.libssl))) == nil)
    }
}
