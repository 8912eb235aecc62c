import HandshakeProbe
import Handshakes

/// The slowest sessions of an edge host: nginx and haproxy serving, curl and a proxy's own upstream connections.
extension StatusFixtures {
    static var slowest: [Handshake] {
        [
            // The SYN was sent again after a second.
            client("curl", 31_877, 61_200_000, sni: "packages.example.org", group: "x25519", connect: 1_023_000_000),
            server(
                "nginx", 812, 57_840_000, sni: "shop.example.com", group: "X25519MLKEM768", connect: 42_300_000,
                idle: 31_000),
            server(
                "nginx", 813, 48_211_902, sni: "a-rather-long-name.of.a.customer.shop.example.com", group: "x25519",
                connect: 38_100_000, idle: 27_000),
            server("haproxy", 2_204, 44_090_000, sni: "api.example.com", group: "x25519", connect: 310_000, idle: nil),
            client("haproxy", 2_204, 41_702_000, sni: nil, group: "X25519MLKEM768", connect: 412_000),
            server(
                "nginx", 812, 37_450_000, sni: "shop.example.com", group: "x25519", connect: 18_200_000,
                idle: 4_214_000_000),
            server("nginx", 815, 31_930_000, sni: nil, group: nil, connect: nil, idle: nil, version: "TLSv1.2"),
            client("node", 5_120, 28_660_000, sni: "events.example.net", group: "x25519", connect: nil),
            server(
                "nginx", 814, 26_105_000, sni: "static.example.com", group: "x25519", connect: 9_840_000, idle: 22_000,
                resumed: true),
            server(
                "python3", 9_041, 23_904_000, sni: "metrics.internal", group: "secp256r1", connect: 88_000, idle: 45_000
            ),
        ]
    }

    static func server(
        _ comm: String, _ pid: UInt32, _ duration: UInt64, sni: String?, group: String?, connect: UInt64?,
        idle: UInt64?, version: String = "TLSv1.3", resumed: Bool = false
    ) -> Handshake {
        var handshake = session(comm, pid, .server, duration, version)
        handshake.sni = sni
        handshake.group = group
        handshake.resumed = resumed
        // Half of them wait for their clients, as servers do; some are late to read.
        handshake.parts = HandshakeParts(
            of: duration, cpu: duration / 9, runqueue: duration / 50, unread: pid % 2 == 0 ? duration / 3 : 21_000)
        handshake.cause = .peer
        handshake.rtt = 412_000
        handshake.retransmits = 0
        handshake.calls = 2
        handshake.local = "203.0.113.10:443"
        handshake.remote = "198.51.100.\(pid % 200):\(40_000 + pid)"
        handshake.socketConfidence = .exact
        if comm == "nginx" { handshake.alpn = "h2" }
        fill(
            &handshake, hello: duration / 40, keys: duration / 40 + duration / 14, connect: connect,
            idle: idle ?? 12_000)
        if version == "TLSv1.3" {
            handshake.finished = duration / 100 * 96
            handshake.timeline.finished = handshake.start + duration / 100 * 96
        } else {
            handshake.cipher = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        }
        return handshake
    }

    static func client(
        _ comm: String, _ pid: UInt32, _ duration: UInt64, sni: String?, group: String, connect: UInt64?
    ) -> Handshake {
        var handshake = session(comm, pid, .client, duration, "TLSv1.3")
        handshake.sni = sni
        handshake.group = group
        handshake.alpn = comm == "curl" ? "h2" : "http/1.1"
        handshake.parts = HandshakeParts(
            of: duration, cpu: duration / 5, runqueue: duration / 90, unread: connect == nil ? nil : 9_000)
        if connect != nil {
            handshake.cause = .peer
            handshake.rtt = 20_300_000
            handshake.retransmits = connect ?? 0 > 1_000_000_000 ? 1 : 0
        }
        handshake.calls = 3
        handshake.local = "10.0.0.5:\(50_000 + pid % 10_000)"
        handshake.remote = "192.0.2.\(pid % 200):443"
        handshake.socketConfidence = connect == nil ? .unknown : .exact
        fill(&handshake, hello: duration / 60, keys: duration / 10 * 7, connect: connect, idle: 54_000)
        return handshake
    }

    private static func session(
        _ comm: String, _ pid: UInt32, _ role: Role, _ duration: UInt64, _ version: String
    ) -> Handshake {
        let start = now - duration - UInt64(pid) * 1_000_000
        var handshake = Handshake(
            wallTime: wallTime - Int64(duration), start: start, end: start + duration, pid: pid, tid: pid, comm: comm,
            stack: "openssl", library: libssl, role: role, outcome: .completed, duration: duration, calls: 1)
        handshake.exe = "/usr/sbin/\(comm)"
        handshake.libraryVersion = "3.0.19"
        handshake.tlsVersion = version
        handshake.cipher = "TLS_AES_256_GCM_SHA384"
        handshake.resumed = false
        handshake.clientCertificateRequested = false
        return handshake
    }

    /// The moments, by their distance from the start.
    private static func fill(
        _ handshake: inout Handshake, hello: UInt64, keys: UInt64, connect: UInt64?, idle: UInt64
    ) {
        let start = handshake.start
        handshake.timeline.clientHello = start + hello
        let begin = handshake.role == .server ? hello : keys - keys / 20
        handshake.timeline.keyExchangeBegin = start + begin
        handshake.timeline.keyExchangeEnd = start + keys
        handshake.keyExchange = keys - begin
        handshake.keyExchangeCompute = (keys - begin) / 6
        if handshake.alpn != nil {
            let decided = handshake.role == .server ? hello + (keys - hello) / 3 : keys + handshake.duration / 12
            handshake.timeline.alpnDecided = start + decided
            handshake.alpnNegotiation = decided - hello
        }
        guard let connect else { return }
        handshake.timeline.established = start - idle
        handshake.timeline.connecting = start - idle - connect
        handshake.tcpConnect = connect
        handshake.firstRecordDelay = idle + hello
    }
}
