import Handshakes

/// A server's handshake that took so many nanoseconds and ended at `end`, with all that is usually known of one.
public func completed(in duration: UInt64, sni: String? = nil, end: UInt64) -> Handshake {
    var handshake = model
    handshake.end = end
    handshake.duration = duration
    handshake.sni = sni
    handshake.parts = HandshakeParts(of: duration, cpu: 870_000, runqueue: 41_000, unread: 21_000)
    return handshake
}

/// What they have in common: the sessions of one process share its texts and its library's.
private let model: Handshake = {
    var handshake = Handshake(
        wallTime: 0, start: 0, end: 0, pid: 1, tid: 1, comm: "nginx", stack: "openssl", library: "libssl.so.3",
        role: .server, outcome: .completed, duration: 0, calls: 2)
    handshake.cause = .peer
    handshake.retransmits = 0
    handshake.tlsVersion = "TLSv1.3"
    handshake.cipher = "TLS_AES_256_GCM_SHA384"
    handshake.group = "x25519"
    handshake.alpn = "h2"
    handshake.resumed = false
    handshake.tcpConnect = 41_200
    handshake.keyExchange = 230_111
    handshake.keyExchangeSucceeded = true
    handshake.alpnNegotiation = 204_000
    return handshake
}()
