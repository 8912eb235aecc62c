/// What discovery is told of the engine's options.
struct CatalogOptions: Sendable {
    /// Whether the phase probes are attached.
    var phases: Phases
    /// As `EngineOptions.defersObjectFree`.
    var defersObjectFree = false
    /// Whether the ClientHello's random is read, to tell sessions from those that packets show.
    var readsRandom = false
    /// Files that are probed at once, at most.
    var maxLibraries: Int
    /// Only these processes and their children; empty observes all.
    var processes: [UInt32]
    /// Whether `LibraryCatalog.sightings` will be asked for.
    var notesSightings: Bool
    /// The TLS stacks that are looked for.
    var stacks = TLSStacks.builtIn
}
