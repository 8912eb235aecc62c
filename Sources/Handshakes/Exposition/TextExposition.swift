/// Prometheus's text formats and OpenMetrics 1.0.0.
public enum TextExposition {
    /// Appends `snapshot` to `output`, which the caller empties (keeping its capacity) and reuses. Any thread.
    ///
    /// - Parameter created: when the counters began, nanoseconds since 1970; OpenMetrics tells it as `_created`.
    public static func encode(
        _ snapshot: MetricsSnapshot, as exposition: Exposition = Exposition(), created: UInt64? = nil,
        into output: inout [UInt8]
    ) {
        for family in snapshot.families {
            FamilyText(family.descriptor, exposition, created: created).append(family.samples, to: &output)
        }
        if exposition.format == .openMetrics { output.append(contentsOf: "# EOF\n".utf8) }
    }
}

/// One family's lines. What recurs in them is made once, so that a line is a few copies.
private struct FamilyText {
    private static let totalSuffix = "_total"
    private static let newline = UInt8(ascii: "\n")

    private let descriptor: MetricDescriptor
    private let isOpen: Bool
    private let doublesUnderscores: Bool
    /// A sample's name, and the family's: in OpenMetrics a counter's family has no suffix, and its samples have.
    private let name, familyName: [UInt8]
    /// A line of `_created`, up to its labels and behind them; empty where none is wanted.
    private let createdName, createdValue: [UInt8]

    init(_ descriptor: MetricDescriptor, _ exposition: Exposition, created: UInt64?) {
        self.descriptor = descriptor
        isOpen = exposition.format == .openMetrics
        doublesUnderscores = exposition.escaping == .dots
        let escaped = doublesUnderscores ? descriptor.name.doublingUnderscores : descriptor.name
        name = Array(escaped.utf8)
        let isCounter = descriptor.type == .counter && escaped.hasSuffix(Self.totalSuffix)
        familyName = Array((isOpen && isCounter ? String(escaped.dropLast(Self.totalSuffix.count)) : escaped).utf8)
        if isOpen, let created, isCounter || descriptor.type == .histogram {
            createdName = familyName + Array("_created".utf8)
            var value: [UInt8] = []
            DecimalText.append(seconds: created, to: &value)
            createdValue = value
        } else {
            createdName = []
            createdValue = []
        }
    }

    func append(_ samples: MetricSamples, to output: inout [UInt8]) {
        appendHeader(to: &output)
        switch samples {
        case .integers(let series): append(series, to: &output) { DecimalText.append($0, to: &$1) }
        case .nanoseconds(let series): append(series, to: &output) { DecimalText.append(seconds: $0, to: &$1) }
        case .numbers(let series): append(series, to: &output) { DecimalText.append($0, to: &$1) }
        case .sessions(let series): append(series, to: &output) { DecimalText.append($0.sessions, to: &$1) }
        case .quantiles(let series): append(series, to: &output)
        case .histograms(let series, let bounds): append(series, bounds, to: &output)
        }
    }

    private func appendHeader(to output: inout [UInt8]) {
        func begin(_ keyword: StaticString) {
            output.append(contentsOf: "# ".utf8)
            output.append(contentsOf: keyword.description.utf8)
            output.append(UInt8(ascii: " "))
            output.append(contentsOf: familyName)
            output.append(UInt8(ascii: " "))
        }
        begin("HELP")
        for byte in descriptor.help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case Self.newline: output.append(contentsOf: #"\n"#.utf8)
            // OpenMetrics escapes it in help too.
            case UInt8(ascii: "\"") where isOpen: output.append(contentsOf: #"\""#.utf8)
            default: output.append(byte)
            }
        }
        output.append(Self.newline)
        begin("TYPE")
        output.append(contentsOf: descriptor.type.rawValue.utf8)
        output.append(Self.newline)
        if isOpen, let unit = descriptor.unit, familyName.suffix(unit.utf8.count + 1).elementsEqual("_\(unit)".utf8) {
            begin("UNIT")
            output.append(contentsOf: unit.utf8)
            output.append(Self.newline)
        }
    }

    private func append<Value>(
        _ series: Series<Value>, to output: inout [UInt8], number: (Value, inout [UInt8]) -> Void
    ) {
        for rank in 0..<series.count {
            let (labels, value) = series.series(atRank: rank)
            let text = text(of: labels)
            append(name, text, to: &output)
            number(value, &output)
            output.append(Self.newline)
            appendCreated(text, to: &output)
        }
    }

    private func append(_ series: Series<WindowQuantiles>, to output: inout [UInt8]) {
        let beginning = name + Array("{".utf8)
        let endings = WindowQuantiles.wanted.map { Array(",quantile=\"\($0.text)\"} ".utf8) }
        for rank in 0..<series.count {
            let (labels, value) = series.series(atRank: rank)
            guard value.sessions > 0 else { continue }
            let text = text(of: labels)
            for index in endings.indices {
                output.append(contentsOf: beginning)
                output.append(contentsOf: text)
                output.append(contentsOf: endings[index])
                DecimalText.append(seconds: value.values[index], to: &output)
                output.append(Self.newline)
            }
        }
    }

    private func append(
        _ series: Series<DurationHistogram>, _ bounds: DurationBounds, to output: inout [UInt8]
    ) {
        let beginning = name + Array("_bucket{".utf8)
        let endings = ((isOpen ? bounds.canonicalTexts : bounds.texts) + [Array("+Inf".utf8)]).map {
            Array("le=\"".utf8) + $0 + Array("\"} ".utf8)
        }
        let labelledEndings = endings.map { [UInt8(ascii: ",")] + $0 }
        let sumName = name + Array("_sum".utf8)
        let countName = name + Array("_count".utf8)
        for rank in 0..<series.count {
            let (labels, histogram) = series.series(atRank: rank)
            let text = text(of: labels)
            let endings = text.isEmpty ? endings : labelledEndings
            var cumulative: UInt64 = 0
            for index in 0...DurationBounds.count {
                cumulative &+= histogram.buckets[index]
                output.append(contentsOf: beginning)
                output.append(contentsOf: text)
                output.append(contentsOf: endings[index])
                DecimalText.append(cumulative, to: &output)
                if isOpen, !histogram.exemplars.isEmpty, let exemplar = histogram.exemplars[index] {
                    append(exemplar, to: &output)
                }
                output.append(Self.newline)
            }
            append(sumName, text, to: &output)
            DecimalText.append(seconds: histogram.sum, to: &output)
            output.append(Self.newline)
            append(countName, text, to: &output)
            DecimalText.append(histogram.count, to: &output)
            output.append(Self.newline)
            appendCreated(text, to: &output)
        }
    }

    /// `NAME{LABELS} `
    private func append(_ name: [UInt8], _ labels: [UInt8], to output: inout [UInt8]) {
        output.append(contentsOf: name)
        if !labels.isEmpty {
            output.append(UInt8(ascii: "{"))
            output.append(contentsOf: labels)
            output.append(UInt8(ascii: "}"))
        }
        output.append(UInt8(ascii: " "))
    }

    /// `_created` of one label set: seconds since 1970.
    private func appendCreated(_ labels: [UInt8], to output: inout [UInt8]) {
        guard !createdName.isEmpty else { return }
        append(createdName, labels, to: &output)
        output.append(contentsOf: createdValue)
        output.append(Self.newline)
    }

    /// OpenMetrics 1.0.0: ` # {LABELS} VALUE TIMESTAMP`.
    private func append(_ exemplar: Exemplar, to output: inout [UInt8]) {
        let labels = exemplar.labels
        output.append(contentsOf: " # {".utf8)
        output.append(contentsOf: LabelSet.text(names: labels.map(\.name), values: labels.map(\.value)))
        output.append(contentsOf: "} ".utf8)
        DecimalText.append(seconds: exemplar.duration, to: &output)
        output.append(UInt8(ascii: " "))
        DecimalText.append(seconds: UInt64(clamping: exemplar.time), to: &output)
    }

    private func text(of labels: LabelSet) -> [UInt8] {
        doublesUnderscores
            ? LabelSet.text(names: labels.names.map(\.doublingUnderscores), values: labels.values) : labels.text
    }
}
