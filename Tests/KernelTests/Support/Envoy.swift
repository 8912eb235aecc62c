import Foundation
import TestSupport

/// Envoy on free loopback ports: a TLS server, which is the client of the server behind it, and a QUIC server. Its log has what was
/// negotiated on each side.
final class Envoy: Sendable {
    /// What its access log has of one request.
    struct Logged: Codable, Sendable {
        var version: String?
        var cipher: String?
        var sni: String?
        var remote: String?
        var proto: String?
        var subject: String?
        var upstreamVersion: String?
        var upstreamCipher: String?
        var upstreamLocal: String?
    }

    private let reserved: [FreePort]
    private let directory: TemporaryDirectory
    let child: ChildProcess
    let path: String

    var port: Int { reserved[0].number }
    /// Of the server that asks its clients for certificates.
    var mutualPort: Int { reserved[1].number }
    var quicPort: Int { reserved[2].number }
    /// Of the server that looks at each ClientHello first: it serves a.example, plain HTTP, and nobody else.
    var inspectedPort: Int { reserved[3].number }
    private var adminPort: Int { reserved[4].number }

    /// - Parameter upstream: the port of the server behind it: /1.2 and /1.3 lead there by that version, a connection each time.
    init(_ certificates: TestCertificates, upstream: Int) throws {
        let cached = try TLSBuild.cache() + "/envoy-1.40.0/envoy/_bin/envoy"
        guard let real = unsafe realpath(cached, nil) else {
            throw HarnessError("Envoy is not in the cache: run `make deps`")
        }
        path = unsafe String(cString: real)
        unsafe free(real)
        directory = try TemporaryDirectory()
        // A port that is free for TCP may be another's for UDP: Envoy ends then, and says so.
        reserved = try (0..<5).map { _ in try FreePort() }
        let listeners = [
            Self.listener(reserved[0].number, certificates, asks: false),
            Self.listener(reserved[1].number, certificates, asks: true),
            Self.datagrams(reserved[2].number, certificates),
            Self.inspected(reserved[3].number, certificates),
        ]
        let clusters = ["1.2", "1.3"].map { Self.cluster($0, port: upstream, certificates) }
        let file = try directory.write(
            """
            {"admin": {"address": \(Self.address(reserved[4].number))}, "static_resources": {
              "listeners": [\(listeners.joined(separator: ", "))],
              "clusters": [\(clusters.joined(separator: ", "))]}}
            """, to: "envoy.json")
        child = try ChildProcess(
            path,
            [
                "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
                "--file-flush-interval-msec", "50",
            ])
        for port in [port, mutualPort, inspectedPort, adminPort] { try FreePort.awaitListening(port, server: child) }
    }

    deinit { child.stop(SIGTERM) }

    // MARK: its configuration

    private static let types = "type.googleapis.com/envoy.extensions"

    private static func identity(_ certificates: TestCertificates) -> String {
        """
        "tls_certificates": [{
          "certificate_chain": {"filename": "\(certificates.chain)"},
          "private_key": {"filename": "\(certificates.key)"}}]
        """
    }

    private static func trust(_ certificates: TestCertificates) -> String {
        """
        "validation_context": {"trusted_ca": {"filename": "\(certificates.authority)"}}
        """
    }

    private static func address(_ port: Int, _ protocols: String = "TCP") -> String {
        """
        {"socket_address": {"address": "127.0.0.1", "port_value": \(port), "protocol": "\(protocols)"}}
        """
    }

    private static func http(_ codec: String) -> String {
        """
        [{"name": "http", "typed_config": {
          "@type": "\(types).filters.network.http_connection_manager.v3.HttpConnectionManager",
          "codec_type": "\(codec)", "stat_prefix": "http",
          "access_log": [{"name": "log", "typed_config": {
            "@type": "\(types).access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": {
              "version": "%DOWNSTREAM_TLS_VERSION%", "cipher": "%DOWNSTREAM_TLS_CIPHER%",
              "sni": "%REQUESTED_SERVER_NAME%", "remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "proto": "%PROTOCOL%",
              "subject": "%DOWNSTREAM_PEER_SUBJECT%", "upstreamVersion": "%UPSTREAM_TLS_VERSION%",
              "upstreamCipher": "%UPSTREAM_TLS_CIPHER%", "upstreamLocal": "%UPSTREAM_LOCAL_ADDRESS%"}}}}],
          "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/1.2"}, "route": {"cluster": "1.2"}},
            {"match": {"prefix": "/1.3"}, "route": {"cluster": "1.3"}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]}]},
          "http_filters": [{"name": "router", "typed_config": {"@type": "\(types).filters.http.router.v3.Router"}}]}}]
        """
    }

    private static func listener(_ port: Int, _ certificates: TestCertificates, asks: Bool) -> String {
        """
        {"address": \(address(port)), "filter_chains": [{
          "transport_socket": {"name": "tls", "typed_config": {
            "@type": "\(types).transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": \(asks),
            "common_tls_context": {
              "alpn_protocols": ["h2", "http/1.1"], \(identity(certificates)), \(trust(certificates))}}},
          "filters": \(http("AUTO"))}]}
        """
    }

    private static func inspected(_ port: Int, _ certificates: TestCertificates) -> String {
        """
        {"name": "inspected", "stat_prefix": "inspected", "address": \(address(port)),
          "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
            "@type": "\(types).filters.listener.tls_inspector.v3.TlsInspector"}}],
          "filter_chains": [
            {"filter_chain_match": {"server_names": ["a.example"], "transport_protocol": "tls"},
              "transport_socket": {"name": "tls", "typed_config": {
                "@type": "\(types).transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], \(identity(certificates))}}},
              "filters": \(http("AUTO"))},
            {"filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": \(http("AUTO"))}]}
        """
    }

    private static func datagrams(_ port: Int, _ certificates: TestCertificates) -> String {
        """
        {"address": \(address(port, "UDP")), "udp_listener_config": {"quic_options": {}}, "filter_chains": [{
          "transport_socket": {"name": "quic", "typed_config": {
            "@type": "\(types).transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": {"common_tls_context": {\(identity(certificates))}}}},
          "filters": \(http("HTTP3"))}]}
        """
    }

    /// A connection for each request, by one version of TLS.
    private static func cluster(_ version: String, port: Int, _ certificates: TestCertificates) -> String {
        let number = "TLSv" + version.replacing(".", with: "_")
        return """
            {"name": "\(version)", "connect_timeout": "5s",
              "load_assignment": {"cluster_name": "\(version)", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": \(address(port))}}]}]},
              "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "\(types).upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http_protocol_options": {}}}},
              "transport_socket": {"name": "tls", "typed_config": {
                "@type": "\(types).transport_sockets.tls.v3.UpstreamTlsContext", "sni": "a.example",
                "common_tls_context": {
                  "alpn_protocols": ["http/1.1"], \(trust(certificates)),
                  "tls_params": {"tls_minimum_protocol_version": "\(number)",
                    "tls_maximum_protocol_version": "\(number)"}}}}}
            """
    }

    // MARK: what it says

    /// Those of its counters that have these names.
    func counters(_ names: [String]) throws -> [String: Int] {
        let answer = try ChildProcess.run(
            "curl",
            ["-q", "--noproxy", "*", "-s", "--max-time", "20", "http://127.0.0.1:\(adminPort)/stats"])
        return answer.output.split(separator: "\n").reduce(into: [:]) { counters, line in
            let parts = line.split(separator: ": ")
            if parts.count == 2, names.contains(String(parts[0])), let value = Int(parts[1]) {
                counters[String(parts[0])] = value
            }
        }
    }

    /// The requests that it has logged.
    func logged() -> [Logged] {
        let decoder = JSONDecoder()
        return child.output.lines.compactMap { try? decoder.decode(Logged.self, from: Data($0.utf8)) }
    }
}
