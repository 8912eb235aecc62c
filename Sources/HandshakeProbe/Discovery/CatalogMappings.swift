import Glibc
import Handshakes
import Kernel

/// From what processes map to the libraries that it is.
extension CatalogState {
    mutating func listMappings() -> [KernelMapping]? {
        switch reader.look(at: .path("/proc"), { [mappings] in mappings.list() }) {
        case .value(let list): return list
        case .hangs:
            // One process holds its maps: each by itself then.
            var all: [KernelMapping] = []
            for pid in ProcessMaps.allProcesses() { all += list(of: pid) ?? [] }
            return all
        }
    }

    mutating func list(of pid: UInt32) -> [KernelMapping]? {
        switch reader.look(at: .process(pid), { [mappings] in mappings.list(of: pid) }) {
        case .value(let list): return list
        case .hangs(let detail):
            // It maps a file of a file system that does not answer: which one is not known.
            let stands = KernelMapping(
                pid: pid, start: 0, end: 0,
                file: MappedInode(device: 0, inode: UInt64(pid), generation: 1, size: 0))
            block(stands, .fileSystemHangs, detail, executablePath(of: pid) ?? Label.unknown)
            return nil
        }
    }

    mutating func resolve(_ mapping: KernelMapping) -> Int? {
        if let known = files[mapping.file] { return known }
        let known = analyses[mapping.file]
        let asking = mounts.isLocal(mapping.file.device, for: mapping.pid) ? nil : FileLooker.link(to: mapping)
        var answer = reader.look(at: .device(mapping.file.device), asking: asking) { [looker] in
            looker.mapped(mapping, known: known)
        }
        var path: String?
        func name(_ reader: ForeignReader) -> (text: String, deleted: Bool)? {
            reader.look(at: .process(mapping.pid)) { ProcessMaps.path(of: mapping) }.value ?? nil
        }
        let root = "/proc/\(mapping.pid)/root"
        if case .value(.failed(let error)) = answer, error != EMFILE, error != ENFILE, let found = name(reader) {
            path = found.text
            if !found.deleted {
                let second = reader.look(at: .path(root + found.text), asking: root + found.text) { [looker] in
                    looker.named(found.text, root: root, expected: mapping.file, known: known)
                }
                // What stood in the way of the mapped file itself says more than what its name leads to.
                if case .value(.looked) = second { answer = second }
            }
        }
        switch answer {
        case .value(.looked(let look)):
            if blocked.resolved(mapping.file) { (hasChanged, hasNews) = (true, true) }
            sightings?.resolved(mapping.file)
            return examine(look, foundAs: path ?? look.path, root: root, isMapped: true)
        case .value(.failed(let error)):
            // A process that has gone cannot be looked at; that is no lack of permission.
            if error == EMFILE || error == ENFILE { unopened.insert(mapping.pid) }
            if Self.isRefusal(error), let path {
                block(mapping, .unreadable, "it cannot be read: \(errnoText(error))", path)
            }
            return nil
        case .value(.another): return nil
        case .hangs(let detail):
            block(mapping, .fileSystemHangs, detail, path ?? name(reader)?.text ?? Label.unknown)
            return nil
        }
    }

    /// Whether an error is the file's, and not that its process has gone.
    private static func isRefusal(_ error: Int32) -> Bool {
        [EACCES, EPERM, EIO, ENOTCONN, ESTALE, ETIMEDOUT, EREMOTEIO, EHOSTDOWN, EKEYREJECTED].contains(error)
    }

    private mutating func block(_ mapping: KernelMapping, _ reason: UnobservedReason, _ detail: String, _ path: String)
    {
        hasChanged = true
        if blocked.note(mapping.file, pid: mapping.pid, reason: reason, detail: detail, path: path) { hasNews = true }
        sightings?.note(
            mapping.file, path: path, stack: Label.unknown,
            kind: .unobserved(reason: reason.rawValue, detail: detail), pid: mapping.pid)
    }

    /// A file by the name that it had when a process mapped it, where that still leads to it.
    mutating func resolve(_ event: MappedFileEvent) -> Int? {
        guard event.name.hasPrefix("/") else { return nil }
        let root = HostView.root
        let answer = reader.look(at: .path(root + event.name), asking: root + event.name) { [looker, files] in
            looker.named(event.name, root: root, seen: files)
        }
        guard case .value(.looked(let look)) = answer else { return nil }
        guard !mappings.knowsInodes || event.hint.isOf(look.inode) else {
            close(look)
            return nil
        }
        return examine(look, foundAs: event.name, root: root, isMapped: true)
    }
}

extension MappedHint {
    /// Whether it is this file, as far as it tells: overlayfs has inodes of its own.
    func isOf(_ file: MappedInode) -> Bool {
        inode == file.inode && UInt32(truncatingIfNeeded: generation) == file.generation
    }
}
