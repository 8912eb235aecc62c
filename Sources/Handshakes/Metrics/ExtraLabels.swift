/// Labels that are told only when asked for: their values come from peers and programs, and each multiplies the series.
public enum ExtraLabel: String, Sendable, CaseIterable {
    case sni, alpn, comm, container
    /// The server's own port; a client's is ephemeral, and `none`.
    case localPort = "local_port"
    /// The peer's address: a server's with its port; a client's port is ephemeral, and left out.
    case remote
    /// The network of the peer's address: /24 of IPv4, /48 of IPv6.
    case remoteNet = "remote_net"
    case cipher, group
    /// systemd's.
    case unit
    /// Kubernetes' UID of it.
    case pod

    /// Distinct values unless told otherwise.
    public static let standardCap = 100

    /// Reads the value of a session; `nil` where there is none, or it could not be observed.
    var reader: @Sendable (Handshake) -> String? {
        guard let key = HandshakeKey.named(rawValue) else { preconditionFailure("no field is called \(rawValue)") }
        return key.read
    }

    /// What is told where there is no value: it takes no place under the cap.
    package func missing(in handshake: Handshake) -> String {
        switch self {
        case .localPort where handshake.role == .client: Label.none
        case .alpn: handshake.alpnIfMissing
        default: Label.unknown
        }
    }
}

extension Handshake {
    /// The label of a session without ALPN: `none` where none was negotiated, `unknown` where that could not be seen.
    var alpnIfMissing: String { alpnWasRead ? Label.none : Label.unknown }
}

/// An extra label and how many distinct values of it are told; later ones are `other`.
public struct ExtraLabelOption: Sendable, Equatable {
    public var label: ExtraLabel
    public var cap: Int

    public init(_ label: ExtraLabel, cap: Int = ExtraLabel.standardCap) {
        self.label = label
        self.cap = cap
    }
}

/// One combination of extra labels' values.
struct ExtraValues: Sendable {
    /// Tells combinations apart; 0 where there are no extra labels.
    let number: Int32
    /// In the order of the labels.
    let values: [String]

    static let none = ExtraValues(number: 0, values: [])

    /// The combination of `other` in each label.
    var other: ExtraValues {
        number == 0 ? self : ExtraValues(number: 1, values: values.map { _ in Label.other })
    }
}

/// The combinations of extra labels' values that were seen, each with a number. Bounded: by each label's cap, and in all.
struct ExtraLabelTable: Sendable {
    /// In the order in which they are written.
    let names: [String]
    private let labels: [ExtraLabel]
    private let readers: [@Sendable (Handshake) -> String?]
    private var caps: [LabelCap]
    private let limit: Int
    /// By values; 1 is `other` in every label.
    private var combinations: [[String]: Int32] = [:]
    private var scratch: [String] = []

    /// Past `limit` combinations, `other` in every label.
    init(_ options: [ExtraLabelOption], limit: Int) {
        labels = options.map(\.label)
        readers = options.map(\.label.reader)
        names = options.map(\.label.rawValue)
        caps = options.map { LabelCap(limit: $0.cap) }
        self.limit = limit
        if !options.isEmpty { add(options.map { _ in Label.other }) }
    }

    /// The session's combination.
    mutating func admit(_ handshake: Handshake, budget: inout SeriesBudget) -> ExtraValues {
        guard !labels.isEmpty else { return .none }
        scratch.removeAll(keepingCapacity: true)
        for index in labels.indices {
            scratch.append(
                caps[index].admit(
                    readers[index](handshake), missing: labels[index].missing(in: handshake), budget: &budget))
        }
        if let known = combinations[scratch] { return ExtraValues(number: known, values: scratch) }
        guard combinations.count < limit else {
            budget.capped &+= 1
            return ExtraValues(number: 1, values: scratch).other
        }
        return add(scratch)
    }

    @discardableResult private mutating func add(_ values: [String]) -> ExtraValues {
        let number = Int32(truncatingIfNeeded: combinations.count + 1)
        combinations[values] = number
        return ExtraValues(number: number, values: values)
    }
}
