import Foundation
import TestSupport

/// NSS's own programs, and the database that they keep certificates in.
final class NSSTools: Sendable {
    static let library = Machine.nss

    private let directory: TemporaryDirectory
    /// With the test's authority, its certificate and its key.
    let database: String
    /// With nothing in it: nobody is trusted.
    let empty: String

    init(_ certificates: TestCertificates) throws {
        directory = try TemporaryDirectory()
        database = "sql:" + directory.file("full")
        empty = "sql:" + directory.file("empty")
        for path in [directory.file("full"), directory.file("empty")] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            try Self.tool("certutil", ["-N", "-d", "sql:" + path, "--empty-password"])
        }
        try Self.tool(
            "certutil", ["-A", "-d", database, "-n", "ca", "-t", "CT,C,C", "-a", "-i", certificates.authority])
        let both = directory.file("leaf.p12")
        try Self.tool(
            "openssl",
            ["pkcs12", "-export", "-in", certificates.certificate, "-inkey", certificates.key, "-name", "leaf"]
                + ["-out", both, "-passout", "pass:"])
        try Self.tool("pk12util", ["-i", both, "-d", database, "-W", "", "-K", ""])
    }

    private static func tool(_ name: String, _ arguments: [String]) throws {
        let done = try ChildProcess.run(name, arguments)
        guard done.status == .exited(0) else { throw HarnessError("\(name): \(done.output)\(done.errors)") }
    }

    /// `tstclnt`, which asks for a page and says what was agreed on.
    func connect(_ port: Int, _ options: [String], trusting: Bool = true) throws -> Finished {
        try ChildProcess.run(
            "tstclnt",
            ["-h", "127.0.0.1", "-p", "\(port)", "-d", trusting ? database : empty, "-a", "a.example", "-v"] + options,
            input: NSSServer.request)
    }
}

/// `selfserv` on a free loopback port.
final class NSSServer: Sendable {
    private let reserved: FreePort
    let child: ChildProcess

    init(_ tools: NSSTools, _ options: [String] = []) throws {
        reserved = try FreePort()
        child = try ChildProcess(
            "selfserv", ["-d", tools.database, "-n", "leaf", "-p", "\(reserved.number)", "-v"] + options)
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    static let request = Array("GET / HTTP/1.0\r\n\r\n".utf8)

    var port: Int { reserved.number }
    var pid: Int { Int(child.pid) }

    /// `openssl s_client`, which asks for a page; it says what was agreed on.
    func connect(_ options: [String]) throws -> Finished {
        try ChildProcess.run(
            "openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-ign_eof"] + options, input: Self.request)
    }
}
