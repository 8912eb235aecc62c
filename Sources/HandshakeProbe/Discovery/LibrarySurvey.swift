import Code
import Glibc
import Handshakes
import Kernel

/// The TLS libraries of the host as they can be read, with nothing attached: for `doctor` and `targets`.
package enum LibrarySurvey {
    package struct Entry: Sendable {
        package var path: String
        package var stack: String
        package var version: String?
        package var sites: [ProbeSite]
        /// What is missing, and why.
        package var notes: [String]
        /// Whether the daemon would observe it, by the sites that it can afford to probe.
        package var observable: Bool
        package var processes: Set<UInt32>
    }

    /// The linker cache's libraries and those that running processes map, each file once, under the kernel's name for it.
    /// What cannot be looked at is among them; what does not answer is given up on.
    package static func host() -> [Entry] {
        var survey = Survey()
        survey.cached()
        for pid in ProcessMaps.allProcesses() { survey.process(pid) }
        return survey.finished()
    }
}

/// One pass over the host.
private struct Survey {
    private var inspector = FileInspector(reader: ForeignReader(.first), mappings: nil, stacks: .builtIn)
    private var reader: ForeignReader { inspector.reader }
    private var entries: [LibrarySurvey.Entry] = []
    /// Of the entries those that belong to another one.
    private var companions: Set<Int> = []
    /// What each file led to, and each mapping by the kernel's words for it.
    private var indices: [FileIdentity: Int?] = [:]
    private var mappings: [String: FileIdentity?] = [:]
    private var blocked = BlockedFiles()

    mutating func cached() {
        let names = reader.look(at: .path(LinkerCache.path)) { [stacks = inspector.stacks] in
            LinkerCache.libraries(stacks.libraries)
        }
        for path in names.value ?? [] {
            if case .looked(let look, let name) = inspector.named(path, root: HostView.root) {
                keep(look, foundAs: name, root: HostView.root)
            }
        }
    }

    mutating func process(_ pid: UInt32) {
        let answer = reader.look(at: .process(pid)) { ProcessMaps.codeFiles(of: pid) }
        if case .hangs(let detail) = answer {
            let stands = MappedInode(device: 0, inode: UInt64(pid), generation: 1, size: 0)
            _ = blocked.note(
                stands, pid: pid, reason: .fileSystemHangs, detail: detail,
                path: executablePath(of: pid) ?? Label.unknown)
        }
        for file in (answer.value ?? nil) ?? [] {
            let key = file.key + file.path
            let identity: FileIdentity?
            if let known = mappings[key] {
                identity = known
            } else {
                identity = look(at: file, of: pid)
                if identity != nil { mappings[key] = .some(identity) }
            }
            if let identity, let index = indices[identity] ?? nil { entries[index].processes.insert(pid) }
        }
    }

    private mutating func look(at file: MappedFile, of pid: UInt32) -> FileIdentity? {
        guard let mapping = KernelMapping(file, of: pid) else { return nil }
        let verdict = inspector.inspect(mapping, name: (file.path, file.deleted))
        if case .looked(let look, let name) = verdict {
            keep(look, foundAs: name, root: "/proc/\(pid)/root")
            return look.identity
        }
        if let refusal = verdict.refusal {
            _ = blocked.note(
                mapping.file, pid: pid, reason: refusal.reason, detail: refusal.detail, path: refusal.path)
        }
        return nil
    }

    private mutating func keep(_ look: FileLook, foundAs path: String, root: String) {
        defer { inspector.close(look) }
        guard indices[look.identity] == nil else { return }
        guard var entry = LibrarySurvey.Entry(look) else {
            indices[look.identity] = .some(nil)
            return
        }
        if let companion = inspector.companion(of: look, foundAs: path, root: root) {
            if case .analysed(let analysis) = companion.look.finding { entry.version = analysis.version }
            inspector.close(companion.look)
        }
        if case .analysed(let analysis) = look.finding, analysis.isCompanion { companions.insert(entries.count) }
        indices[look.identity] = entries.count
        entries.append(entry)
    }

    /// With each companion in its library's entry, and what could not be looked at.
    func finished() -> [LibrarySurvey.Entry] {
        func member(_ index: Int) -> LibraryFolding.Member {
            let entry = entries[index]
            return LibraryFolding.Member(path: entry.path, stack: entry.stack, processes: entry.processes)
        }
        var rows = entries
        let owners = entries.indices.filter { entries[$0].sites.contains { $0.hook.beginsSessions } }
        let candidates = Dictionary(uniqueKeysWithValues: owners.map { ($0, member($0)) })
        for companion in companions.sorted() {
            let owner = LibraryFolding.owner(of: member(companion), among: candidates, inspector.stacks)
            guard let owner else { continue }
            rows[owner].sites += entries[companion].sites
            rows[owner].notes += entries[companion].notes
        }
        rows = rows.indices.filter { !companions.contains($0) }.map { rows[$0] }
        let observed = rows.filter(\.observable).reduce(into: Set()) { $0.formUnion($1.processes) }
        return rows
            + blocked.rows(observed: observed).map { row in
                var entry = LibrarySurvey.Entry(path: row.path, stack: row.stack)
                entry.processes = row.processes
                if case .unobserved(let reason, let detail) = row.state {
                    entry.notes = ["\(reason.rawValue): \(detail)"]
                }
                return entry
            }
    }
}

extension LibrarySurvey.Entry {
    fileprivate init(path: String, stack: String) {
        self.init(path: path, stack: stack, version: nil, sites: [], notes: [], observable: false, processes: [])
    }

    /// `nil` where the file holds no TLS stack.
    fileprivate init?(_ look: FileLook) {
        if case .analysed(let analysis) = look.finding {
            self.init(path: look.path, stack: analysis.stack)
            version = analysis.version
            sites = analysis.allSites
            notes = analysis.notes
            observable = analysis.isObserved(by: analysis.sites.filter(\.isAffordable))
        } else if let (stack, reason, detail) = look.finding.unobserved {
            self.init(path: look.path, stack: stack)
            notes = ["\(reason.rawValue): \(detail)"]
        } else {
            return nil
        }
    }
}
