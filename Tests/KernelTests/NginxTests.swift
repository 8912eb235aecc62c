import TestSupport
import Foundation
import Testing

extension KernelTests {
    @Suite("nginx") struct NginxTests {
        @Test("Thirty curl requests to nginx are thirty server and thirty client sessions with true facts")
        func nginxAndCurl() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture()
            let curls = try Curl.get(count: 30, port: nginx.port, authority: certificates.authority, ["--http2"])
            let pids = Set(curls.map(\.pid)).union(nginx.workers)
            let rows = try capture.finish(expecting: 60) { pids.contains($0.pid ?? 0) }
            try expectTrueFacts(rows, curls: curls, nginx: nginx)
            try expectCurlsOwnTimes(rows.filter(\.isClient), curls, atLeast: 40)
        }

        @Test(
            "Every rung of the probe ladder tells the same sessions",
            arguments: ["session", "multi", "perf"])
        func everyRungReportsTheSameSessions(_ probes: String) throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture(["--probes", probes])
            let curls = try Curl.get(count: 10, port: nginx.port, authority: certificates.authority, ["--http2"])
            let pids = Set(curls.map(\.pid)).union(nginx.workers)
            let rows = try capture.finish(expecting: 20) { pids.contains($0.pid ?? 0) }
            try expectTrueFacts(rows, curls: curls, nginx: nginx)
        }

        @Test("TLS 1.2 between nginx and curl is told with its own suite and group")
        func version12() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture()
            let curls = try Curl.get(
                count: 5, port: nginx.port, authority: certificates.authority, ["--http2", "--tls-max", "1.2"])
            let rows = try capture.finish(expecting: 10, where: belongs(toPort: nginx.port))
            #expect(rows.count == 10)
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted)
                #expect(row.tlsVersion == "TLSv1.2")
                #expect(row.cipher == "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
                #expect(curls.allSatisfy { $0.cipher == "ECDHE-ECDSA-AES256-GCM-SHA384" }, "as curl says")
                #expect(row.alpn == "h2")
                #expect(row.sni == "a.example")
            }
        }

        @Test("A capture of one process tells that process alone")
        func onePID() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let other = try OpenSSLServer(certificates)
            let worker = try #require(nginx.workers.first)
            let capture = try Capture(["--pid", "\(worker)"])
            _ = try other.connect()
            _ = try Curl.get(count: 3, port: nginx.port, authority: certificates.authority)
            let rows = try capture.finish(expecting: 3) { _ in true }
            #expect(rows.count == 3)
            #expect(rows.allSatisfy { $0.pid == worker && $0.isServer && $0.isCompleted })
        }

        @Test("A capture ends by itself after --count sessions and after --duration")
        func aCaptureEndsAtItsBounds() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let worker = try #require(nginx.workers.first)
            let capture = try Capture(["--pid", "\(worker)", "--count", "2"])
            _ = try Curl.get(count: 4, port: nginx.port, authority: certificates.authority)
            let counted = try capture.child.wait()
            #expect(counted.status == .exited(0))
            #expect(try capture.sessions().count == 2)
            let timed = try Tlswatch.run(["capture", "--format", "json", "--duration", "200ms"])
            #expect(timed.status == .exited(0))
        }
    }
}

/// What both sides of a session between curl and nginx must say.
func expectTrueFacts(_ rows: [SessionRow], curls: [Curl], nginx: Nginx) throws {
    let version = try TestCertificates.libraryVersion()
    let servers = rows.filter(\.isServer)
    let clients = rows.filter(\.isClient)
    #expect(servers.count == curls.count)
    #expect(clients.count == curls.count)
    expectSane(rows)
    for row in rows {
        #expect(row.isCompleted, "\(row)")
        #expect(row.alpn == "h2")
        #expect(row.tlsVersion == "TLSv1.3")
        #expect(curls.allSatisfy { $0.version == row.tlsVersion }, "as curl says")
        #expect(curls.allSatisfy { $0.cipher == row.cipher }, "as curl says, not \(row.cipher ?? "none")")
        #expect(row.group == "x25519")
        #expect(row.sni == "a.example")
        #expect(row.resumed == false)
        #expect(row.stack == "openssl")
        #expect(row.libraryVersion == version)
        #expect(row.library?.contains("libssl.so.3") == true)
        #expect(row.socketConfidence == "exact")
        #expect((row.keyExchange ?? 0) > 0)
        #expect(row.keyExchangeCompute == nil, "only with --phases full")
        #expect((row.alpnNegotiation ?? 0) > 0)
        #expect((row.firstRecordDelay ?? 0) > 0)
        #expect((row.tcpConnect ?? 0) > 0)
    }
    #expect(
        servers.allSatisfy { $0.local == nginx.address && $0.comm == "nginx" && $0.exe?.hasSuffix("/nginx") == true })
    #expect(
        clients.allSatisfy { $0.remote == nginx.address && $0.comm == "curl" && $0.exe?.hasSuffix("/curl") == true })
    #expect(Set(servers.compactMap(\.remote)) == Set(curls.map(\.local)), "a server's remote is curl's local end")
    #expect(Set(clients.compactMap(\.local)) == Set(curls.map(\.local)))
    // Both sides are non-blocking; yet a peer that is scheduled first may answer before the call comes to wait for it.
    // That a wait makes a second call is shown where a flight is held back.
    #expect((servers + clients).allSatisfy { ($0.calls ?? 0) >= 1 })
}

/// curl's own interval begins before the handshake and ends after it: the client's duration lies within it, and at
/// the median is at least `percent` of it. On a bare loopback curl spends as long on making its TLS context (an
/// independent measurement by bpftrace put the handshake at 51 %); behind a delay both must nearly agree.
func expectCurlsOwnTimes(_ clients: [SessionRow], _ curls: [Curl], atLeast percent: Int) throws {
    let told = Dictionary(clients.map { ($0.local ?? "", $0.duration ?? 0) }, uniquingKeysWith: { first, _ in first })
    var mine: [Int] = []
    var theirs: [Int] = []
    for curl in curls {
        let duration = try #require(told[curl.local], "curl on \(curl.local) has a session")
        let own = Int(curl.handshake.components.attoseconds / 1_000_000_000)
        // curl's two times are cut to microseconds.
        #expect(duration <= own + 2_000, "\(duration) ns is within curl's own \(own) ns")
        mine.append(duration)
        theirs.append(own)
    }
    let (ours, curlsOwn) = (median(mine) ?? 0, median(theirs) ?? 0)
    print("P50 of the client's handshake: tlswatch \(ours / 1000) µs, curl itself \(curlsOwn / 1000) µs")
    #expect(100 * ours >= percent * curlsOwn, "at the median at least \(percent) % of curl's own interval")
}
