import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// `capture -- COMMAND`
    @Suite("A capture of a command") struct CommandFormTests {
        private func capture(_ command: [String]) throws -> (finished: Finished, rows: [SessionRow]) {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.json")
            let finished = try Tlswatch.run(["capture", "--format", "json", "--output", file, "--"] + command)
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return (finished, try SessionRow.parse(text.split(separator: "\n").map(String.init)))
        }

        @Test("The command's exit status is the capture's", arguments: [Int32(0), 7])
        func theExitStatusIsTheCaptures(_ status: Int32) throws {
            let (finished, rows) = try capture(["sh", "-c", "exit \(status)"])
            #expect(finished.status == .exited(status), "\(finished.errors)")
            #expect(rows.isEmpty)
        }

        @Test("The first handshake of a command is seen, and no one else's")
        func firstHandshake() throws {
            let server = try OpenSSLServer(TestCertificates())
            let (finished, rows) = try capture([
                "openssl", "s_client", "-connect", server.address, "-servername", "a.example",
            ])
            #expect(finished.status == .exited(0), "\(finished.errors)")
            #expect(rows.count == 1)
            expectSane(rows)
            let row = try #require(rows.first)
            #expect(row.isClient)
            #expect(row.isCompleted)
            #expect(row.remote == server.address)
            #expect(row.sni == "a.example")
        }

        @Test("A command's children are observed with it")
        func childrenOfACommandAreObserved() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let request =
                "curl -q --noproxy '*' -s -o /dev/null --cacert '\(certificates.authority)' "
                + "--resolve a.example:\(nginx.port):127.0.0.1 https://a.example:\(nginx.port)/"
            let (finished, rows) = try capture(["sh", "-c", "\(request); \(request); exit 3"])
            #expect(finished.status == .exited(3), "\(finished.errors)")
            #expect(rows.count == 2)
            expectSane(rows)
            #expect(rows.allSatisfy { $0.isClient && $0.isCompleted && $0.comm == "curl" && $0.alpn == "h2" })
            #expect(Set(rows.compactMap(\.pid)).count == 2)
        }

        @Test("A command that does not exist is bad usage, told by its name")
        func missingCommand() throws {
            let result = try Tlswatch.run(["capture", "--", "/nonexistent/command"])
            #expect(result.status == .exited(64), "\(result.errors)")
            #expect(result.errors.contains("/nonexistent/command"))
        }
    }
}
