import Handshakes

/// `sni`, `sni:50`.
struct ExtraLabelArgument {
    static let largestCap = 10_000

    let option: ExtraLabelOption

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let label = parts.first.flatMap({ ExtraLabel(rawValue: String($0)) }) else { return nil }
        guard parts.count == 2 else {
            option = ExtraLabelOption(label)
            return
        }
        guard let cap = Int(parts[1]), (1...Self.largestCap).contains(cap) else { return nil }
        option = ExtraLabelOption(label, cap: cap)
    }
}
