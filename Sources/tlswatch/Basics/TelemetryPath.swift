/// Where the metrics are served: `/metrics`.
enum TelemetryPath {
    static let standard = "/metrics"
    /// Those of the other pages.
    private static let taken = ["/sessions", "/healthz", "/readyz"]
    private static let longest = 128

    /// Whether the path stands for itself in a URL and in a router, and nothing else is served there.
    static func isValid(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path.utf8.count <= longest, !taken.contains(path) else { return false }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        return segments.allSatisfy { segment in
            !segment.isEmpty && segment != "." && segment != ".."
                && segment.utf8.allSatisfy { byte in
                    UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
                        || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                        || "-._~".utf8.contains(byte)
                }
        }
    }
}
