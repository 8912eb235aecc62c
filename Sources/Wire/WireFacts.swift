import Handshakes

/// What a handshake that ended came to, as far as its packets show it.
package struct WireEnd: Sendable, Equatable {
    package var outcome: Outcome
    /// Monotonic nanoseconds.
    package var time: UInt64
    /// Snake case, as in `Handshake.reason`.
    package var reason: String?
    package var alert: UInt8?
    /// Who sent the alert.
    package var alertSide: WireSide?
    package var confidence: EndConfidence

    package init(
        outcome: Outcome, time: UInt64, reason: String? = nil, alert: UInt8? = nil, alertSide: WireSide? = nil,
        confidence: EndConfidence
    ) {
        self.outcome = outcome
        self.time = time
        self.reason = reason
        self.alert = alert
        self.alertSide = alertSide
        self.confidence = confidence
    }
}

/// What its hellos and the shape of its flights tell of a handshake. What was not seen is `nil`.
package struct WireFacts: Sendable, Equatable {
    package var version: UInt16?
    package var cipher: UInt16?
    package var group: UInt16?
    package var serverName: [UInt8]?
    package var protocolsOffered: [[UInt8]]?
    /// Whether the whole ClientHello was seen: what is missing in it was not offered.
    package var hasWholeOffer = false
    /// TLS 1.2 and below; an empty one where none was chosen.
    package var chosenProtocol: [UInt8]?
    package var resumed: Bool?
    package var earlyData: EarlyData?
    package var helloRetryRequest: Bool?
    package var clientCertificateRequested: Bool?
    package var clientCertificateGiven: Bool?
    /// The ClientHello's.
    package var random: [UInt8] = []

    package init() {}

    /// What the ClientHello tells.
    init(_ hello: ClientHello?) {
        random = hello?.random ?? []
        serverName = hello?.serverName
        protocolsOffered = hello?.protocols
        hasWholeOffer = hello?.isWhole ?? false
    }
}
