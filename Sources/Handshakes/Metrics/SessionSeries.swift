/// The counters and histograms that finished sessions go to.
///
/// Sessions of the same facts go to the same series, so the way there is remembered: one look-up for a session instead
/// of one for each label and family. Owned by the registry's thread.
struct SessionSeries: Sendable {
    /// What a session's series depend on, as the session tells it.
    private struct Facts: Hashable {
        var role: Role
        var outcome: Outcome
        var stack: String
        var reason, tlsVersion, cipher, group, alpn: String?
        var alpnWasRead: Bool
        var resumed, keyExchangeSucceeded: Bool?
        var extra: Int32
    }

    /// Where a session of these facts is counted.
    private struct Places {
        var stack: String
        var handshakes: Int
        var keyExchanges: Int?
        /// Of completed sessions.
        var durations, busy, parameters: Int?
        /// How often such a session met a cap.
        var capped: UInt64
    }

    /// Reasons of sessions that were given up, besides none.
    private static let abandonReasons = ["events_lost", "session_table_full"]
    /// Groups in wide use. A failed exchange may have none that is known.
    private static let commonGroups = [
        "x25519", "secp256r1", "secp384r1", "secp521r1", "x448", "X25519MLKEM768", Label.unknown,
    ]
    private static let results = ["success", "failure"]

    /// Remembered ways: facts that peers choose must not take memory without end.
    private static let memoryLimit = 4_096

    private var stacks, reasons, versions, ciphers, groups, protocols: LabelCap
    private var ways: [Facts: Places] = [:]
    /// The last session's of either role: most are like the one before.
    private var last: [Role: (facts: Facts, places: Places)] = [:]
    /// By role and phase; a series is made when its first duration comes.
    private var phaseSlots: [Role: PhaseSlots] = [:]

    private struct PhaseSlots {
        var keyExchange, alpnNegotiation, tcpConnect, firstRecordDelay: Int?
    }
    private let keepsExemplars: Bool
    private let hasExtraLabels: Bool

    private(set) var handshakes: SeriesTable<UInt64>
    private(set) var parameters = SeriesTable<UInt64>(MetricCatalogue.handshakeParameters, initial: 0)
    private(set) var keyExchanges = SeriesTable<UInt64>(MetricCatalogue.keyExchanges, initial: 0)
    private var durations: SeriesTable<DurationHistogram>
    private var busy = histogram(MetricCatalogue.handshakeBusy, .handshake)
    private var keyExchangeDurations = histogram(MetricCatalogue.keyExchangeDuration, .phase)
    private var alpnNegotiations = histogram(MetricCatalogue.alpnNegotiation, .phase)
    private var tcpConnects = histogram(MetricCatalogue.tcpConnect, .phase)
    private var firstRecordDelays = histogram(MetricCatalogue.firstRecordDelay, .phase)

    /// - Parameter extra: names of the extra labels.
    init(_ options: MetricsRegistry.Options, extra: [String]) {
        stacks = LabelCap(limit: options.limits.stacks)
        let cap = LabelCap(limit: options.limits.labelValues)
        (reasons, versions, ciphers, groups, protocols) = (cap, cap, cap, cap, cap)
        keepsExemplars = options.exemplars
        hasExtraLabels = !extra.isEmpty
        handshakes = SeriesTable(MetricCatalogue.handshakes, extra: extra, initial: 0)
        durations = Self.histogram(MetricCatalogue.handshakeDuration, .handshake, extra: extra)
    }

    var families: [MetricFamily] {
        [handshakes, parameters, keyExchanges].map { MetricFamily($0.descriptor, .integers($0.series)) }
            + [durations, busy].map { MetricFamily($0.descriptor, .histograms($0.series, .handshake)) }
            + [keyExchangeDurations, alpnNegotiations, tcpConnects, firstRecordDelays].map {
                MetricFamily($0.descriptor, .histograms($0.series, .phase))
            }
    }

    /// Makes the counters that the first session of a stack, in either role, may need: a series that begins with its first
    /// sample hides that one from `rate()`. Not those with extra labels: nobody knows their values beforehand.
    ///
    /// - Parameter reasons: why its handshakes fail, besides what is common to all stacks.
    /// - Returns: the stack's label; `nil` where it is one of too many.
    mutating func prepare(stack: String, reasons own: [String], budget: inout SeriesBudget) -> String? {
        let stack = stacks.admit(stack, budget: &budget)
        guard stack != Label.other else { return nil }
        let known = Set(FailureReasons.common + own).sorted()
        reasons.know(known + Self.abandonReasons)
        groups.know(Self.commonGroups)
        for role in Role.allCases.map(\.rawValue) {
            for group in Self.commonGroups {
                for result in Self.results { keyExchanges.prepare(LabelValues(role, group, result), budget: &budget) }
            }
            guard !hasExtraLabels else { continue }
            for outcome in Outcome.allCases {
                let reasons =
                    switch outcome {
                    case .completed, .timeout: [Label.none]
                    case .failed: known
                    case .abandoned: [Label.none] + Self.abandonReasons
                    }
                for reason in reasons {
                    handshakes.prepare(LabelValues(role, stack, outcome.rawValue, reason), budget: &budget)
                }
            }
        }
        return stack
    }

    /// Counts a session; returns the label of its stack.
    mutating func record(_ handshake: Handshake, extra: ExtraValues, budget: inout SeriesBudget) -> String {
        let facts = Facts(
            role: handshake.role, outcome: handshake.outcome, stack: handshake.stack, reason: handshake.reason,
            tlsVersion: handshake.tlsVersion, cipher: handshake.cipher, group: handshake.group, alpn: handshake.alpn,
            alpnWasRead: handshake.alpnWasRead, resumed: handshake.resumed,
            keyExchangeSucceeded: handshake.keyExchangeSucceeded, extra: extra.number)
        let places = places(of: facts, handshake, extra: extra, budget: &budget)
        handshakes.update(places.handshakes) { $0 &+= 1 }
        if let place = places.keyExchanges { keyExchanges.update(place) { $0 &+= 1 } }
        if let place = places.parameters { parameters.update(place) { $0 &+= 1 } }
        if let place = places.durations {
            let exemplar = keepsExemplars ? Exemplar(of: handshake) : nil
            durations.update(place) { $0.observe(handshake.duration, exemplar: exemplar) }
        }
        if let place = places.busy { busy.update(place) { $0.observe(handshake.busy) } }
        if handshake.outcome == .completed { recordPhases(handshake, budget: &budget) }
        return places.stack
    }

    private mutating func places(
        of facts: Facts, _ handshake: Handshake, extra: ExtraValues, budget: inout SeriesBudget
    ) -> Places {
        if let last = last[facts.role], last.facts == facts {
            budget.capped &+= last.places.capped
            return last.places
        }
        let places: Places
        if let known = ways[facts] {
            places = known
            budget.capped &+= known.capped
        } else {
            places = find(handshake, extra: extra, budget: &budget)
            if ways.count >= Self.memoryLimit { ways.removeAll(keepingCapacity: true) }
            ways[facts] = places
        }
        last[facts.role] = (facts, places)
        return places
    }

    private mutating func recordPhases(_ handshake: Handshake, budget: inout SeriesBudget) {
        let role = handshake.role
        var slots = phaseSlots[role] ?? PhaseSlots()
        if handshake.keyExchangeSucceeded != false {
            keyExchangeDurations.observe(handshake.keyExchange, role, &slots.keyExchange, budget: &budget)
        }
        alpnNegotiations.observe(handshake.alpnNegotiation, role, &slots.alpnNegotiation, budget: &budget)
        tcpConnects.observe(handshake.tcpConnect, role, &slots.tcpConnect, budget: &budget)
        firstRecordDelays.observe(handshake.firstRecordDelay, role, &slots.firstRecordDelay, budget: &budget)
        phaseSlots[role] = slots
    }

    private mutating func find(_ handshake: Handshake, extra: ExtraValues, budget: inout SeriesBudget) -> Places {
        let before = budget.capped
        let role = handshake.role.rawValue
        let stack = stacks.admit(handshake.stack, budget: &budget)
        let reason = reasons.admit(handshake.reason, missing: Label.none, budget: &budget)
        let group = groups.admit(handshake.group, budget: &budget)
        var places = Places(
            stack: stack,
            handshakes: handshakes.slot(
                for: LabelValues(role, stack, handshake.outcome.rawValue, reason), extra: extra, budget: &budget),
            capped: 0)
        if let succeeded = handshake.keyExchangeSucceeded {
            places.keyExchanges = keyExchanges.slot(
                for: LabelValues(role, group, Self.results[succeeded ? 0 : 1]), budget: &budget)
            // The first failure in a group that has worked so far counts, too.
            keyExchanges.prepare(LabelValues(role, Label.safe(group), Self.results[succeeded ? 1 : 0]), budget: &budget)
        }
        if handshake.outcome == .completed {
            let version = versions.admit(handshake.tlsVersion, budget: &budget)
            let resumed = handshake.resumed.map { $0 ? "true" : "false" } ?? Label.unknown
            let cipher = ciphers.admit(handshake.cipher, budget: &budget)
            let alpn = protocols.admit(handshake.alpn, missing: handshake.alpnIfMissing, budget: &budget)
            places.parameters = parameters.slot(
                for: LabelValues(role, version, cipher, group, alpn, resumed), budget: &budget)
            places.durations = durations.slot(
                for: LabelValues(role, stack, version, resumed), extra: extra, budget: &budget)
            places.busy = busy.slot(for: LabelValues(role, stack), budget: &budget)
        }
        places.capped = budget.capped &- before
        return places
    }

    private static func histogram(
        _ descriptor: MetricDescriptor, _ bounds: DurationBounds.Name, extra: [String] = []
    ) -> SeriesTable<DurationHistogram> {
        // The finite buckets, +Inf, _sum and _count.
        SeriesTable(descriptor, extra: extra, initial: DurationHistogram(bounds), cost: DurationBounds.count + 3)
    }
}

extension SeriesTable where Value == DurationHistogram {
    /// Counts a duration, where there is one. `known` is the role's series, once it is there.
    fileprivate mutating func observe(
        _ nanoseconds: UInt64?, _ role: Role, _ known: inout Int?, budget: inout SeriesBudget
    ) {
        guard let nanoseconds else { return }
        let place = known ?? slot(for: LabelValues(role.rawValue), budget: &budget)
        known = place
        update(place) { $0.observe(nanoseconds) }
    }
}
