import FoundationEssentials
import OTLPProtobuf
import SwiftProtobuf

/// Sessions as OTLP has them (opentelemetry-proto, trace/v1): a span `tls.handshake`, the root of a trace of its own, with
/// child spans for the TCP connection, the key exchange and the rest.
///
/// Attributes have OpenTelemetry's names where it has one (semantic conventions: TLS, network, process, error), else the
/// field's with `tlswatch.` before it.
package enum OTLPSpans {
    static let handshake = "tls.handshake"

    /// An ExportTraceServiceRequest. Any thread. Each call makes new identifiers: what is sent again has to be the same bytes.
    package static func request(
        _ sessions: [Handshake], resource: OTLPResource, identifiers: inout some RandomNumberGenerator
    ) -> [UInt8] {
        var scope = Otlp_ScopeSpans()
        scope.scope = resource.scope
        for session in sessions { append(session, to: &scope.spans, &identifiers) }
        var spans = Otlp_ResourceSpans()
        spans.resource = resource.message
        spans.scopeSpans = [scope]
        var request = Otlp_ExportTraceServiceRequest()
        request.resourceSpans = [spans]
        // Can only fail for required fields, which there are none of.
        return (try? request.serializedBytes()) ?? []
    }

    private static func append(
        _ session: Handshake, to spans: inout [Otlp_Span], _ identifiers: inout some RandomNumberGenerator
    ) {
        let trace = bytes(identifiers.next()) + bytes(identifiers.next())
        func span(_ name: String, _ begin: UInt64, _ end: UInt64, _ number: UInt64) -> Otlp_Span {
            var span = Otlp_Span()
            span.traceID = Data(trace)
            span.spanID = Data(bytes(number))
            span.name = name
            span.startTimeUnixNano = UInt64(nanosecondsSince1970: session.wallTime(of: begin))
            span.endTimeUnixNano = UInt64(nanosecondsSince1970: session.wallTime(of: end))
            return span
        }
        var own = span(handshake, session.start, session.end, identifiers.next())
        own.kind = session.role == .client ? .client : .server
        own.attributes = attributes(of: session)
        if session.outcome == .failed || session.outcome == .timeout {
            own.status.code = .error
            own.status.message = session.reason ?? session.outcome.rawValue
        }
        spans.append(own)
        for interval in (session.connectInterval.map { [$0] } ?? []) + session.innerIntervals {
            var part = span(name(of: interval.part), interval.begin, interval.end, identifiers.next())
            part.parentSpanID = own.spanID
            part.kind = .internal
            spans.append(part)
        }
    }

    /// Never all zeros, which would be no identifier.
    private static func bytes(_ number: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: max(1, number) >> (56 - 8 * $0)) }
    }

    private static func name(of part: HandshakeInterval.Part) -> String {
        switch part {
        case .connect: "tcp.connect"
        case .keyExchange: "tls.key_exchange"
        case .finish: "tls.finish"
        }
    }

    // MARK: attributes

    /// Fields that OpenTelemetry has a name for.
    private static let names = [
        "pid": "process.pid", "exe": "process.executable.path", "tid": "thread.id", "thread": "thread.name",
        "container": "container.id", "pod": "k8s.pod.uid", "cipher": "tls.cipher", "group": "tls.curve",
        "alpn": "tls.next_protocol", "resumed": "tls.resumed", "sni": "server.address",
    ]
    /// Fields that a span tells otherwise.
    private static let otherwise: Set = [
        "time", "duration_ns", "role", "tls_version", "local", "remote", "transport", "reason",
    ]
    /// In the order of the table.
    private static let keys: [(key: String, field: HandshakeField)] = HandshakeField.all.compactMap { field in
        otherwise.contains(field.name) ? nil : (names[field.name] ?? "tlswatch.\(field.name)", field)
    }

    private static func attributes(of session: Handshake) -> [Otlp_KeyValue] {
        var attributes = keys.compactMap { key, field in
            field.value(session).map { Otlp_KeyValue(key, attribute($0)) }
        }
        func add(_ key: String, _ value: Otlp_AnyValue.OneOf_Value) { attributes.append(Otlp_KeyValue(key, value)) }
        add("tls.established", .boolValue(session.outcome == .completed))
        if let version = session.tlsVersion.flatMap(protocolVersion) {
            add("tls.protocol.name", .stringValue(version.name))
            add("tls.protocol.version", .stringValue(version.number))
        }
        for (key, text) in [("network.local", session.local), ("network.peer", session.remote)] {
            guard let address = text.flatMap(AddressText.init), let port = Int64(address.port) else { continue }
            add("\(key).address", .stringValue(String(address.host)))
            add("\(key).port", .intValue(port))
        }
        if session.transport == .quic { add("network.transport", .stringValue("quic")) }
        if session.outcome != .completed { add("error.type", .stringValue(session.reason ?? session.outcome.rawValue)) }
        return attributes
    }

    /// `TLSv1.3`, `DTLSv1.2` and `SSLv3`, taken apart.
    private static func protocolVersion(_ text: String) -> (name: String, number: String)? {
        guard let v = text.firstIndex(of: "v") else { return nil }
        return (text[..<v].lowercased(), String(text[text.index(after: v)...]))
    }

    private static func attribute(_ value: FieldValue) -> Otlp_AnyValue.OneOf_Value {
        switch value {
        case .text(let text): .stringValue(text)
        case .count(let number), .nanoseconds(let number): .intValue(Int64(clamping: number))
        case .flag(let flag): .boolValue(flag)
        case .ratio(let ratio): .doubleValue(ratio)
        case .time(let time): .intValue(time)
        }
    }
}
