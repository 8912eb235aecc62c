import HandshakeProbe
import Handshakes

/// What a capture says at its end of the programs and libraries that took part and were not observed: a silent zero is
/// worse than a wrong one.
enum UnobservedReport {
    /// Lines, at most, and one that counts the rest.
    private static let limit = 10

    /// - Parameter byWire: whether handshakes of all programs were seen in packets.
    static func lines(_ sightings: [Sighting], omitted: Int, byWire: Bool = false) -> [String] {
        var lines = sightings.prefix(limit).map { line($0, byWire: byWire) }
        let rest = sightings.count - lines.count + omitted
        if rest > 0 { lines.append("not observed: \(rest) more; see 'tlswatch targets'") }
        return lines
    }

    private static func line(_ sighting: Sighting, byWire: Bool) -> String {
        let path = PeerText.clean(sighting.path)
        switch sighting.kind {
        case .unobserved(let reason, let detail):
            let how = byWire ? "observed by packets only" : "not observed"
            return "\(how): \(path)\(user(sighting)): \(PeerText.clean(detail)) (\(reason))"
        case .late(let delay):
            let when = delay.map { "\(max(1, $0 / 1_000_000)) ms after" } ?? "after"
            return "observed late: \(path)\(user(sighting)): probes were attached \(when) the library was loaded; "
                + "handshakes before that are missing"
        }
    }

    private static func user(_ sighting: Sighting) -> String {
        guard let command = sighting.command.map(PeerText.clean), !command.isEmpty else { return "" }
        let more = sighting.processes.count - 1
        return more > 0 ? " (\(command) and \(more) more \(more == 1 ? "process" : "processes"))" : " (\(command))"
    }
}
