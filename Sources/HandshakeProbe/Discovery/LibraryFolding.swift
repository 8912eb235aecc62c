/// A libcrypto is part of the libssl that uses it, to everybody but the attacher: one row, one label.
enum LibraryFolding {
    /// The libraries by identifier, as they are published: each libcrypto folded into its libssl. One that belongs to none
    /// is no TLS library.
    static func fold(_ libraries: [Int: ObservedLibrary]) -> [ObservedLibrary] {
        var rows = libraries.filter { !isCompanion($0.value) }
        for (_, companion) in libraries.sorted(by: { $0.key < $1.key }) where isCompanion(companion) {
            guard let owner = owner(of: companion, among: rows) else { continue }
            if companion.profile != 0 { rows[owner]?.companionProfiles.append(companion.profile) }
            if companion.state == .attached { rows[owner]?.companionSites += companion.sites }
            rows[owner]?.omitted += omitted(companion)
        }
        return rows.sorted { $0.key < $1.key }.map(\.value)
    }

    /// It has nothing of a handshake, only what suspends one.
    static func isCompanion(_ library: ObservedLibrary) -> Bool { library.analysis.map(isCompanion) ?? false }

    static func isCompanion(_ analysis: LibraryAnalysis) -> Bool {
        !analysis.observesSessions && analysis.sites.allSatisfy { $0.hook == .pause }
    }

    private static func omitted(_ companion: ObservedLibrary) -> [String] {
        guard case .unobserved(_, let detail) = companion.state else { return companion.omitted }
        return ["\(companion.path): \(detail)"]
    }

    /// The libssl beside it, or else one that a process maps together with it.
    private static func owner(of companion: ObservedLibrary, among rows: [Int: ObservedLibrary]) -> Int? {
        let candidates = rows.filter { $0.value.analysis?.observesSessions == true }
        func shares(_ library: ObservedLibrary) -> Bool { !library.processes.isDisjoint(with: companion.processes) }
        let beside = candidates.filter { Companion.isBeside(crypto: companion.path, ssl: $0.value.path) }
        return (beside.filter { shares($0.value) }.keys.max() ?? beside.keys.max())
            ?? candidates.filter { shares($0.value) }.keys.min()
    }
}
