import CEvents
import Glibc
import Handshakes
import Kernel

/// Putting probes on a library's file, each step of which may have to wait for its file system.
extension CatalogState {
    mutating func attach(_ identifier: Int, _ file: OpenFile) {
        guard var library = libraries[identifier], let analysis = library.analysis,
            let stack = inspector.stacks.named(analysis.stack)
        else { return }
        defer { libraries[identifier] = library }
        let choice = attacher.choose(analysis)
        library.omitted = choice.omitted
        guard analysis.isObserved(by: choice.sites) else {
            library.state = .unobserved(reason: .noCheapSite, detail: choice.omitted.joined(separator: "; "))
            return
        }
        // Before the probes: who wants to write it from now on waits, or is noticed.
        if let refusal = hold(identifier, library, file, analysis) {
            library.state = refusal
            return
        }
        var profile = attacher.reserveProfile()
        if profile == nil, makeRoom(probed: true) { profile = attacher.reserveProfile() }
        guard let profile else {
            fileGuard.release(id: identifier)
            library.state = .unobserved(
                reason: .tooManyLibraries, detail: "more than \(attacher.limit) libraries (--max-libraries)")
            return
        }
        library.profile = profile
        library.hitsBefore = kernel.object.hits(profile: UInt32(profile))
        library.chosen = choice.sites
        // They are put by the descriptor that is held: its name may lead to another file by then.
        library.deferred = defersObjectFree && fileGuard.path(id: identifier) != nil ? [.objectFree] : []
        library.state = .attached
        announce(library)
        if let refusal = probe(identifier, library, file, stack.rules.states) {
            library.chosen = []
            library.state = refusal
            return
        }
        for fork in analysis.forks { attach(fork, of: &library, identifier, file, stack.rules.states) }
    }

    /// Probes a fork in the file of a library that is probed. Where it cannot be, that is all that is missing.
    private mutating func attach(
        _ fork: LibraryAnalysis, of library: inout ObservedLibrary, _ identifier: Int, _ file: OpenFile,
        _ states: KernelStates
    ) {
        let choice = attacher.choose(fork)
        library.omitted += choice.omitted
        guard fork.isObserved(by: choice.sites) else { return }
        guard let profile = attacher.reserveProfile() else {
            library.omitted.append("a fork in it: more than \(attacher.limit) libraries (--max-libraries)")
            return
        }
        let observed = ObservedFork(
            profile: profile, analysis: fork, chosen: choice.sites,
            hitsBefore: kernel.object.hits(profile: UInt32(profile)))
        let (maker, returned) = (attacher.maker, attacher.returned)
        announce(observed.library(of: library))
        let answer = make(library, afterLate: { returned.add(profile) }) { [kernel] () throws(BPFError) in
            defer { withExtendedLifetime(file) {} }
            return try maker.make(
                choice.sites, deferred: [], of: fork, transport: fork.transport, states: states, profile: profile,
                path: file.magicPath, object: kernel.object)
        }
        switch answer {
        case .value(.success(let links)):
            attacher.keep(links, profile: profile)
            library.forks.append(observed)
        case .value(.failure(let error)):
            try? attacher.detach(profile: profile, object: kernel.object)
            library.omitted.append("a fork in it: \(error.description)")
        case .hangs(let detail):
            try? kernel.object.setProfile(UInt32(profile), tlswatch_profile())
            library.omitted.append("a fork in it: \(detail)")
        }
    }

    /// Takes hold of the file, and makes sure that it is still what was analysed. Why not, where it cannot.
    private mutating func hold(
        _ identifier: Int, _ library: ObservedLibrary, _ file: OpenFile, _ analysis: LibraryAnalysis
    ) -> LibraryState? {
        enum Outcome: Sendable {
            case held(FileGuard.Hold)
            case isBeingWritten, wasWritten
        }
        let taker = fileGuard.taker
        let stacks = inspector.stacks
        let answer = reader.look(
            at: .device(library.inode.device),
            late: { (outcome: Outcome) in if case .held(let hold) = outcome { taker.drop(hold) } },
            {
                guard let hold = taker.hold(file) else { return .isBeingWritten }
                // It may have been written between the analysis and the hold.
                if !file.isUnchanged {
                    guard case .analysed(let again) = FileLook.finding(file, stacks), again == analysis else {
                        taker.drop(hold)
                        return .wasWritten
                    }
                }
                return .held(hold)
            })
        switch answer {
        case .value(.held(let hold)):
            fileGuard.keep(hold, id: identifier)
            return nil
        case .value(.isBeingWritten):
            return .unobserved(reason: .attachFailed, detail: "somebody has it open for writing")
        case .value(.wasWritten):
            analyses[library.inode] = nil
            return .unobserved(reason: .attachFailed, detail: "it was written while it was looked at")
        case .hangs(let detail): return .unobserved(reason: .fileSystemHangs, detail: detail)
        }
    }

    /// Puts the probes of a library in place. Why not, where it cannot.
    private mutating func probe(
        _ identifier: Int, _ library: ObservedLibrary, _ file: OpenFile, _ states: KernelStates
    ) -> LibraryState? {
        guard let analysis = library.analysis else { return nil }
        let transport = analysis.transport ?? library.companionTransport
        let (profile, sites, deferred) = (library.profile, library.chosen, library.deferred)
        let (maker, returned) = (attacher.maker, attacher.returned)
        // The profile goes to no other library before its probes are off.
        let answer = make(library, afterLate: { returned.add(profile) }) { [kernel] () throws(BPFError) in
            // The path is good while the file is open.
            defer { withExtendedLifetime(file) {} }
            return try maker.make(
                sites, deferred: deferred, of: analysis, transport: transport, states: states, profile: profile,
                path: file.magicPath, object: kernel.object)
        }
        switch answer {
        case .value(.success(let links)):
            attacher.keep(links, profile: profile)
            return nil
        case .value(.failure(let error)):
            try? attacher.detach(profile: profile, object: kernel.object, lease: fileGuard.release(id: identifier))
            return .unobserved(
                reason: error.category == .privilege ? .permission : .attachFailed, detail: error.description)
        case .hangs(let detail):
            try? kernel.object.setProfile(UInt32(profile), tlswatch_profile())
            fileGuard.release(id: identifier)
            return .unobserved(reason: .fileSystemHangs, detail: detail)
        }
    }

    /// Makes links on the reader's thread, since the kernel reads the file's code. Those that come after it was given up on are
    /// let go of.
    private func make(
        _ library: ObservedLibrary, afterLate: @escaping @Sendable () -> Void = {},
        _ body: @escaping @Sendable () throws(BPFError) -> Attacher.Links
    ) -> ForeignReader.Answer<Result<Attacher.Links, BPFError>> {
        reader.look(
            at: .device(library.inode.device),
            late: { (made: Result<Attacher.Links, BPFError>) in
                if case .success(let links) = made { links.letGo() }
                afterLate()
            },
            { Result(catching: body) })
    }

    /// Puts the probes of a library that have waited. Without them a session whose socket is not known ends later: nothing is
    /// wrong with it where they cannot be put.
    mutating func probeDeferred(_ identifier: Int) {
        guard let library = libraries[identifier], !library.deferred.isEmpty,
            let path = fileGuard.path(id: identifier)
        else { return }
        let (profile, sites, deferred) = (library.profile, library.chosen, library.deferred)
        let maker = attacher.maker
        let answer = make(library) { [kernel] () throws(BPFError) in
            try maker.makeDeferred(sites, deferred: deferred, profile: profile, path: path, object: kernel.object)
        }
        guard case .value(.success(let links)) = answer else { return }
        attacher.keep(links, profile: profile)
        libraries[identifier]?.deferred = []
    }
}
