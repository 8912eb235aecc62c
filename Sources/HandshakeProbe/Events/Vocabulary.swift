import CEvents

/// What a probe site in a TLS library stands for. The raw values are `enum tlswatch_hook`'s.
package enum HookKind: UInt16, Sendable, Codable, CaseIterable {
    /// A call of the handshake state machine begins.
    case call = 1
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
    case callExit = 8
    /// The key agreement is over: the instruction behind its call.
    case keyAgreementExit = 9
    /// The thread leaves a call without ending it, and may come back to it (OpenSSL's asynchronous jobs).
    case pause = 10
    /// Below TLS 1.3: the master secret is made, from the peer's share that has been read.
    case masterSecret = 11
    /// Below TLS 1.3, where no phase is measured: traffic keys are installed, so that a handshake took place.
    case newKeys = 12

    /// The key agreement has failed: an instruction that the library comes to in no other case.
    case keyAgreementFailed = 13
    /// This side makes a key share: of which group.
    case group = 14
    /// A HelloRetryRequest is sent or processed.
    case helloRetry = 15

    /// A handshake message is about to be handled, or to be sent: of libraries in which no one call is the handshake.
    case messageReceived = 16
    case messageSent = 17
    /// The state that waits for a message goes, and handles none any more.
    case stateDropped = 18
    /// The handshake is complete whose message the thread handles.
    case completed = 19
    /// It has failed.
    case failed = 20

    /// An alert is sent, by the library or, after a failed call, by the application.
    case alertSent = 21

    /// Whether sessions begin at such a site.
    var beginsSessions: Bool { self == .call || self == .messageReceived }
}

/// How much is measured inside a handshake (`--phases`), and which of these a site is probed for.
package struct Phases: OptionSet, Sendable, Hashable, Codable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Sessions alone.
    package static let off = Phases(rawValue: 1)
    /// Key-exchange and ALPN times, with as few hits as can be.
    package static let on = Phases(rawValue: 2)
    /// Compute times and the peer's Finished as well.
    package static let full = Phases(rawValue: 4)
    package static let all: Phases = [.off, .on, .full]

    /// By their names on the command line, from the least to the most.
    package static let names: KeyValuePairs<String, Phases> = ["off": .off, "on": .on, "full": .full]

    /// The least of these.
    var name: String { Self.names.first { contains($0.value) }?.key ?? "off" }
}

/// A fact that the BPF programs read from the TLS object, by its number in `enum tlswatch_fact`.
///
/// Below `TLSWATCH_SLOTS` it is a scalar, else an address. The programs themselves look only at those that are named here; the
/// others are a stack's, which names them in its folder and alone knows what they mean.
package struct Fact: Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: Int
    /// For `doctor` and `targets`, where it was not found.
    package let description: String

    package init(_ rawValue: Int, _ description: String) {
        self.rawValue = rawValue
        self.description = description
    }

    package static func == (left: Fact, right: Fact) -> Bool { left.rawValue == right.rawValue }
    package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }

    /// The state of the handshake's state machine.
    static var state: Fact { Fact(Int(TLSWATCH_STATE.rawValue), "state") }
    /// What it is about in that state; moves with each message.
    static var detail: Fact { Fact(Int(TLSWATCH_DETAIL.rawValue), "detail") }
    static var role: Fact { Fact(Int(TLSWATCH_ROLE.rawValue), "role") }
    static var alpnLength: Fact { Fact(Int(TLSWATCH_ALPN_LENGTH.rawValue), "alpnLength") }
    /// References to the object: it is freed when the last is dropped.
    static var references: Fact { Fact(Int(TLSWATCH_REFERENCES.rawValue), "references") }

    /// Where interface values are read, of a call that has returned an error: that, the errors of the two directions, and the
    /// connection. Each the number of its innermost type that is known, and above 8 bits its detail; else the stack's own.
    static var carrier: Fact { Fact(Int(TLSWATCH_CARRIER.rawValue), "carrier") }
    static var error: Fact { Fact(Int(TLSWATCH_ERROR.rawValue), "error") }
    static var incomingError: Fact { Fact(Int(TLSWATCH_INCOMING_ERROR.rawValue), "incomingError") }
    static var outgoingError: Fact { Fact(Int(TLSWATCH_OUTGOING_ERROR.rawValue), "outgoingError") }

    /// The last eight bytes of the ClientHello's random, as two numbers of the machine's order.
    static var random: Fact { Fact(Int(TLSWATCH_RANDOM.rawValue), "random") }
    static var randomEnd: Fact { Fact(Int(TLSWATCH_RANDOM_END.rawValue), "randomEnd") }

    static var alpn: Fact { Fact(Int(TLSWATCH_ALPN.rawValue), "alpn") }
    static var sni: Fact { Fact(Int(TLSWATCH_SERVER_NAME.rawValue), "sni") }
    /// The server name where the one before is not there.
    static var otherSNI: Fact { Fact(Int(TLSWATCH_OTHER_NAME.rawValue), "otherSNI") }
    /// What the object reads through.
    static var transport: Fact { Fact(Int(TLSWATCH_TRANSPORT.rawValue), "transport") }
    /// The body of the server_name extension of the ClientHello that is being read.
    static var helloName: Fact { Fact(Int(TLSWATCH_HELLO_NAME.rawValue), "helloName") }

    /// Whether the fact is an address, of bytes or of another object, rather than a number.
    package var isAddress: Bool { rawValue >= Int(TLSWATCH_SLOTS.rawValue) }
    var isText: Bool { isAddress && rawValue < Int(TLSWATCH_TEXTS.rawValue) }
    /// Whether it comes with entries and plain returns, if the first read brings it.
    var isOfState: Bool { rawValue < Int(TLSWATCH_STATE_SLOTS.rawValue) }
}

/// The facts that come with an entry or a plain return.
struct StateValues {
    private let present: UInt32
    private let values: InlineArray<8, UInt32>

    init(present: UInt32, values: InlineArray<8, UInt32>) {
        self.present = present
        self.values = values
    }

    /// `nil` where it was not read.
    subscript(fact: Fact) -> UInt32? {
        fact.isOfState && present & 1 << UInt32(fact.rawValue) != 0 ? values[fact.rawValue] : nil
    }
}
