/// Prometheus's text formats and OpenMetrics 1.0.0.
public enum TextExposition {
    private static let totalSuffix = Array("_total".utf8)

    /// Appends `snapshot` to `output`, which the caller empties (keeping its capacity) and reuses. Any thread.
    ///
    /// - Parameter created: when the counters began, nanoseconds since 1970; OpenMetrics tells it as `_created`.
    public static func encode(
        _ snapshot: MetricsSnapshot, as format: ExpositionFormat = .text004, created: UInt64? = nil,
        into output: inout [UInt8]
    ) {
        let isOpen = format == .openMetrics
        let created = isOpen ? created : nil
        for family in snapshot.families {
            let name = Array(family.descriptor.name.utf8)
            // There a counter's family has no suffix, and its samples have.
            let isCounter = isOpen && family.descriptor.type == .counter && name.suffix(6).elementsEqual(totalSuffix)
            appendHeader(family.descriptor, name: isCounter ? name.dropLast(6) : name[...], isOpen, to: &output)
            switch family.samples {
            case .integers(let series) where isCounter && created != nil:
                append(series, name: name, created: created, to: &output) { DecimalText.append($0, to: &$1) }
            case .nanoseconds(let series) where isCounter && created != nil:
                append(series, name: name, created: created, to: &output) { DecimalText.append(seconds: $0, to: &$1) }
            case .integers(let series):
                append(series, name: name, to: &output) { DecimalText.append($0, to: &$1) }
            case .nanoseconds(let series):
                append(series, name: name, to: &output) { DecimalText.append(seconds: $0, to: &$1) }
            case .numbers(let series):
                append(series, name: name, to: &output) { DecimalText.append($0, to: &$1) }
            case .histograms(let series, let bounds):
                for rank in 0..<series.count {
                    let (labels, value) = series.series(atRank: rank)
                    append(
                        value, bounds: isOpen ? bounds.canonicalTexts : bounds.texts, name: name, labels: labels.text,
                        to: &output)
                    if let created { append(created: created, name: name, labels: labels.text, to: &output) }
                }
            }
        }
        if isOpen { output.append(contentsOf: "# EOF\n".utf8) }
    }

    private static func appendHeader(
        _ descriptor: MetricDescriptor, name: ArraySlice<UInt8>, _ isOpen: Bool, to output: inout [UInt8]
    ) {
        func begin(_ keyword: StaticString) {
            output.append(contentsOf: "# ".utf8)
            output.append(contentsOf: keyword.description.utf8)
            output.append(UInt8(ascii: " "))
            output.append(contentsOf: name)
            output.append(UInt8(ascii: " "))
        }
        begin("HELP")
        for byte in descriptor.help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case UInt8(ascii: "\n"): output.append(contentsOf: #"\n"#.utf8)
            // OpenMetrics escapes it in help too.
            case UInt8(ascii: "\"") where isOpen: output.append(contentsOf: #"\""#.utf8)
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\n"))
        begin("TYPE")
        output.append(contentsOf: descriptor.type.rawValue.utf8)
        output.append(UInt8(ascii: "\n"))
        if isOpen, let unit = descriptor.unit, name.suffix(unit.utf8.count + 1).elementsEqual("_\(unit)".utf8) {
            begin("UNIT")
            output.append(contentsOf: unit.utf8)
            output.append(UInt8(ascii: "\n"))
        }
    }

    /// `_created` of one label set: seconds since 1970.
    private static func append(created: UInt64, name: [UInt8], labels: [UInt8], to output: inout [UInt8]) {
        appendTotal("_created", name: name, labels: labels, to: &output)
        DecimalText.append(seconds: created, to: &output)
        output.append(UInt8(ascii: "\n"))
    }

    private static func append<Value>(
        _ series: Series<Value>, name: [UInt8], created: UInt64? = nil, to output: inout [UInt8],
        number: (Value, inout [UInt8]) -> Void
    ) {
        for rank in 0..<series.count {
            let (labels, value) = series.series(atRank: rank)
            output.append(contentsOf: name)
            if !labels.text.isEmpty {
                output.append(UInt8(ascii: "{"))
                output.append(contentsOf: labels.text)
                output.append(UInt8(ascii: "}"))
            }
            output.append(UInt8(ascii: " "))
            number(value, &output)
            output.append(UInt8(ascii: "\n"))
            if let created { append(created: created, name: Array(name.dropLast(6)), labels: labels.text, to: &output) }
        }
    }

    private static func append(
        _ histogram: DurationHistogram, bounds: [[UInt8]], name: [UInt8], labels: [UInt8],
        to output: inout [UInt8]
    ) {
        var cumulative: UInt64 = 0
        for index in 0...DurationBounds.count {
            cumulative &+= histogram.buckets[index]
            output.append(contentsOf: name)
            output.append(contentsOf: "_bucket{".utf8)
            output.append(contentsOf: labels)
            if !labels.isEmpty { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: "le=\"".utf8)
            if index < DurationBounds.count {
                output.append(contentsOf: bounds[index])
            } else {
                output.append(contentsOf: "+Inf".utf8)
            }
            output.append(contentsOf: "\"} ".utf8)
            DecimalText.append(cumulative, to: &output)
            output.append(UInt8(ascii: "\n"))
        }
        appendTotal("_sum", name: name, labels: labels, to: &output)
        DecimalText.append(seconds: histogram.sum, to: &output)
        output.append(UInt8(ascii: "\n"))
        appendTotal("_count", name: name, labels: labels, to: &output)
        DecimalText.append(histogram.count, to: &output)
        output.append(UInt8(ascii: "\n"))
    }

    private static func appendTotal(
        _ suffix: StaticString, name: [UInt8], labels: [UInt8], to output: inout [UInt8]
    ) {
        output.append(contentsOf: name)
        output.append(contentsOf: suffix.description.utf8)
        if !labels.isEmpty {
            output.append(UInt8(ascii: "{"))
            output.append(contentsOf: labels)
            output.append(UInt8(ascii: "}"))
        }
        output.append(UInt8(ascii: " "))
    }
}
