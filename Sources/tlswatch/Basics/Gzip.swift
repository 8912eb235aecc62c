import CGzip

/// gzip for HTTP answers (RFC 9110 section 8.4.1.3).
enum Gzip {
    /// Whether `Accept-Encoding` names gzip with a weight above zero.
    static func isAccepted(_ header: String?) -> Bool {
        (header ?? "").lowercased().split(separator: ",").prefix(32).contains { coding in
            let parts = coding.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
            guard parts.first == "gzip" else { return false }
            return !parts.dropFirst().contains { $0.hasPrefix("q=") && (Double($0.dropFirst(2)) ?? 0) <= 0 }
        }
    }

    /// `nil` where there is no memory for it: the answer goes out as it is.
    static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: tlswatch_gzip_bound(bytes.count))
        let count = unsafe bytes.withUnsafeBufferPointer { input in
            unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe tlswatch_gzip(input.baseAddress, input.count, output.baseAddress, output.count)
            }
        }
        guard count > 0 else { return nil }
        output.removeLast(output.count - count)
        return output
    }
}
