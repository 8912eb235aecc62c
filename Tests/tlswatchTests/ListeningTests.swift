import Glibc
import Kernel
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import tlswatch

/// A port that nobody else gets, and that one may listen on who sets SO_REUSEADDR: bound by a socket that does not listen.
private final class HeldPort {
    let port: Int
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.descriptor = descriptor
        var yes: Int32 = 1
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard let port = bindToLoopback(descriptor) else { throw HarnessError("cannot bind a port: errno \(errno)") }
        self.port = port
    }

    deinit { close(descriptor) }
}

@Suite("Where the endpoint listens") struct ListeningTests {
    /// The ports of a server on these addresses, once it says that it is ready, and whether it said so once and last.
    private func ports(
        _ addresses: [String], telemetryPath: String = TelemetryPath.standard, _ body: ([Int]) async throws -> Void
    ) async throws {
        let log = LogLines()
        let ports = Mutex<[Int]>([])
        let (events, ready) = AsyncStream.makeStream(of: [Int].self)
        let server = MetricsServer(
            source: .quiet, addresses: addresses.compactMap { ListenAddress(argument: $0) },
            telemetryPath: telemetryPath, configuration: try WebConfigurationSource(path: nil, logger: log.logger),
            logger: log.logger, onListening: { address in ports.withLock { $0.append(address.port) } },
            onReady: { ready.yield(ports.withLock { $0 }) })
        let group = ServiceGroup(services: [server], logger: log.logger)
        let running = Task {
            defer { ready.finish() }
            try await group.run()
        }
        var times = 0
        var failure: (any Error)?
        for await found in events {
            times += 1
            do { try await body(found) } catch { failure = error }
            await group.triggerGracefulShutdown()
        }
        try await running.value
        if let failure { throw failure }
        #expect(times == 1)
    }

    private func get(_ port: Int, _ path: String) async throws -> Answer {
        let client = try await blocking { try RawClient(port: port) }
        try await client.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return try await client.answer()
    }

    @Test("All addresses are served, each on a port of its own")
    func severalAddresses() async throws {
        try await ports(["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"]) { (ports) async throws in
            #expect(Set(ports).count == 3)
            for port in ports {
                #expect(try await get(port, "/metrics").body.contains("tlswatch_build_info"))
                #expect(try await get(port, "/healthz").body == "ok\n")
            }
        }
    }

    @Test("An address that is taken ends the server with an error")
    func aTakenAddressEndsIt() async throws {
        try await ports(["127.0.0.1:0"]) { (found) async throws in
            await #expect(throws: (any Error).self) {
                try await ports(["127.0.0.1:0", "127.0.0.1:\(found[0])"]) { (_) async throws in }
            }
            #expect(throws: CommandFailure.self) {
                try ListenAddress.check([ListenAddress(host: "127.0.0.1", port: found[0])])
            }
        }
    }

    @Test("Addresses that take each other's port are told before anything listens")
    func conflictsAreFound() async throws {
        let held = try HeldPort()
        let free = held.port
        let one = ListenAddress(host: "127.0.0.1", port: free)
        // Alone each would do.
        #expect(throws: Never.self) { try ListenAddress.check([one]) }
        #expect(throws: Never.self) { try ListenAddress.check([ListenAddress(host: "0.0.0.0", port: free)]) }
        let failure = #expect(throws: CommandFailure.self) {
            try ListenAddress.check([one, ListenAddress(host: "0.0.0.0", port: free)])
        }
        #expect(failure?.status == .system)
        #expect(throws: Never.self) { try ListenAddress.check([one, ListenAddress(host: "127.0.0.2", port: free)]) }
    }

    @Test("The metrics are where they were asked for, and nowhere else; the page leads there")
    func telemetryPath() async throws {
        try await ports(["127.0.0.1:0"], telemetryPath: "/probe/tls") { (ports) async throws in
            #expect(try await get(ports[0], "/probe/tls").body.contains("tlswatch_build_info"))
            #expect(try await get(ports[0], "/metrics").status == 404)
            #expect(try await get(ports[0], "/").body.contains(#"<a href="probe/tls">/probe/tls</a>"#))
        }
    }

    @Test("The version has the commit and the toolchain, or says that they are not known")
    func version() {
        #expect(
            Version.text.wholeMatch(
                of:
                    /tlswatch [0-9.]+ \(revision ([0-9a-f]{7,12}(-dirty)?|unknown), Swift ([0-9.]+\S*|of unknown version)\)/
            )
                != nil, "\(Version.text)")
    }
}
