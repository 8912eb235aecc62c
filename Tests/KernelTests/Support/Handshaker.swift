import Foundation
import Synchronization
import TestSupport

/// What `handshaker` knows of one handshake that it made: the witness. Times are CLOCK_MONOTONIC, nanoseconds.
struct Witness: Codable, Sendable {
    var role: String
    var outcome: String?
    /// Set on what is no first handshake: a renegotiation, a key update.
    var event: String?
    var pid: Int
    /// Right before the first and right after the last call into the library; `nil` where it did not come back.
    var start: Int
    var end: Int?
    /// From the library's own callback: inside the handshake.
    var enter: Int?
    var exit: Int?
    var returned: Int?
    /// When the message was sent (by its sender) or read, from the library's message callback.
    var clientHello: Int?
    var serverHello: Int?
    var finishedRead: Int?
    var finishedSent: Int?
    /// Below TLS 1.3, on a server: ClientKeyExchange read.
    var keyShare: Int?
    /// How long a callback of the application held the handshake up.
    var held: Int?
    /// What the thread computed there, and how long it waited for a processor by the kernel's own account (schedstat).
    var computed: Int?
    var runDelay: Int?
    /// How long the thread waited for a processor around its calls, so at least what it waited in them.
    var waited: Int?
    /// TCP_INFO behind the handshake.
    var retransmits: Int?
    var rtt: Int?
    var comm: String?
    var thread: String?
    /// Around connect(2).
    var connectBegin: Int?
    var connectEnd: Int?
    /// What this side slept before its first call, and between its calls.
    var delayBeforeStart: Int?
    var delays: [Int]?
    var calls: Int?
    var tlsVersion: String?
    var cipher: String?
    var group: String?
    var alpn: String?
    var sni: String?
    var resumed: Bool?
    var earlyData: String?
    var helloRetryRequest: Bool?
    var clientCertificateRequested: Bool?
    var clientCertificateGiven: Bool?
    var reason: String?
    var alert: Int?
    var alertDirection: String?
    var transport: String?
    var local: String?
    var remote: String?

    enum CodingKeys: String, CodingKey {
        case role, outcome, event, pid, calls, cipher, group, alpn, sni, resumed, reason, alert, transport, local
        case remote, comm, thread, retransmits
        case computed = "computed_ns"
        case runDelay = "run_delay_ns"
        case waited = "waited_ns"
        case rtt = "rtt_ns"
        case keyShare = "key_share_ns"
        case held = "held_ns"
        case connectBegin = "connect_begin_ns"
        case connectEnd = "connect_end_ns"
        case start = "start_ns"
        case end = "end_ns"
        case enter = "enter_ns"
        case exit = "exit_ns"
        case returned = "returned_ns"
        case clientHello = "client_hello_ns"
        case serverHello = "server_hello_ns"
        case finishedRead = "finished_read_ns"
        case finishedSent = "finished_sent_ns"
        case delayBeforeStart = "delay_before_start_ns"
        case delays = "delays_ns"
        case tlsVersion = "tls_version"
        case earlyData = "early_data"
        case helloRetryRequest = "hello_retry_request"
        case clientCertificateRequested = "client_certificate_requested"
        case clientCertificateGiven = "client_certificate_given"
        case alertDirection = "alert_direction"
    }

    /// The most that the handshake can have taken.
    var outer: Int? {
        guard let end else { return nil }
        return max(end, returned ?? 0) - start
    }

    /// Less than the least, for sure: what comes behind the last Finished is left out. The library's own exit callback comes
    /// after the end, and whatever the scheduler puts between the two counts as handshake in `inner`.
    var certain: Int? {
        guard let enter, let last = [finishedRead, finishedSent].compactMap({ $0 }).max() else { return nil }
        return last - enter
    }

    /// The least.
    var inner: Int? {
        guard let enter, let exit else { return nil }
        return exit - enter
    }
}

/// A build of OpenSSL or BoringSSL to run `handshaker` on.
struct TLSBuild: Sendable, CustomStringConvertible {
    var description: String
    /// Directory with the build's libssl and libcrypto; `nil` for the distribution's.
    var directory: String?
    var suffix: String

    static let distribution = TLSBuild(description: "the distribution's OpenSSL 3.0", directory: nil, suffix: "3")

    /// Debian's BoringSSL, of 2022.
    static let boringSSL = TLSBuild(
        description: "Debian's BoringSSL", directory: "/usr/lib/x86_64-linux-gnu/android", suffix: "0")

    /// AWS-LC's shared libraries, in the directory that TLSWATCH_TEST_AWS_LC names.
    static let awsLC = ProcessInfo.processInfo.environment["TLSWATCH_TEST_AWS_LC"].map {
        TLSBuild(description: "AWS-LC", directory: $0, suffix: "")
    }

    /// A build that `make deps` fetched.
    static func fetched(_ name: String, suffix: String = "3") throws -> TLSBuild {
        let directory = try cache() + "/\(name)/lib"
        guard FileManager.default.fileExists(atPath: directory + "/libssl.so.\(suffix)") else {
            throw HarnessError("\(name) is not in the cache of other OpenSSL builds: run `make deps`")
        }
        return TLSBuild(description: name, directory: directory, suffix: suffix)
    }

    static func cache() throws -> String { TestCache.directory }

    private var version: String { suffix.isEmpty ? "" : "." + suffix }
    var libssl: String? { directory.map { $0 + "/libssl.so" + version } }
    var libcrypto: String? { directory.map { $0 + "/libcrypto.so" + version } }
}

/// `handshaker` and the certificates that it needs, made once.
enum Handshaker {
    private struct Made {
        var directory: TemporaryDirectory
        var program: String
        var certificates: String
    }

    private static let made = Mutex<Made?>(nil)

    private static func ready() throws -> (program: String, certificates: String) {
        try made.withLock { made in
            let ready = try made ?? make()
            made = ready
            return (ready.program, ready.certificates)
        }
    }

    /// The directory with its certificates and keys.
    static func certificates() throws -> String { try ready().certificates }

    /// The command line that runs it.
    static func command(_ build: TLSBuild, _ arguments: [String]) throws -> [String] {
        let (program, certificates) = try ready()
        var line = [program, "--certificates", certificates]
        if let libssl = build.libssl, let libcrypto = build.libcrypto {
            line += ["--libssl", libssl, "--libcrypto", libcrypto]
        }
        return line + arguments
    }

    /// What every library's program has, and OpenSSL's part.
    private static func sources() throws -> [String] {
        let root = try resource("Programs/handshaker")
        return try ["", "/scenarios", "/openssl"].flatMap { folder in
            try FileManager.default.contentsOfDirectory(atPath: root + folder).filter { $0.hasSuffix(".c") }.sorted()
                .map { "\(root)\(folder)/\($0)" }
        }
    }

    private static func make() throws -> Made {
        let directory = try TemporaryDirectory()
        let program = directory.file("handshaker")
        let compiled = try ChildProcess.run(
            "cc", ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program] + sources() + ["-ldl"])
        guard compiled.status == .exited(0) else { throw HarnessError("handshaker: \(compiled.errors)") }
        let certificates = directory.file("certificates")
        try FileManager.default.createDirectory(atPath: certificates, withIntermediateDirectories: true)
        let issued = try ChildProcess.run("sh", [resource("Programs/make-certificates.sh"), certificates])
        guard issued.status == .exited(0) else { throw HarnessError("make-certificates: \(issued.errors)") }
        return Made(directory: directory, program: program, certificates: certificates)
    }

    /// One command line of it, under one capture with others.
    struct Run {
        var arguments: [String]
        var witnesses: [Witness] = []
        var rows: [SessionRow] = []
        var status: Int?
        /// The build lacks a function that the scenario needs.
        var isUnsupported: Bool { status == 3 }
    }

    /// Runs the command lines one after the other under one `tlswatch capture`; rows go to the command line whose
    /// processes they name. `strangers` are the rows of no such process.
    ///
    /// - Parameters:
    ///   - options: of the capture.
    ///   - before: a command line that runs what follows it, for each of `lines`.
    static func observe(
        _ build: TLSBuild = .distribution, _ lines: [[String]], options: [String] = [], before: [String] = [],
        within limit: Duration = patience
    ) throws -> (runs: [Run], strangers: [SessionRow]) {
        let directory = try TemporaryDirectory()
        let output = directory.file("rows.json")
        let commands = try lines.map { line in
            try (before + command(build, line)).map { "'\($0)'" }.joined(separator: " ") + "; echo \"=$?\""
        }
        let library = build.libssl.map { ["--library", $0] } ?? []
        let result = try ChildProcess.run(
            Tlswatch.binary(),
            ["capture", "--format", "json", "--output", output] + library + options
                + ["--", "sh", "-c", commands.joined(separator: "\n")], within: limit)
        guard result.status == .exited(0) else {
            throw HarnessError("capture ended with \(result.status): \(result.errors.suffix(500))")
        }
        let text = try String(contentsOfFile: output, encoding: .utf8)
        var rows = try SessionRow.parse(text.split(separator: "\n").map(String.init))
        var runs: [Run] = []
        var current = Run(arguments: [])
        for line in result.output.split(separator: "\n") {
            if line.hasPrefix("{") { current.witnesses += try witnesses(String(line)) }
            if line.hasPrefix("="), runs.count < lines.count {
                current.arguments = lines[runs.count]
                current.status = Int(line.dropFirst())
                let pids = Set(current.witnesses.map(\.pid))
                current.rows = rows.filter { pids.contains($0.pid ?? 0) }
                rows.removeAll { pids.contains($0.pid ?? 0) }
                runs.append(current)
                current = Run(arguments: [])
            }
        }
        guard runs.count == lines.count else { throw HarnessError("\(runs.count) of \(lines.count) ran to an end") }
        return (runs, rows)
    }

    static func witnesses(_ output: String) throws -> [Witness] {
        let decoder = JSONDecoder()
        return try output.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
            try decoder.decode(Witness.self, from: Data($0.utf8))
        }
    }
}
