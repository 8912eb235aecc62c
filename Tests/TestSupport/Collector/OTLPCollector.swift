import Foundation

/// A collector of OTLP, which reads what comes with OpenTelemetry's own parsers: collector.py.
package struct OTLPCollector: Sendable {
    /// One request, as it was understood.
    // What JSON was read into, and nobody changes.
    package struct Request: @unchecked Sendable {
        package let path: String
        /// By lower-case name.
        package let headers: [String: String]
        /// As OpenTelemetry's JSON encoding has it.
        package let message: [String: Any]
        /// What was wrong with it.
        package let error: String?

        package var spans: [[String: Any]] {
            let scopes = Self.objects(message, "resourceSpans").flatMap { Self.objects($0, "scopeSpans") }
            return scopes.flatMap { Self.objects($0, "spans") }
        }

        package var metrics: [[String: Any]] {
            let scopes = Self.objects(message, "resourceMetrics").flatMap { Self.objects($0, "scopeMetrics") }
            return scopes.flatMap { Self.objects($0, "metrics") }
        }

        package func metric(_ name: String) -> [String: Any]? { metrics.first { $0["name"] as? String == name } }

        /// The resource of either signal, its attributes by name.
        package var resource: [String: String] {
            let parts = Self.objects(message, "resourceSpans") + Self.objects(message, "resourceMetrics")
            return parts.first.flatMap { $0["resource"] as? [String: Any] }.map { Self.attributes($0) } ?? [:]
        }

        /// Of a span, a data point or a resource, by name, each value as text.
        package static func attributes(_ object: [String: Any], _ key: String = "attributes") -> [String: String] {
            var found: [String: String] = [:]
            for attribute in objects(object, key) {
                guard let name = attribute["key"] as? String,
                    let value = (attribute["value"] as? [String: Any])?.first
                else { continue }
                found[name] = value.key == "boolValue" ? "\(value.value as? Bool ?? false)" : "\(value.value)"
            }
            return found
        }

        private static func objects(_ object: [String: Any], _ key: String) -> [[String: Any]] {
            object[key] as? [[String: Any]] ?? []
        }
    }

    package let port: Int
    private let process: ChildProcess

    /// - Parameter answers: what collector.py takes; the last one holds from then on.
    package init(_ answers: [String] = ["200"], tls: (certificate: String, key: String)? = nil) throws {
        let modules = TestCache.directory + "/python-otlp"
        guard FileManager.default.fileExists(atPath: modules + "/opentelemetry") else {
            throw HarnessError("OpenTelemetry's parsers are not in the cache: run `make deps`")
        }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("collector.py")
        process = try ChildProcess(
            "python3", [script.path] + (tls.map { ["--tls", $0.certificate, $0.key] } ?? []) + answers,
            environment: ["PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"])
        let line = try process.waitForLine(in: process.output) { !$0.isEmpty }
        guard let port = Int(line) else { throw HarnessError("the collector said \(line)") }
        self.port = port
    }

    /// Those that have come so far.
    package var requests: [Request] {
        process.output.lines.dropFirst().compactMap { line in
            guard let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any] else {
                return nil
            }
            return Request(
                path: object["path"] as? String ?? "", headers: object["headers"] as? [String: String] ?? [:],
                message: object["message"] as? [String: Any] ?? [:], error: object["error"] as? String)
        }
    }

    package func stop() { process.stop() }
}
