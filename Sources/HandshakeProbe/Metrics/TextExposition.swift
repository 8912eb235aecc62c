/// Prometheus text format 0.0.4.
public enum TextExposition {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Appends `snapshot` to `output`, which the caller empties (keeping its capacity) and reuses. Any thread.
    public static func encode(_ snapshot: MetricsSnapshot, into output: inout [UInt8]) {
        for family in snapshot.families {
            appendHeader(family.descriptor, to: &output)
            let name = Array(family.descriptor.name.utf8)
            switch family.samples {
            case .integers(let series):
                append(series, name: name, to: &output) { DecimalText.append($0, to: &$1) }
            case .nanoseconds(let series):
                append(series, name: name, to: &output) { DecimalText.append(seconds: $0, to: &$1) }
            case .numbers(let series):
                append(series, name: name, to: &output) { DecimalText.append($0, to: &$1) }
            case .histograms(let series, let bounds):
                for rank in 0..<series.count {
                    let (labels, value) = series.series(atRank: rank)
                    append(value, bounds: bounds, name: name, labels: labels.text, to: &output)
                }
            }
        }
    }

    private static func appendHeader(_ descriptor: MetricDescriptor, to output: inout [UInt8]) {
        output.append(contentsOf: "# HELP ".utf8)
        output.append(contentsOf: descriptor.name.utf8)
        output.append(UInt8(ascii: " "))
        for byte in descriptor.help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case UInt8(ascii: "\n"): output.append(contentsOf: #"\n"#.utf8)
            default: output.append(byte)
            }
        }
        output.append(contentsOf: "\n# TYPE ".utf8)
        output.append(contentsOf: descriptor.name.utf8)
        output.append(UInt8(ascii: " "))
        output.append(contentsOf: descriptor.type.rawValue.utf8)
        output.append(UInt8(ascii: "\n"))
    }

    private static func append<Value>(
        _ series: Series<Value>, name: [UInt8], to output: inout [UInt8], number: (Value, inout [UInt8]) -> Void
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
        }
    }

    private static func append(
        _ histogram: DurationHistogram, bounds: DurationBounds, name: [UInt8], labels: [UInt8],
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
                output.append(contentsOf: bounds.texts[index])
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
