import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Phases of a handshake") struct PhaseTests {
        @Test("Without phases sessions are complete and tell no phase")
        func withoutPhasesSessionsAreComplete() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture(["--phases", "off"])
            _ = try Curl.get(count: 5, port: nginx.port, authority: certificates.authority, ["--http2"])
            let rows = try capture.finish(expecting: 10, where: belongs(toPort: nginx.port))
            #expect(rows.count == 10)
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.3")
                #expect(row.alpn == "h2")
                #expect(row.sni == "a.example")
                #expect(row.keyExchange == nil)
                #expect(row.keyExchangeCompute == nil)
                #expect(row.alpnNegotiation == nil)
                #expect(row.alpnShare == nil)
            }
        }

        @Test("With phases each lies inside its handshake, on both sides", arguments: ["on", "full"])
        func withPhasesEachLiesInside(_ phases: String) throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture(["--phases", phases])
            _ = try Curl.get(count: 5, port: nginx.port, authority: certificates.authority, ["--http2"])
            let rows = try capture.finish(expecting: 10, where: belongs(toPort: nginx.port))
            #expect(rows.count == 10)
            expectSane(rows)
            for row in rows {
                let exchange = try #require(row.keyExchange, "\(row)")
                let negotiation = try #require(row.alpnNegotiation, "\(row)")
                let share = try #require(row.alpnShare, "\(row)")
                let duration = try #require(row.duration)
                if phases == "full" {
                    let compute = try #require(row.keyExchangeCompute, "\(row)")
                    #expect(0 < compute)
                    #expect(compute <= exchange)
                    if row.isServer { #expect(try #require(row.finished, "\(row)") <= duration) }
                } else {
                    #expect(row.keyExchangeCompute == nil)
                    #expect(row.finished == nil)
                }
                #expect(exchange <= duration)
                #expect(0 < negotiation)
                #expect(negotiation <= duration)
                #expect(abs(share - Double(negotiation) / Double(duration)) < 0.001)
            }
        }

        @Test("A server's flight held back by 100 ms is the client's wait and in no one's key exchange")
        func knownAnswer() throws {
            let held = 100_000_000
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let proxy = try ChildProcess(
                "/usr/bin/env", ["python3", script("delay_proxy.py"), "\(nginx.port)", "0.1"])
            let port = try proxy.announcedPort()
            let capture = try Capture()
            let curls = try Curl.get(count: 3, port: port, authority: certificates.authority, ["--http2"])
            let pids = Set(curls.map(\.pid)).union(nginx.workers)
            let rows = try capture.finish(expecting: 6) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 6)
            expectSane(rows)
            for row in rows {
                let duration = try #require(row.duration)
                #expect(row.isCompleted, "\(row)")
                #expect(duration >= held, "the server waits for the client's Finished as long: \(row)")
                // The delay begins when the proxy has the flight: the sender may be off its core by then, inside its
                // call, which is busy time.
                #expect(try #require(row.wait) >= held * 9 / 10, "\(row)")
                #expect(try #require(row.busy) <= duration - held * 9 / 10)
                #expect(try #require(row.calls) >= 2, "what waits 100 ms comes back and is called again")
                #expect(try #require(row.keyExchange) < held, "\(row)")
            }
            try expectCurlsOwnTimes(rows.filter(\.isClient), curls, atLeast: 95)
            for row in rows where row.isClient {
                #expect(try #require(row.alpnNegotiation) >= held, "the answer was in the flight held back")
            }
            for row in rows where row.isServer {
                #expect(try #require(row.alpnNegotiation) < held, "the server chose at once")
            }
        }
    }
}
