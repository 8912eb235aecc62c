/// The text formats in which metrics are served, and the choice among them.
public enum ExpositionFormat: Sendable, CaseIterable {
    /// Prometheus text format 0.0.4.
    case text004
    /// Prometheus text format 1.0.0. Every name here is valid in both, so that only the header differs.
    case text100
    /// OpenMetrics 1.0.0.
    case openMetrics

    public var contentType: String {
        switch self {
        case .text004: "text/plain; version=0.0.4; charset=utf-8"
        case .text100: "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
        }
    }

    /// What a scraper asks for (RFC 9110 section 12.5.1): the one with the highest weight, among equals the first
    /// named. Text 0.0.4 where nothing that is asked for is known: a scraper that sends no `Accept` reads that.
    public static func negotiate(_ accept: String?) -> ExpositionFormat {
        var best: (format: ExpositionFormat, weight: Double)?
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
            guard let format = format(media, version: parameters["version"]), weight > 0, weight <= 1 else { continue }
            if weight > best?.weight ?? 0 { best = (format, weight) }
        }
        return best?.format ?? .text004
    }

    private static func format(_ media: String, version: String?) -> ExpositionFormat? {
        switch (media, version) {
        case ("application/openmetrics-text", nil), ("application/openmetrics-text", "1.0.0"): .openMetrics
        case ("text/plain", "1.0.0"): .text100
        case ("text/plain", nil), ("text/plain", "0.0.4"), ("text/*", _), ("*/*", _): .text004
        default: nil
        }
    }
}
