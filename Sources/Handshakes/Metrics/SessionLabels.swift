/// A session's values of the catalogue's labels, admitted under the labels' caps.
struct SessionLabels: Sendable {
    let role, stack, outcome, reason, version, cipher, group, alpn, resumed, result: String
    /// How often such a session meets a cap.
    let capped: UInt64

    /// The values of a family's labels, in their order.
    func values(of metric: SessionMetric) -> [String] {
        metric.metric.labels.map { label in
            metric.constant?.label == label ? metric.constant?.value ?? Label.unknown : value(label)
        }
    }

    private func value(_ label: String) -> String {
        switch label {
        case "role": role
        case "stack": stack
        case "outcome": outcome
        case "reason": reason
        case "tls_version": version
        case "cipher": cipher
        case "group": group
        case "alpn": alpn
        case "resumed": resumed
        case "result": result
        default: Label.unknown
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

    /// The series that differ from one of `values` in the result alone, where there is such a label.
    static func siblings(of values: [String], _ labels: [String]) -> [[String]] {
        guard let place = labels.firstIndex(of: "result") else { return [] }
        let safe = values.map(Label.safe)
        return results.filter { $0 != safe[place] }.map { result in
            var values = safe
            values[place] = result
            return values
        }
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
