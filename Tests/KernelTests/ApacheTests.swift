import TestSupport
import Testing

extension KernelTests {
    /// Apache's httpd asks an OCSP responder inside a handshake, and carries other people's TLS inside its own.
    @Suite("Apache's httpd") struct ApacheTests {
        @Test("Stapling asks a responder in the middle of a handshake: none of that is the session's")
        func staplingIsNotTheSessions() throws {
            let held = 80
            let certificates = try TestCertificates()
            let responder = try ChildProcess(
                "python3",
                [
                    script("ocsp_responder.py"), certificates.authority, certificates.authorityKey,
                    certificates.certificate, "\(held)",
                ])
            let asked = try responder.announcedPort()
            let server = try Apache(certificates, responder: asked)
            let capture = try Capture()
            // curl ends with an error where no good answer is stapled.
            let clients = try Curl.get(
                count: 3, port: server.site, authority: certificates.authority, ["--cert-status"])
            let rows = try capture.finish(expecting: 3) {
                $0.isServer && $0.local?.hasSuffix(":\(server.site)") == true
            }
            try #require(rows.count == 3)
            expectSane(rows)
            #expect(Set(rows.compactMap(\.remote)) == Set(clients.map(\.local)))
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(row.socketConfidence == "exact", "\(row)")
                #expect(row.reason == nil, "\(row)")
                #expect(row.comm == "apache2", "\(row)")
                #expect(row.sni == "a.example", "\(row)")
                // On loopback; the responder's connection began before the first record left by as long as it was held.
                let connect = try #require(row.tcpConnect)
                #expect(connect < held * 1_000_000, "\(row)")
            }
            // The answer is kept: the first client alone has waited for it, and by curl's own clock too.
            let asks = responder.output.lines.filter { $0.hasPrefix("asked") }.count
            #expect(asks == 1)
            let first = try #require(rows.first { $0.remote == clients[0].local })
            #expect(clients[0].handshake >= .milliseconds(held))
            for moment in [first.duration, first.firstRecordDelay, first.keyExchange] {
                let moment = try #require(moment, "\(first)")
                #expect(moment >= held * 1_000_000 && .nanoseconds(moment) <= clients[0].handshake, "\(first)")
            }
        }

        @Test("curl through an HTTPS proxy: TLS inside TLS is two sessions, and only the outer one owns the socket")
        func proxiedTLSIsTwoSessions() throws {
            let certificates = try TestCertificates()
            let server = try Apache(certificates)
            let capture = try Capture()
            let curl = try ChildProcess.run(
                "curl",
                [
                    "-q", "-s", "-o", "/dev/null", "--max-time", "20", "--cacert", certificates.authority,
                    "--proxy-cacert", certificates.authority, "-x", "https://127.0.0.1:\(server.proxy)",
                    "-w", "%{local_port} %{http_connect} %{ssl_verify_result}", "https://127.0.0.1:\(server.site)/",
                ])
            let words = curl.output.split(separator: " ")
            try #require(curl.status == .exited(0) && words.count == 3, "\(curl)")
            #expect(words[1] == "200" && words[2] == "0")
            let local = "127.0.0.1:\(words[0])"
            let rows = try capture.finish(expecting: 4) {
                $0.pid == Int(curl.pid) || $0.comm == "apache2"
            }
            try #require(rows.count == 4, "\(rows)")
            expectSane(rows)
            for row in rows { #expect(row.isCompleted, "\(row)") }

            let clients = rows.filter(\.isClient).inOrder
            let outer = try #require(clients.first)
            #expect(outer.socketConfidence == "exact", "\(outer)")
            #expect(outer.local == local, "\(outer)")
            #expect(outer.remote == "127.0.0.1:\(server.proxy)", "\(outer)")
            // Its records travel inside the outer's: whatever is reported of the socket is the outer's, and no certainty.
            let inner = try #require(clients.last)
            #expect(inner.socketConfidence == "inferred" || inner.socketConfidence == "unknown", "\(inner)")
            if inner.socketConfidence == "inferred" {
                #expect(inner.local == local, "\(inner)")
                #expect(inner.remote == outer.remote, "\(inner)")
            } else {
                #expect(inner.local == nil, "\(inner)")
                #expect(inner.remote == nil, "\(inner)")
                #expect(inner.tcpConnect == nil, "\(inner)")
            }

            let proxy = try #require(rows.first { $0.local == "127.0.0.1:\(server.proxy)" })
            #expect(proxy.isServer, "\(proxy)")
            #expect(proxy.remote == local, "\(proxy)")
            #expect(proxy.socketConfidence == "exact", "\(proxy)")
            let site = try #require(rows.first { $0.local == "127.0.0.1:\(server.site)" })
            #expect(site.isServer, "\(site)")
            #expect(site.remote != local, "\(site)")
            #expect(site.socketConfidence == "exact", "\(site)")
        }
    }
}
