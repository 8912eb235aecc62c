// OpenSSL's numbers, as the records carry them; the names are its own (ssl/statem/statem.h, include/openssl/ssl.h,
// sslerr.h).

/// `MSG_FLOW_STATE`.
enum Flow {
    static let uninitialised: UInt32 = 0
    static let error: UInt32 = 1
    static let reading: UInt32 = 2
    static let writing: UInt32 = 3
    static let finished: UInt32 = 4
}

/// `OSSL_HANDSHAKE_STATE`.
enum HandState {
    static let ok: UInt32 = 1
    static let clientWritesHello: UInt32 = 12
    static let serverWritesHelloRequest: UInt32 = 19
    static let serverReadsHello: UInt32 = 20
    static let earlyData: UInt32 = 46
}

/// `SSL_want`.
enum Want {
    static let nothing: UInt32 = 1
    static let reading: UInt32 = 3
    static let certificate: UInt32 = 4
}

/// `SSL_get_shutdown`.
enum Shutdown {
    static let none: UInt32 = 0
    static let sent: UInt32 = 1
    static let received: UInt32 = 2
    static let both: UInt32 = 3
}

/// `SSL_VERIFY_*`.
enum Verify {
    static let none: UInt32 = 0x00
    static let peer: UInt32 = 0x01
    static let peerOrFail: UInt32 = 0x03
    static let peerAfterHandshake: UInt32 = 0x09
}

/// What `change_cipher_state` is asked for: `SSL3_CC_*`. Below TLS 1.3 there is neither handshake nor application.
enum Keys {
    static let serverRead: Int32 = 0x021
    static let serverWrite: Int32 = 0x022
    static let handshake: Int32 = 0x080
    static let handshakeServerRead: Int32 = 0x0a1
    static let handshakeServerWrite: Int32 = 0x0a2
    static let applicationClientRead: Int32 = 0x111
    static let applicationServerRead: Int32 = 0x121
    static let applicationServerWrite: Int32 = 0x122
}

/// `TLS1_AD_*`, as `ossl_statem_fatal` has them.
enum Alert {
    static let none: Int32 = -1
    static let handshakeFailure: Int32 = 40
    static let internalError: Int32 = 80
    static let unrecognizedName: Int32 = 112
    static let certificateRequired: Int32 = 116
    static let noApplicationProtocol: Int32 = 120
}

/// `SSL_R_*`.
enum Reason {
    static let certificateVerifyFailed: Int32 = 134
    static let httpRequest: Int32 = 156
    static let noSharedCipher: Int32 = 193
    static let peerDidNotReturnACertificate: Int32 = 199
    static let protocolIsShutdown: Int32 = 207
    static let callbackFailed: Int32 = 234
    static let noApplicationProtocol: Int32 = 235
    static let noRenegotiation: Int32 = 339
    /// A received alert: its number above 1,000.
    static let receivedUnknownCA: Int32 = 1048
}

/// Of a TCP socket, the kernel's (include/net/tcp_states.h).
enum TCPState {
    static let established: UInt32 = 1
    static let closed: UInt16 = 7
}
