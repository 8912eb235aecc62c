import OTLPProtobuf
import SwiftProtobuf

/// A collector's answer to metrics or spans that it took (opentelemetry-proto, "ExportMetricsServiceResponse" and
/// "ExportTraceServiceResponse").
package enum OTLPAnswer {
    /// How many data points or spans it rejected nevertheless; 0 for what is no such answer.
    package static func rejected(in bytes: [UInt8]) -> Int {
        guard let answer = try? Otlp_ExportServiceResponse(serializedBytes: bytes) else { return 0 }
        return Int(clamping: max(0, answer.partialSuccess.rejected))
    }
}
