import Foundation
import TestSupport

/// A Prometheus server of the distribution on a free loopback port, with this project's rules, scraping and evaluating
/// every second.
final class Prometheus: Sendable {
    private let reserved: FreePort
    private let child: ChildProcess
    private let directory: TemporaryDirectory

    enum Histograms {
        case classic, native
    }

    /// One series of an answer.
    struct Sample: Sendable {
        var labels: [String: String]
        /// Of a native histogram its count.
        var value: Double
    }

    /// - Parameters:
    ///   - targets: ports on loopback, of the job `tlswatch`. Without any it is the second tier: others write to it.
    ///   - global: the port of the second tier, which gets the sums.
    init(_ targets: [Int], _ histograms: Histograms = .classic, region: String = "", global: Int? = nil) throws {
        directory = try TemporaryDirectory()
        reserved = try FreePort()
        let port = reserved.number
        let names =
            targets.isEmpty
            ? ["recording-rules-global"] : ["recording-rules", "recording-rules-\(histograms)", "alerts"]
        let rules = names.map { Self.rules + "/\($0).yml" }
        // As docs/fleet.md has it, but for the deadline.
        let write = global.map { global in
            """
            remote_write:
              - url: http://127.0.0.1:\(global)/api/v1/write
                send_native_histograms: true
                queue_config: { batch_send_deadline: 1s }
                write_relabel_configs:
                  - { source_labels: [__name__], regex: '.*:sum_rate5m', action: keep }
            """
        }
        let configuration = try directory.write(
            """
            global:
              scrape_interval: 1s
              scrape_timeout: 1s
              evaluation_interval: 1s
              external_labels: { region: '\(region)' }
            rule_files: [\(rules.joined(separator: ", "))]
            scrape_configs:
              - job_name: tlswatch
                static_configs: [{ targets: [\(targets.map { "'127.0.0.1:\($0)'" }.joined(separator: ", "))] }]
            \(write ?? "")

            """, to: "prometheus.yml")
        child = try ChildProcess(
            "prometheus",
            [
                "--config.file=\(configuration)", "--storage.tsdb.path=\(directory.file("data"))",
                "--web.listen-address=127.0.0.1:\(port)", "--log.level=warn",
            ] + (histograms == .native ? ["--enable-feature=native-histograms"] : [])
                + (targets.isEmpty ? ["--web.enable-remote-write-receiver"] : []))
        try FreePort.awaitListening(port, server: child)
        var last = ""
        guard
            try eventually({
                last = try get("/-/ready", [])
                return last.contains("Ready") && !last.contains("Unavailable")
            })
        else { throw HarnessError("prometheus is not ready: \(last) \(child.errors.text.suffix(2000))") }
    }

    var port: Int { reserved.number }

    deinit { child.stop(SIGTERM) }

    /// metrics/ of the source tree.
    static var rules: String {
        let file = URL(fileURLWithPath: #filePath)
        return (0..<4).reduce(file) { folder, _ in folder.deletingLastPathComponent() }.path + "/metrics"
    }

    /// The answer to an instant query: a vector, or a scalar as one sample without labels.
    func query(_ expression: String) throws -> [Sample] {
        let text = try get("/api/v1/query", ["--data-urlencode", "query=\(expression)"])
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(text.utf8)) else {
            throw HarnessError("\(expression): \(text.prefix(500))")
        }
        return answer.samples
    }

    /// The only sample of the answer.
    func value(_ expression: String) throws -> Double? {
        let samples = try query(expression)
        return samples.count == 1 ? samples[0].value : nil
    }

    /// Waits until `rule` was evaluated after now, so on everything that is stored now; its value then.
    func evaluated(_ rule: String) throws -> Double? {
        guard let now = try value("time()") else { throw HarnessError("prometheus does not tell the time") }
        _ = try eventually { try value("timestamp(\(rule))") ?? 0 > now }
        return try value(rule)
    }

    /// The groups of rules as the server tells them.
    func rulesText() throws -> String { try get("/api/v1/rules", []) }

    private func get(_ path: String, _ options: [String]) throws -> String {
        try ChildProcess.run(
            "curl",
            ["-q", "--noproxy", "*", "-sS", "-G", "--max-time", "20"] + options + ["http://127.0.0.1:\(port)\(path)"]
        ).output
    }

    private struct Answer: Decodable {
        var samples: [Sample]

        private enum Key: String, CodingKey {
            case data, resultType, result, metric, value, histogram, count
        }

        init(from decoder: any Decoder) throws {
            let data = try decoder.container(keyedBy: Key.self).nestedContainer(keyedBy: Key.self, forKey: .data)
            if try data.decode(String.self, forKey: .resultType) == "scalar" {
                let pair = try data.nestedUnkeyedContainer(forKey: .result)
                samples = [Sample(labels: [:], value: try Self.number(pair))]
                return
            }
            samples = []
            var list = try data.nestedUnkeyedContainer(forKey: .result)
            while !list.isAtEnd {
                let entry = try list.nestedContainer(keyedBy: Key.self)
                let value =
                    try entry.contains(.value)
                    ? Self.number(entry.nestedUnkeyedContainer(forKey: .value))
                    : Self.count(entry.nestedUnkeyedContainer(forKey: .histogram))
                samples.append(
                    Sample(labels: try entry.decode([String: String].self, forKey: .metric), value: value))
            }
        }

        /// `[1700000000.1, "0.5"]`
        private static func number(_ pair: consuming any UnkeyedDecodingContainer) throws -> Double {
            _ = try pair.decode(Double.self)
            return try parse(pair.decode(String.self))
        }

        /// `[1700000000.1, {"count": "5", …}]`
        private static func count(_ pair: consuming any UnkeyedDecodingContainer) throws -> Double {
            _ = try pair.decode(Double.self)
            return try parse(pair.nestedContainer(keyedBy: Key.self).decode(String.self, forKey: .count))
        }

        private static func parse(_ text: String) throws -> Double {
            guard let number = Double(text.replacing("Inf", with: "inf")) else {
                throw HarnessError("not a number: \(text)")
            }
            return number
        }
    }
}
