import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("Which file is the same file") struct FileIdentityTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.file("library") }

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ path: String) throws { try Data("library".utf8).write(to: URL(fileURLWithPath: path)) }

    @Test("A file stays the same when it is renamed, linked and given other permissions")
    func renamesKeepTheIdentity() throws {
        try write(path)
        let first = try #require(OpenFile(path)?.identity)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        #expect(OpenFile(path)?.identity == first)
        try FileManager.default.linkItem(atPath: path, toPath: path + "-link")
        #expect(OpenFile(path + "-link")?.identity == first)
        try FileManager.default.moveItem(atPath: path, toPath: path + "-renamed")
        #expect(OpenFile(path + "-renamed")?.identity == first)
    }

    @Test("A file is not the one before it, though its inode's number is used again")
    func aReusedInodeIsAnotherFile() throws {
        var identities: [FileIdentity] = []
        for _ in 0..<200 {
            try write(path)
            identities.append(try #require(OpenFile(path)?.identity))
            try FileManager.default.removeItem(atPath: path)
        }
        #expect(Set(identities).count == identities.count)
        // Whatever this machine's file system does with the numbers.
        let one = FileIdentity(device: 1, inode: 2, origin: .birth(3))
        #expect(one != FileIdentity(device: 1, inode: 2, origin: .birth(4)))
        #expect(one != FileIdentity(device: 1, inode: 2, origin: .generation(3)))
    }

    @Test("Where the file system keeps the time of birth, that is what counts")
    func theTimeOfBirthCounts() throws {
        try write(path)
        let told = try Tool.run("/usr/bin/stat", ["-c", "%W", path]).trimmingCharacters(in: .whitespacesAndNewlines)
        let identity = try #require(OpenFile(path)?.identity)
        if case .birth(let nanoseconds) = identity.origin {
            #expect("\(nanoseconds / 1_000_000_000)" == told)
        } else {
            #expect(told == "0", "this file system keeps none")
        }
    }
}
