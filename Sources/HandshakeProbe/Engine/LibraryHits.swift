import Handshakes

/// The hits of each library's probes, for as long as the engine runs: those of libraries that were let go are kept
/// under `other`, or hits would no longer equal what was submitted and dropped. Owned by the ring's thread.
struct LibraryHits {
    private struct Entry {
        var stack: String
        /// What the profile's counter stood at when it became this library's.
        var base: UInt64
    }

    private var entries: [Int: Entry] = [:]
    /// Hits of libraries whose profile went to another one.
    private var retired: [String: UInt64] = [:]

    /// A library has taken its profile, maybe a while ago: its probes may have been hit since.
    mutating func register(_ library: ObservedLibrary) {
        let before = library.hitsBefore
        if let former = entries[library.profile] { retired[former.stack, default: 0] &+= before &- former.base }
        entries[library.profile] = Entry(stack: library.stack, base: before)
    }

    /// The hits by library; `count` reads a profile's counter. Those of a libcrypto are its libssl's.
    func samples(live: [ObservedLibrary], count: (Int) -> UInt64) -> [CoverageSample.Hits] {
        var names: [Int: String] = [:]
        for library in live {
            for profile in library.profiles { names[profile] = library.path }
        }
        var samples: [CoverageSample.Hits] = []
        var gone = retired
        for (profile, entry) in entries.sorted(by: { $0.key < $1.key }) {
            let hits = count(profile) &- entry.base
            guard let name = names[profile] else {
                gone[entry.stack, default: 0] &+= hits
                continue
            }
            if let same = samples.firstIndex(where: { ($0.stack, $0.library) == (entry.stack, name) }) {
                samples[same].count &+= hits
            } else {
                samples.append(.init(stack: entry.stack, library: name, count: hits))
            }
        }
        for (stack, hits) in gone.sorted(by: { $0.key < $1.key }) {
            samples.append(.init(stack: stack, library: Label.other, count: hits))
        }
        return samples
    }
}
