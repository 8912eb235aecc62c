/// What a scraper asked for: a format, and how names beyond the old rules are to be written.
public struct Exposition: Sendable, Equatable {
    public enum Format: Sendable {
        /// Prometheus text format 0.0.4.
        case text004
        /// Prometheus text format 1.0.0. Every name here is valid in both, so that only the header differs.
        case text100
        /// OpenMetrics 1.0.0.
        case openMetrics
        /// Delimited `io.prometheus.client.MetricFamily` messages: the one that carries native histograms.
        case protobuf
    }

    /// Prometheus's escaping schemes for names (its "UTF-8 in Prometheus" proposal). Every name here is valid under the
    /// old rules, which all schemes but one leave as they are.
    public enum Escaping: String, Sendable {
        case underscores, values
        case allowUTF8 = "allow-utf-8"
        /// Underscores are doubled, so that the dots' own escape can be told from them.
        case dots
    }

    public var format: Format
    /// `nil` where the scraper named none.
    public var escaping: Escaping?

    public init(_ format: Format = .text004, escaping: Escaping? = nil) {
        self.format = format
        self.escaping = escaping
    }

    package var contentType: String {
        switch format {
        case .text004: "text/plain; version=0.0.4; charset=utf-8" + (escaping.map { "; escaping=\($0.rawValue)" } ?? "")
        case .text100: "text/plain; version=1.0.0; charset=utf-8; escaping=\((escaping ?? .underscores).rawValue)"
        case .openMetrics:
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=\((escaping ?? .underscores).rawValue)"
        case .protobuf:
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
                + (escaping.map { "; escaping=\($0.rawValue)" } ?? "")
        }
    }

    /// What a scraper asks for (RFC 9110 section 12.5.1): the one with the highest weight, among equals the first
    /// named. Text 0.0.4 where nothing that is asked for is known: a scraper that sends no `Accept` reads that.
    package static func negotiate(_ accept: String?) -> Exposition {
        var best: (exposition: Exposition, weight: Double)?
        for range in (accept ?? "").split(separator: ",").prefix(32) {
            let parts = range.split(separator: ";").map { part in
                String(part.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
            }
            guard let media = parts.first?.lowercased() else { continue }
            var parameters: [String: String] = [:]
            for parameter in parts.dropFirst() {
                let pair = parameter.split(separator: "=", maxSplits: 1).map(String.init)
                if pair.count == 2 {
                    parameters[pair[0].lowercased()] = pair[1].filter { $0 != "\"" }
                }
            }
            let weight = parameters["q"].map { Double($0) ?? 0 } ?? 1
            guard let format = format(media, parameters), weight > 0, weight <= 1 else { continue }
            if weight > best?.weight ?? 0 {
                best = (Exposition(format, escaping: parameters["escaping"].flatMap(Escaping.init)), weight)
            }
        }
        return best?.exposition ?? Exposition()
    }

    private static func format(_ media: String, _ parameters: [String: String]) -> Format? {
        switch (media, parameters["version"]) {
        case ("application/openmetrics-text", nil), ("application/openmetrics-text", "1.0.0"): .openMetrics
        case ("text/plain", "1.0.0"): .text100
        case ("text/plain", nil), ("text/plain", "0.0.4"), ("text/*", _), ("*/*", _): .text004
        case ("application/vnd.google.protobuf", _)
        where parameters["proto"] == "io.prometheus.client.MetricFamily" && parameters["encoding"] == "delimited":
            .protobuf
        default: nil
        }
    }
}

extension String {
    /// What the escaping scheme `dots` makes of a name without dots.
    var doublingUnderscores: String {
        split(separator: "_", omittingEmptySubsequences: false).joined(separator: "__")
    }
}
