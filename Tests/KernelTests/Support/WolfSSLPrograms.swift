import Foundation
import TestSupport

/// Programs/wolfssl.c: a program that uses Debian's wolfSSL directly, as server or client, and says what the library says.
enum WolfSSLProgram {
    private static let compiled = Result {
        let source = try String(contentsOfFile: resource("Programs/wolfssl.c"), encoding: .utf8)
        return try Machine.compile(source, ["-O1", "-Wall", "-Wextra", "-Werror", "-lwolfssl"])
    }

    static func path() throws -> String { try compiled.get() }

    static func connect(port: Int, authority: String, _ options: [String] = []) throws -> Finished {
        try ChildProcess.run(path(), ["client", "\(port)", authority] + options)
    }
}

/// One as a server, on a free loopback port: so many connections, one after the other.
final class WolfSSLServer: Sendable {
    private let reserved: FreePort
    private let certificates: TestCertificates
    let child: ChildProcess

    init(_ certificates: TestCertificates, connections: Int, _ options: [String] = []) throws {
        reserved = try FreePort()
        self.certificates = certificates
        child = try ChildProcess(
            WolfSSLProgram.path(),
            [
                "server", "\(reserved.number)", certificates.certificate, certificates.key, certificates.authority,
                "\(connections)",
            ] + options)
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }
    var pid: Int { Int(child.pid) }

    /// The client's end, to its end.
    func connect(_ options: [String] = []) throws -> Finished {
        try WolfSSLProgram.connect(port: port, authority: certificates.authority, options)
    }

    /// What it has said of all its connections.
    func words() throws -> [WolfSSLWords] {
        let ended = try child.wait()
        guard ended.status == .exited(0) else { throw HarnessError("\(child.name): \(ended.errors)") }
        return WolfSSLWords.of(ended.output)
    }
}

/// What it says of one handshake.
struct WolfSSLWords {
    private let values: [Substring: Substring]

    static func of(_ output: String) -> [WolfSSLWords] {
        output.split(separator: "\n").map { line in
            WolfSSLWords(
                values: Dictionary(
                    line.split(separator: " ").compactMap { word in
                        let pair = word.split(separator: "=", maxSplits: 1)
                        return pair.count == 2 ? (pair[0], pair[1]) : nil
                    }, uniquingKeysWith: { $1 }))
        }
    }

    private init(values: [Substring: Substring]) { self.values = values }

    private func number(_ name: Substring) -> Int { values[name].flatMap { Int($0) } ?? .min }

    /// `nil` where there is none.
    private func text(_ name: Substring) -> String? { values[name].flatMap { $0 == "-" ? nil : String($0) } }

    /// Nanoseconds from before its first call to behind its last one, by its own clock.
    var duration: Int { number("end") - number("start") }
    var calls: Int { number("calls") }
    var isCompleted: Bool { values["result"] == "1" }
    var error: Int { number("error") }
    var version: String? { text("version") }
    /// `TLS13-AES128-GCM-SHA256`, `ECDHE-ECDSA-AES256-GCM-SHA384`.
    var cipher: String? { text("cipher") }
    /// `SECP256R1`, `X25519`.
    var curve: String? { text("curve") }
    var isResumed: Bool { values["resumed"] == "1" }
    var alpn: String? { text("alpn") }
    var sni: String? { text("sni") }
    /// The fatal alerts.
    var alertSent: Int? { number("sent") < 0 ? nil : number("sent") }
    var alertReceived: Int? { number("received") < 0 ? nil : number("received") }
}
