/// A session's values of the catalogue's labels, admitted under the labels' caps.
struct SessionLabels: Sendable {
    /// A label that a session has a value of.
    enum Name: String {
        case role, stack, outcome, reason
        case version = "tls_version"
        case cipher, group, alpn, resumed, result
    }

    /// Where the value of a family's label comes from: names are not compared for each session.
    enum Source {
        case session(Name)
        /// The family's own value.
        case constant(String)

        /// Of a family's labels, in their order.
        static func all(_ metric: SessionMetric) -> [Source] {
            metric.metric.labels.map { label in
                if let constant = metric.constant, constant.label == label { return .constant(constant.value) }
                return Name(rawValue: label).map(Source.session) ?? .constant(Label.unknown)
            }
        }

        var isResult: Bool {
            if case .session(.result) = self { true } else { false }
        }
    }

    let role, stack, outcome, reason, version, cipher, group, alpn, resumed: String
    private(set) var result: String
    /// How often such a session meets a cap.
    let capped: UInt64

    /// The values of a family's labels.
    func values(_ sources: [Source]) -> LabelValues {
        func value(_ index: Int) -> String { index < sources.count ? self.value(sources[index]) : "" }
        return LabelValues(value(0), value(1), value(2), value(3), value(4), value(5))
    }

    private func value(_ source: Source) -> String {
        switch source {
        case .constant(let value): value
        case .session(.role): role
        case .session(.stack): stack
        case .session(.outcome): outcome
        case .session(.reason): reason
        case .session(.version): version
        case .session(.cipher): cipher
        case .session(.group): group
        case .session(.alpn): alpn
        case .session(.resumed): resumed
        case .session(.result): result
        }
    }
}

// MARK: What is known before the first session

extension SessionLabels {
    /// Reasons of sessions that were given up, besides none.
    private static let abandonReasons = ["events_lost", "session_table_full"]
    /// Groups in wide use. A failed exchange may have none that is known.
    private static let commonGroups = [
        "x25519", "secp256r1", "secp384r1", "secp521r1", "x448", "X25519MLKEM768", Label.unknown,
    ]
    private static let results = ["success", "failure"]

    /// All combinations of a family's label values that sessions of a stack may have; none if peers choose a label's values.
    ///
    /// - Parameter reasons: why its handshakes fail.
    static func known(_ metric: SessionMetric, stack: String, reasons: [String]) -> [[String]] {
        metric.metric.labels.reduce([[]]) { begun, label in
            begun.flatMap { values in
                if let constant = metric.constant, constant.label == label { return [values + [constant.value]] }
                return known(label, behind: values.last, stack: stack, reasons: reasons).map { values + [$0] }
            }
        }
    }

    /// - Parameter previous: the value of the label before it.
    private static func known(
        _ label: String, behind previous: String?, stack: String, reasons: [String]
    ) -> [String] {
        switch label {
        case "role": Role.allCases.map(\.rawValue)
        case "stack": [stack]
        case "outcome": Outcome.allCases.map(\.rawValue)
        case "reason":
            switch previous.flatMap(Outcome.init) {
            case .completed, .timeout: [Label.none]
            case .failed: reasons
            case .abandoned: [Label.none] + abandonReasons
            case nil: []
            }
        case "group": commonGroups
        case "result": results
        default: []
        }
    }

    /// The same with the other result of a key exchange.
    var opposite: SessionLabels {
        var labels = self
        labels.result = Self.results[result == Self.results[0] ? 1 : 0]
        return labels
    }

    /// The caps of labels whose values others choose.
    struct Caps: Sendable {
        private var stacks, reasons, versions, ciphers, groups, protocols: LabelCap

        init(_ limits: MetricsRegistry.Limits) {
            stacks = LabelCap(limit: limits.stacks)
            let cap = LabelCap(limit: limits.labelValues)
            (reasons, versions, ciphers, groups, protocols) = (cap, cap, cap, cap, cap)
        }

        /// What is known of a stack's sessions takes no place under the caps.
        ///
        /// - Returns: the stack's label; `nil` where it is one of too many.
        mutating func prepare(stack: String, reasons known: [String], budget: inout SeriesBudget) -> String? {
            let stack = stacks.admit(stack, budget: &budget)
            guard stack != Label.other else { return nil }
            reasons.know(known + abandonReasons)
            groups.know(commonGroups)
            return stack
        }

        mutating func admit(_ handshake: Handshake, budget: inout SeriesBudget) -> SessionLabels {
            let before = budget.capped
            let completed = handshake.outcome == .completed
            let stack = stacks.admit(handshake.stack, budget: &budget)
            let reason = reasons.admit(handshake.reason, missing: Label.none, budget: &budget)
            let group = groups.admit(handshake.group, budget: &budget)
            // Of sessions that did not complete no family tells what was negotiated.
            let version = versions.admit(completed ? handshake.tlsVersion : nil, budget: &budget)
            let cipher = ciphers.admit(completed ? handshake.cipher : nil, budget: &budget)
            let alpn = protocols.admit(
                completed ? handshake.alpn : nil, missing: handshake.alpnIfMissing, budget: &budget)
            return SessionLabels(
                role: handshake.role.rawValue, stack: stack, outcome: handshake.outcome.rawValue, reason: reason,
                version: version, cipher: cipher, group: group, alpn: alpn,
                resumed: handshake.resumed.map { $0 ? "true" : "false" } ?? Label.unknown,
                result: handshake.keyExchangeSucceeded.map { results[$0 ? 0 : 1] } ?? Label.unknown,
                capped: budget.capped &- before)
        }
    }
}
