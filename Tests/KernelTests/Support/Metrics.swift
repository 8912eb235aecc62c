import Foundation
import TestSupport

/// `tlswatch run` on a loopback port that it chooses.
final class Daemon: Sendable {
    let port: Int
    let child: ChildProcess

    init(_ options: [String] = []) throws {
        child = try ChildProcess(Tlswatch.binary(), ["run", "--listen", "127.0.0.1:0"] + options)
        port = try FreePort.ofDaemon(child)
        var last = ""
        let ready = try eventually {
            let answer = try get("/readyz")
            last = "\(answer)"
            return answer.status == 200 || child.status != nil
        }
        guard ready, child.status == nil else {
            throw HarnessError("tlswatch run is not ready: \(last) \(child.errors.text.suffix(2000))")
        }
    }

    deinit { child.stop(SIGTERM) }

    func get(_ path: String) throws -> (status: Int, body: String) {
        let result = try ChildProcess.run(
            "curl",
            [
                "-q", "--noproxy", "*", "-s", "--max-time", "10", "-w", "\n%{http_code}",
                "http://127.0.0.1:\(port)\(path)",
            ])
        var lines = result.output.components(separatedBy: "\n")
        guard let code = lines.popLast().flatMap({ Int($0) }) else {
            throw HarnessError("GET \(path): \(result.status) \(result.output.prefix(500))")
        }
        return (code, lines.joined(separator: "\n"))
    }

    func metrics() throws -> Metrics {
        let answer = try get("/metrics")
        guard answer.status == 200 else { throw HarnessError("/metrics answers \(answer.status): \(answer.body)") }
        return try Metrics(answer.body)
    }

    /// What a scrape tells is as old as that at most; nothing can be new sooner.
    private static let staleness = Duration.milliseconds(600)

    /// Scrapes until the sessions have come to rest in the expected state, and returns the last scrape
    /// whether or not they did. A loss stays visible in it; only what is still on its way may come late:
    /// the scrape itself is a process and a socket that the probes see.
    func quietMetrics(within limit: Duration = .seconds(15), where done: (Metrics) -> Bool = { _ in true }) throws
        -> Metrics
    {
        var latest = try metrics()
        var changed = ContinuousClock.now
        _ = try eventually(within: limit) {
            let next = try metrics()
            if next.sum("tlswatch_handshakes_total") != latest.sum("tlswatch_handshakes_total") {
                changed = .now
            }
            latest = next
            return changed.duration(to: .now) >= Self.staleness && done(next)
        }
        return latest
    }
}

/// Samples of the Prometheus text format 0.0.4.
struct Metrics: Sendable {
    struct Sample: Sendable {
        let name: String
        let labels: [String: String]
        let value: Double
    }

    let text: String
    let samples: [Sample]

    init(_ text: String) throws {
        self.text = text
        samples = try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            guard let sample = Self.sample(line) else { throw HarnessError("not a sample: \(line)") }
            return sample
        }
    }

    func all(_ name: String, _ labels: [String: String] = [:]) -> [Sample] {
        samples.filter { sample in
            sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
        }
    }

    /// The sum over all series that carry the labels; 0 where there is none.
    func sum(_ name: String, _ labels: [String: String] = [:]) -> Double {
        all(name, labels).reduce(0) { $0 + $1.value }
    }

    private static func sample(_ line: Substring) -> Sample? {
        var rest = line
        let name = rest.prefix { $0 != "{" && $0 != " " }
        rest.removeFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest.removeFirst()
            while let next = rest.first, next != "}" {
                guard let (key, value) = label(&rest) else { return nil }
                labels[key] = value
            }
            guard !rest.isEmpty else { return nil }
            rest.removeFirst()
        }
        guard let value = rest.split(separator: " ").first.flatMap({ Double($0.replacing("+Inf", with: "inf")) })
        else { return nil }
        return Sample(name: String(name), labels: labels, value: value)
    }

    /// Takes one `key="value"` and the comma behind it.
    private static func label(_ rest: inout Substring) -> (String, String)? {
        guard let equals = rest.firstIndex(of: "=") else { return nil }
        let key = String(rest[..<equals])
        rest = rest[rest.index(after: equals)...]
        guard rest.first == "\"" else { return nil }
        rest.removeFirst()
        var value = ""
        while let next = rest.popFirst(), next != "\"" {
            guard next == "\\" else {
                value.append(next)
                continue
            }
            guard let escaped = rest.popFirst() else { return nil }
            value.append(escaped == "n" ? "\n" : escaped)
        }
        if rest.first == "," { rest.removeFirst() }
        return (key, value)
    }
}
