import Glibc
import Kernel

/// What becomes of a file that was looked at: analysis, probes, and their end.
extension CatalogState {
    /// Files of TLS stacks that are reported one by one, for each that may be probed. The processes of all others are
    /// reported together.
    private static var told: Int { 2 }
    /// Stands for those others.
    private static var others: Int { -1 }
    /// Analyses kept of libraries that were let go: a container that starts again brings the same file.
    private static var analysisMemory: Int { 64 }

    /// The library that a file named by somebody is; `nil` where it holds no TLS stack.
    ///
    /// - Parameter path: as it was named, in the view of `root`.
    mutating func add(_ look: FileLook, path: String, root: String = "") -> ObservedLibrary? {
        guard let identifier = examine(look, foundAs: path, root: root) else { return nil }
        named.insert(identifier)
        return libraries[identifier]
    }

    /// Analyses and attaches a file once. The library, or `nil` where it holds no TLS stack.
    ///
    /// - Parameter isMapped: a process has it mapped already.
    mutating func examine(_ look: FileLook, foundAs path: String, root: String, isMapped: Bool = false) -> Int? {
        defer { inspector.close(look) }
        if let known = files[look.inode] { return known }
        guard var library = library(look) else {
            // What has just been written may not be all of it: looked at again when it is next mapped.
            if !look.isFresh { files[look.inode] = .some(nil) }
            return nil
        }
        let tableSize = Self.told * attacher.limit
        guard libraries.count < tableSize || makeRoom(probed: false) else {
            if libraries[Self.others] == nil {
                libraries[Self.others] = .others(limit: tableSize)
                hasNews = true
            }
            files[look.inode] = Self.others
            return Self.others
        }
        let companion = inspector.companion(of: look, foundAs: path, root: root, seen: files)
        let beside = companion.flatMap { analysis(of: $0.look) }
        library.companionVersion = beside?.version
        library.companionTransport = beside?.transport
        let identifier = nextIdentifier
        nextIdentifier += 1
        libraries[identifier] = library
        hasNews = true
        files[look.inode] = identifier
        if let file = look.file { attach(identifier, file) }
        if isMapped, isObserving, sightings != nil, libraries[identifier]?.state == .attached {
            let now = monotonicNow()
            let delay = mappedAt.map { now - min(now, $0) }
            libraries[identifier]?.late = LateProbes(nanoseconds: delay)
        }
        // After the library itself, whose handshakes may begin any moment.
        if let companion { _ = examine(companion.look, foundAs: companion.path, root: root) }
        return identifier
    }

    private func library(_ look: FileLook) -> ObservedLibrary? {
        var library = ObservedLibrary(
            profile: 0, path: look.path, inode: look.inode, identity: look.identity,
            state: .unobserved(reason: .analysisFailed, detail: "not read"))
        library.changed = look.changed
        if case .analysed(let analysis) = look.finding {
            library.analysis = analysis
            return library
        }
        guard let unobserved = look.finding.unobserved else { return nil }
        library.unobservedStack = unobserved.stack
        library.state = .unobserved(reason: unobserved.reason, detail: unobserved.detail)
        return library
    }

    private func analysis(of look: FileLook) -> LibraryAnalysis? {
        if case .analysed(let analysis) = look.finding { return analysis }
        return (files[look.inode] ?? nil).flatMap { libraries[$0]?.analysis }
    }

    // MARK: letting go

    /// Takes off every probe, at the end.
    mutating func detachAll() {
        attacher.detachAll()
        // Who waits to write one of their files waits for nothing any more.
        for identifier in libraries.keys { fileGuard.release(id: identifier) }
    }

    /// Takes off the probes of libraries whose records make no sense.
    mutating func distrust(_ profiles: Set<Int>) {
        for identifier in libraries.keys { distrustForks(of: identifier, profiles) }
        for (identifier, library) in libraries where library.state == .attached && profiles.contains(library.profile) {
            detach(
                identifier,
                as: .detached(detail: "its first sessions read no sane version and role: detached, not believed"))
        }
    }

    /// The library itself may be read as it is.
    private mutating func distrustForks(of identifier: Int, _ profiles: Set<Int>) {
        guard let library = libraries[identifier], library.forks.contains(where: { profiles.contains($0.profile) })
        else {
            return
        }
        for fork in library.forks where profiles.contains(fork.profile) {
            try? attacher.detach(profile: fork.profile, object: kernel.object)
        }
        libraries[identifier]?.forks.removeAll { profiles.contains($0.profile) }
        libraries[identifier]?.omitted.append(
            "the first sessions of a fork in it read no sane version and role: detached, not believed")
        hasNews = true
    }

    /// Probes the end of objects in those libraries, where that has waited.
    mutating func probeObjectFree(_ profiles: Set<Int>) {
        for (identifier, library) in libraries
        where library.state == .attached && profiles.contains(library.profile) {
            probeDeferred(identifier)
        }
    }

    /// Takes off the probes of files that were written in place, or are about to be. They are looked at anew when they are
    /// next mapped.
    mutating func releaseModified() {
        for identifier in fileGuard.takeModified() {
            guard let library = libraries[identifier], library.state == .attached else { continue }
            detach(
                identifier,
                as: .unobserved(
                    reason: .fileModified,
                    detail: "the file was opened for writing, or written in place, while it was probed")
            )
            // The inode is the same, and what it holds is not: looked at anew by whoever maps it next.
            analyses[library.inode] = nil
            files[library.inode] = nil
            hints.removeAll(keepingCapacity: true)
        }
    }

    /// Lets go of libraries that no process maps any more and that are not to be kept.
    mutating func releaseUnused(now: UInt64) {
        for (identifier, library) in libraries where library.processes.isEmpty {
            if retention.isOver(identifier, library, isNamed: named.contains(identifier), now: now) {
                letGo(of: identifier)
            }
        }
    }

    mutating func letGo(of identifier: Int) {
        guard let library = libraries[identifier] else { return }
        detach(identifier, as: library.state)
        libraries[identifier] = nil
        hasNews = true
        retention.forget(identifier)
        named.remove(identifier)
        hints.removeAll(keepingCapacity: true)
        if identifier == Self.others {
            // There may be room for them when they are next mapped.
            files = files.filter { $0.value != Self.others }
        } else {
            if files[library.inode] == .some(identifier) { files[library.inode] = nil }
            if analyses.count >= Self.analysisMemory { analyses.removeAll() }
            analyses[library.inode] = library.analysis.map { FileLook.Known(analysis: $0, changed: library.changed) }
        }
    }

    /// Lets go of the library that has been without a process longest, which a program that starts later may or may not
    /// find again. False where there is none that nothing of can be on its way any more.
    mutating func makeRoom(probed: Bool) -> Bool {
        let candidates = libraries.filter { identifier, library in
            library.processes.isEmpty && !named.contains(identifier) && (!probed || library.state == .attached)
        }.keys
        guard let longest = retention.longestUnused(among: candidates, now: monotonicNow()) else { return false }
        letGo(of: longest)
        evicted += 1
        return true
    }

    private mutating func detach(_ identifier: Int, as state: LibraryState) {
        let lease = fileGuard.release(id: identifier)
        guard let library = libraries[identifier] else { return }
        if library.state == .attached {
            for fork in library.forks {
                try? attacher.detach(profile: fork.profile, object: kernel.object, lease: lease)
            }
            try? attacher.detach(profile: library.profile, object: kernel.object, lease: lease)
        }
        libraries[identifier]?.forks = []
        libraries[identifier]?.chosen = []
        libraries[identifier]?.state = state
        hasNews = true
        for pid in library.processes { sighted(identifier, pid: pid) }
    }

    // MARK: sightings

    /// Notes that a process has mapped a library, for the end of a capture.
    mutating func sighted(_ identifier: Int, pid: UInt32) {
        guard sightings != nil, let library = libraries[identifier], !LibraryFolding.isCompanion(library) else {
            return
        }
        switch library.state {
        case .attached:
            sightings?.note(observed: pid)
            if let late = library.late {
                sightings?.note(
                    library.inode, path: library.path, stack: library.stack, kind: .late(late.nanoseconds), pid: pid)
                libraries[identifier]?.late = nil
            }
        case .unobserved(let reason, let detail):
            sightings?.note(
                library.inode, path: library.path, stack: library.stack,
                kind: .unobserved(reason: reason.rawValue, detail: detail), pid: pid)
        case .detached(let detail):
            sightings?.note(
                library.inode, path: library.path, stack: library.stack,
                kind: .unobserved(reason: UnobservedReason.sanityCheckFailed.rawValue, detail: detail), pid: pid)
        }
    }
}
