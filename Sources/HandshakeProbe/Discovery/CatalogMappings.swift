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
        let verdict = inspector.inspect(mapping, known: analyses[mapping.file])
        switch verdict {
        case .looked(let look, let path):
            if blocked.resolved(mapping.file) { (hasChanged, hasNews) = (true, true) }
            sightings?.resolved(mapping.file)
            return examine(look, foundAs: path, root: "/proc/\(mapping.pid)/root", isMapped: true)
        case .failed(EMFILE, _), .failed(ENFILE, _): unopened.insert(mapping.pid)
        case .failed, .another, .hangs: break
        }
        if let refusal = verdict.refusal { block(mapping, refusal.reason, refusal.detail, refusal.path) }
        return nil
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
        guard case .looked(let look, _) = inspector.named(event.name, root: root, seen: files) else { return nil }
        guard !mappings.knowsInodes || event.hint.isOf(look.inode) else {
            inspector.close(look)
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
