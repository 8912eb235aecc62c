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
        /// Whether its state machine, or of a library beside one its own hook, has a site that the kernel emulates.
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
    private struct Found: Sendable {
        var identity: FileIdentity
        var entry: LibrarySurvey.Entry?
        var isCompanion = false
    }

    private enum Outcome: Sendable {
        case found(Found)
        case failed(Int32)
    }

    private let reader = ForeignReader(.first)
    private let own = OpenFile("/proc/self/exe")?.identity
    private var entries: [LibrarySurvey.Entry] = []
    private var companions: [LibrarySurvey.Entry] = []
    private var indices: [FileIdentity: Int?] = [:]
    private var companionIndices: [FileIdentity: Int] = [:]
    private var mappings: [String: FileIdentity?] = [:]
    private var blocked = BlockedFiles()
    private var mounts = MountTable()

    mutating func cached() {
        let names = reader.look(at: .path(LinkerCache.path)) {
            LinkerCache.libraries(TLSStacks.builtIn.libraries)
        }
        for path in names.value ?? [] {
            let answer = reader.look(at: .path(HostView.root + path)) { [own] () -> Outcome in
                guard let file = OpenFile(HostView.root + path) else { return .failed(errno) }
                return .found(Self.survey(file, path, root: HostView.root, own: own))
            }
            if case .value(.found(let found)) = answer { keep(found) }
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
        for mapping in (answer.value ?? nil) ?? [] {
            let key = mapping.key + mapping.path
            let identity: FileIdentity?
            if let known = mappings[key] {
                identity = known
            } else {
                identity = look(at: mapping, of: pid)
                if identity != nil { mappings[key] = .some(identity) }
            }
            guard let identity else { continue }
            if let index = indices[identity] ?? nil { entries[index].processes.insert(pid) }
            if let index = companionIndices[identity] { companions[index].processes.insert(pid) }
        }
    }

    private mutating func look(at mapping: MappedFile, of pid: UInt32) -> FileIdentity? {
        let link = "/proc/\(pid)/map_files/\(mapping.range)"
        let asking = mounts.isLocal(mapping.inode.device, for: pid) ? nil : link
        let answer = reader.look(at: .device(mapping.inode.device), asking: asking) { [own] () -> Outcome in
            guard let file = OpenFile(link) else { return .failed(errno) }
            return .found(Self.survey(file, mapping.path, root: "/proc/\(pid)/root", own: own))
        }
        switch answer {
        case .value(.found(let found)):
            keep(found)
            return found.identity
        case .hangs(let detail):
            block(mapping, pid, .fileSystemHangs, detail)
            return nil
        case .value(.failed(let error)):
            // map_files wants CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; the name will do while it is the same file.
            let name = "/proc/\(pid)/root" + mapping.path
            let second =
                mapping.deleted
                ? nil
                : reader.look(at: .path(name)) { [own] () -> Found? in
                    OpenFile(name).map { Self.survey($0, mapping.path, root: "/proc/\(pid)/root", own: own) }
                }
            if let found = second?.value ?? nil {
                keep(found)
                return found.identity
            }
            if error == EACCES || error == EPERM || error == EIO || error == ENOTCONN || error == ESTALE {
                block(mapping, pid, .unreadable, "it cannot be read: \(errnoText(error))")
            }
            return nil
        }
    }

    private mutating func block(_ mapping: MappedFile, _ pid: UInt32, _ reason: UnobservedReason, _ detail: String) {
        _ = blocked.note(mapping.inode, pid: pid, reason: reason, detail: detail, path: mapping.path)
    }

    private mutating func keep(_ found: Found) {
        guard indices[found.identity] == nil, companionIndices[found.identity] == nil else { return }
        guard let entry = found.entry else {
            indices[found.identity] = .some(nil)
            return
        }
        if found.isCompanion {
            companionIndices[found.identity] = companions.count
            companions.append(entry)
        } else {
            indices[found.identity] = entries.count
            entries.append(entry)
        }
    }

    /// With each libcrypto in its libssl's entry, and what could not be looked at.
    func finished() -> [LibrarySurvey.Entry] {
        var entries = entries
        for companion in companions {
            let owner =
                entries.indices.first { Companion.isBeside(crypto: companion.path, ssl: entries[$0].path) }
                ?? entries.indices.first {
                    entries[$0].observable && !entries[$0].processes.isDisjoint(with: companion.processes)
                }
            guard let owner else { continue }
            entries[owner].sites += companion.sites
            entries[owner].notes += companion.notes
        }
        let observed = entries.filter(\.observable).reduce(into: Set()) { $0.formUnion($1.processes) }
        return entries
            + blocked.rows(observed: observed).map { row in
                var entry = LibrarySurvey.Entry(
                    path: row.path, stack: row.stack, version: nil, sites: [], notes: [], observable: false,
                    processes: row.processes)
                if case .unobserved(let reason, let detail) = row.state {
                    entry.notes = ["\(reason.rawValue): \(detail)"]
                }
                return entry
            }
    }

    // MARK: on the reader's thread

    private static func survey(_ file: OpenFile, _ path: String, root: String, own: FileIdentity?) -> Found {
        var found = Found(identity: file.identity)
        if file.identity == own { return found }
        let name = file.kernelPath ?? path
        let finding = FileLook.finding(file)
        if case .analysed(let analysis) = finding {
            let values = FileLook(file, path: path, inode: MappedInode(file), own: nil, isSeen: true)
            let essential = analysis.observesSessions ? HookKind.call : .pause
            found.isCompanion = LibraryFolding.isCompanion(analysis)
            found.entry = LibrarySurvey.Entry(
                path: name, stack: analysis.stack,
                version: analysis.version ?? Companion(of: values, path: path, root: root)?.version(root: root),
                sites: analysis.sites, notes: analysis.notes,
                observable: analysis.sites.contains { $0.hook == essential && $0.mode == .emulated }, processes: [])
        } else if let (stack, reason, detail) = finding.unobserved {
            found.entry = LibrarySurvey.Entry(
                path: name, stack: stack, version: nil, sites: [], notes: ["\(reason.rawValue): \(detail)"],
                observable: false, processes: [])
        }
        return found
    }
}
