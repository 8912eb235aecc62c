import Handshakes

/// What a scrape of a snapshot gives.
package func text(_ snapshot: MetricsSnapshot) -> String {
    var bytes: [UInt8] = []
    TextExposition.encode(snapshot, into: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

/// The sample lines of one metric, without the rest.
package func lines(_ name: String, in text: String) -> [String] {
    text.split(separator: "\n").filter { $0.hasPrefix(name + "{") || $0.hasPrefix(name + " ") }.map(String.init)
}
