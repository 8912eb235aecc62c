/// The TLS libraries of the host as they can be read, with nothing attached: for `doctor` and `targets`.
public enum LibrarySurvey {
    public struct Entry: Sendable {
        public var path: String
        public var stack: String
        public var version: String?
        public var sites: [ProbeSite]
        /// What is missing, and why.
        public var notes: [String]
        /// Whether its state machine, or of a library beside one its own hook, has a site that the kernel emulates.
        public var observable: Bool
        public var processes: Set<UInt32>
    }

    /// The linker cache's libraries and those that running processes map.
    public static func host() -> [Entry] {
        var entries: [Entry] = []
        var indices: [FileIdentity: Int?] = [:]
        let own = OpenFile("/proc/self/exe")?.identity
        func index(_ file: borrowing OpenFile, _ path: String, root: String) -> Int? {
            if let known = indices[file.identity] { return known }
            if file.identity == own { return nil }
            let entry = survey(file, path, root: root)
            indices[file.identity] = .some(entry == nil ? nil : entries.count)
            if let entry { entries.append(entry) }
            return entry == nil ? nil : entries.count - 1
        }
        for path in LinkerCache.libraries(["libssl.so", "libcrypto.so"]) {
            if let file = OpenFile(HostView.root + path) { _ = index(file, path, root: HostView.root) }
        }
        var mappings: [String: Int?] = [:]
        for pid in ProcessMaps.allProcesses() {
            for mapping in ProcessMaps.codeFiles(of: pid) ?? [] {
                let key = mapping.key + mapping.path
                let found: Int?
                if let known = mappings[key] {
                    found = known
                } else {
                    switch ProcessMaps.open(mapping, of: pid) {
                    case .failed: found = nil
                    case .opened(let file, _): found = index(file, mapping.path, root: "/proc/\(pid)/root")
                    }
                    mappings[key] = .some(found)
                }
                if let found { entries[found].processes.insert(pid) }
            }
        }
        return entries
    }

    private static func survey(_ file: borrowing OpenFile, _ path: String, root: String) -> Entry? {
        guard let elf = try? ELFFile(fileDescriptor: file.descriptor) else { return nil }
        func unsupported() -> Entry? {
            UnsupportedStacks.recognise(elf).map { stack in
                Entry(
                    path: path, stack: stack, version: nil, sites: [],
                    notes: ["unknown_stack: recognised, and cannot be observed yet"], observable: false, processes: [])
            }
        }
        do {
            guard let analysis = try TLSStacks.analyse(elf), !analysis.sites.isEmpty || !analysis.notes.isEmpty else {
                return unsupported()
            }
            let companion = analysis.version == nil ? Companion(of: file, path: path, root: root)?.version() : nil
            let essential = analysis.observesSessions ? HookKind.stateMachine : .pause
            return Entry(
                path: path, stack: analysis.stack, version: analysis.version ?? companion,
                sites: analysis.sites, notes: analysis.notes,
                observable: analysis.sites.contains { $0.hook == essential && $0.mode == .emulated }, processes: [])
        } catch {
            return unsupported()
                ?? Entry(
                    path: path, stack: "unknown", version: nil, sites: [], notes: ["\(error)"], observable: false,
                    processes: [])
        }
    }
}
