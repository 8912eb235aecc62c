import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Ports for tests") struct FreePortTests {
        @Test("A port that is held goes to nobody else, by listening or by connecting, and its server can have it")
        func aHeldPortGoesToNobodyElse() throws {
            var held: [FreePort] = []
            for _ in 0..<200 { held.append(try FreePort()) }
            let ports = Set(held.map(\.number))
            #expect(ports.count == held.count)
            // Others that ask for any port: in this process, and in another, with and without SO_REUSEADDR.
            let listeners = try (0..<200).map { _ in try SilentListener() }
            #expect(ports.isDisjoint(with: listeners.map(\.port)))
            let taken = try ChildProcess.run("/usr/bin/env", ["python3", script("any_ports.py"), "300"])
            let others = taken.output.split(separator: "\n").compactMap { Int($0) }
            #expect(others.count == 900, "\(taken.errors)")
            #expect(ports.isDisjoint(with: others))
            let one = try #require(held.first)
            let server = try ChildProcess(
                "/usr/bin/env", ["python3", "-m", "http.server", "--bind", "127.0.0.1", "\(one.number)"])
            defer { server.stop(SIGKILL) }
            try FreePort.awaitListening(one.number, server: server)
        }
    }
}
