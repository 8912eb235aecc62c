/// What a probe site in a TLS library stands for. The raw values are `enum tlswatch_hook`'s.
package enum HookKind: UInt16, Sendable, Codable, CaseIterable {
    /// A call of the handshake state machine begins.
    case stateMachine = 1
    /// Traffic keys are installed (OpenSSL's `change_cipher_state`).
    case keyChange = 2
    /// The library's key agreement begins (`EVP_PKEY_derive` and the like).
    case keyAgreement = 3
    /// A server chooses the application protocol.
    case alpnSelect = 4
    /// A client processes the server's ALPN answer.
    case alpnAnswer = 5
    /// The handshake fails: alert to send and library reason.
    case fatal = 6
    /// The TLS object is freed.
    case objectFree = 7
    /// The call ends, at an instruction inside the state machine that every way out passes.
    case stateMachineExit = 8
    /// The key agreement is over: the instruction behind its call.
    case keyAgreementExit = 9
    /// The thread leaves a call without ending it, and may come back to it (OpenSSL's asynchronous jobs).
    case pause = 10
    /// Below TLS 1.3: the master secret is made, from the peer's share that has been read.
    case masterSecret = 11
    /// Below TLS 1.3, where phases are off: traffic keys are installed, so that a handshake took place.
    case newKeys = 12

    /// Whether the hook belongs to a capture with phases (`true`), to one without (`false`), or to both.
    var phases: Bool? {
        switch self {
        case .keyChange, .keyAgreement, .keyAgreementExit, .alpnSelect, .alpnAnswer, .masterSecret: true
        case .newKeys: false
        case .stateMachine, .stateMachineExit, .fatal, .objectFree, .pause: nil
        }
    }
}

/// A fact that the BPF programs read from the TLS object. The raw values are `enum tlswatch_fact`'s.
package enum Fact: Int, Sendable, Codable, CaseIterable {
    case version = 0
    case role, flowState, handState, resumed, cipher, group, sessionGroup, alpnLength
    case earlyData, helloRetry, flags, verifyMode, peerCertificate, certificateRequest, references
    case requestState, want, shutdown, verifyResult
    case alpn, sni, sessionSNI, transport, helloName

    /// Whether the fact is an address, of bytes or of another object, rather than a number.
    package var isAddress: Bool { rawValue >= Fact.alpn.rawValue }
}
