import OTLPProtobuf

/// Who tells: the resource and the scope of everything that goes out by OTLP (OpenTelemetry, "Resource semantic
/// conventions").
package struct OTLPResource: Sendable {
    /// The release of tlswatch.
    let version: String
    let host: String
    /// What tells several daemons of one host apart: `web1:9899`.
    let instance: String

    package init(version: String, host: String, instance: String) {
        self.version = version
        self.host = host
        self.instance = instance
    }

    static let name = "tlswatch"

    var message: Otlp_Resource {
        var message = Otlp_Resource()
        message.attributes = [
            Otlp_KeyValue("service.name", .stringValue(Self.name)),
            Otlp_KeyValue("service.version", .stringValue(version)),
            Otlp_KeyValue("service.instance.id", .stringValue(instance)),
            Otlp_KeyValue("host.name", .stringValue(host)),
        ]
        return message
    }

    var scope: Otlp_InstrumentationScope {
        var scope = Otlp_InstrumentationScope()
        scope.name = Self.name
        scope.version = version
        return scope
    }
}

extension Otlp_KeyValue {
    init(_ key: String, _ value: Otlp_AnyValue.OneOf_Value) {
        self.init()
        self.key = key
        self.value.value = value
    }
}

extension UInt64 {
    /// Of a wall-clock time.
    init(nanosecondsSince1970 time: Int64) { self = UInt64(Swift.max(0, time)) }
}
