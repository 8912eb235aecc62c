/// A companion is part of the library that it belongs to, to everybody but the attacher: one row, one label.
enum LibraryFolding {
    /// The libraries by identifier, as they are published: each companion folded into its library. One that belongs to none
    /// is no TLS library.
    static func fold(_ libraries: [Int: ObservedLibrary], stacks: TLSStacks = .builtIn) -> [ObservedLibrary] {
        var rows = libraries.filter { !isCompanion($0.value) }
        for (_, companion) in libraries.sorted(by: { $0.key < $1.key }) where isCompanion(companion) {
            let candidates = rows.filter { $0.value.analysis?.observesSessions == true }
                .mapValues { Member(path: $0.path, stack: $0.stack, processes: $0.processes) }
            let member = Member(path: companion.path, stack: companion.stack, processes: companion.processes)
            guard let owner = owner(of: member, among: candidates, stacks) else { continue }
            if companion.profile != 0 { rows[owner]?.companionProfiles.append(companion.profile) }
            if companion.state == .attached { rows[owner]?.companionSites += companion.sites }
            rows[owner]?.omitted += omitted(companion)
        }
        return rows.sorted { $0.key < $1.key }.map(\.value)
    }

    static func isCompanion(_ library: ObservedLibrary) -> Bool { library.analysis?.isCompanion == true }

    private static func omitted(_ companion: ObservedLibrary) -> [String] {
        // It may have nothing to probe: only how its library's transports are read.
        guard companion.analysis?.sites.isEmpty != true else { return [] }
        guard case .unobserved(_, let detail) = companion.state else { return companion.omitted }
        return ["\(companion.path): \(detail)"]
    }

    /// What is known of a library or a companion when it is folded.
    struct Member {
        var path: String
        var stack: String
        var processes: Set<UInt32>
    }

    /// The library beside a companion, or else one that a process maps together with it.
    static func owner(of companion: Member, among libraries: [Int: Member], _ stacks: TLSStacks) -> Int? {
        let candidates = libraries.filter { $0.value.stack == companion.stack }
        let name = stacks.named(companion.stack)?.companion
        func shares(_ library: Member) -> Bool { !library.processes.isDisjoint(with: companion.processes) }
        let beside = candidates.filter { name?.beside($0.value.path) == companion.path }
        return (beside.filter { shares($0.value) }.keys.max() ?? beside.keys.max())
            ?? candidates.filter { shares($0.value) }.keys.min()
    }
}
