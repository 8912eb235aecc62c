import Code
import CEvents
import Dispatch
import Kernel
import Synchronization

/// Puts probes on files and takes them off. Owned by the discovery thread.
struct Attacher: ~Copyable {
    /// The links of one library.
    ///
    /// Unchecked: its maker's until it is made, then the attacher's alone, until it hands it over to be let go of.
    final class Links: @unchecked Sendable {
        fileprivate var session: ProbeLink?
        fileprivate var entries: ProbeLink?
        fileprivate var returns: ProbeLink?
        fileprivate var perf: [PerfPair] = []
        /// Any thread, once nobody else has it.
        func letGo() {
            session = nil
            entries = nil
            returns = nil
            perf = []
        }

        /// A class, since an array cannot hold what cannot be copied.
        fileprivate final class PerfPair {
            let entry: ProbeLink
            let exit: ProbeLink?

            init(entry: consuming ProbeLink, exit: consuming ProbeLink?) {
                self.entry = entry
                self.exit = exit
            }
        }
    }

    /// How much is measured inside a handshake (`--phases`): one of them.
    let phases: Phases
    /// Files that are probed at once, at most.
    let limit: Int
    private let rung: ProbeRung
    private let readsRandom: Bool
    /// By profile: those that were made first, and those that were made once they were wanted.
    private var links: [Int: [Links]] = [:]
    private var nextProfile = 1
    /// Profiles let go, oldest first: used again only when there are no others, so that no late record of the old
    /// library is taken for one of the new.
    private var released: [Int] = []
    /// Profiles of libraries whose probes were given up on while they were being put, and are off now.
    let returned = ReturnedProfiles()

    /// Tries return probes on a confined child; called before the first one is put anywhere.
    private let tryReturnProbes: () -> ReturnProbes
    private var returnProbes: ReturnProbes?

    init(
        rung: ProbeRung, phases: Phases, limit: Int = LibraryLimit.most, readsRandom: Bool = false,
        tryReturnProbes: (() -> ReturnProbes)? = nil
    ) {
        self.limit = limit
        self.readsRandom = readsRandom
        self.rung = rung
        self.phases = phases
        self.tryReturnProbes = tryReturnProbes ?? { ReturnProbes.tried(rung: rung) }
    }

    /// The sites of an analysis that are to be probed, in the order in which they are, and why others are not.
    mutating func choose(_ analysis: LibraryAnalysis) -> (sites: [ProbeSite], omitted: [String]) {
        var sites: [ProbeSite] = []
        var omitted: [String] = []
        for site in analysis.sites {
            if !site.isAffordable {
                omitted.append(
                    "\(site.symbol): no instruction that the kernel emulates; a single-stepped probe costs some 15 µs")
            } else if !site.phases.contains(phases) {
                // What stands in for something, with fewer phases, is missed by nobody.
                if site.phases.rawValue > phases.rawValue {
                    omitted.append("\(site.symbol): only with --phases \(site.phases.name)")
                }
            } else if site.returns, !returnProbesAllowed() {
                omitted.append("\(site.symbol): its exits are not found, and return probes are \(returnProbesSentence)")
            } else {
                sites.append(site)
            }
        }
        // A call that was entered under a probe and left before the exit had one would never end.
        return (sites.sorted { $0.hook.attachOrder < $1.hook.attachOrder }, omitted)
    }

    private mutating func returnProbesAllowed() -> Bool {
        let known = returnProbes ?? tryReturnProbes()
        returnProbes = known
        return known.allowed
    }

    private var returnProbesSentence: String { returnProbes?.sentence ?? "" }

    /// Reserves a profile's index; `nil` when all are used.
    mutating func reserveProfile() -> Int? {
        released += returned.take()
        guard nextProfile <= limit else {
            return released.isEmpty ? nil : released.removeFirst()
        }
        defer { nextProfile += 1 }
        return nextProfile
    }

    /// What puts probes, on any thread: it may have to wait for the file system.
    var maker: LinkMaker { LinkMaker(rung: rung, readsRandom: readsRandom) }

    /// Takes over probes of a library.
    mutating func keep(_ made: Links, profile: Int) { links[profile, default: []].append(made) }

    /// Where links are let go of: the kernel waits some 100 ms for each library's, and who attaches does not wait with it.
    private static let releases = DispatchQueue(
        label: "tlswatch.release", qos: .userInitiated, attributes: .concurrent)

    /// Takes a library's probes off: first no call begins to be observed any more, then the probes go, in their own time.
    ///
    /// - Parameter lease: given back when they are gone.
    mutating func detach(
        profile: Int, object: borrowing LoadedBPFObject, lease: FileLease? = nil
    ) throws(BPFError) {
        defer {
            if let gone = links.removeValue(forKey: profile) {
                Self.releases.async {
                    for part in gone { part.letGo() }
                    withExtendedLifetime(lease) {}
                }
            }
            released.append(profile)
        }
        try object.setProfile(UInt32(profile), tlswatch_profile())
        object.forgetTypes(profile: UInt32(profile))
    }

    /// Waits until all that was detached is out of the kernel.
    static func awaitReleases() { releases.sync(flags: .barrier) {} }

    /// How many libraries are let go of at a time when all are: grace periods are waited for, not worked through.
    private static let releasesAtOnce = 64

    /// Takes off all probes that are left, at once: the kernel would wait for one library's after the other's where the
    /// process's end has to do it.
    mutating func detachAll() {
        let left = links.values.flatMap { $0 }
        links.removeAll()
        let next = Atomic(0)
        let ended = DispatchGroup()
        let work: @Sendable () -> Void = {
            while case let index = next.add(1, ordering: .relaxed).oldValue, index < left.count { left[index].letGo() }
        }
        for _ in 1..<max(1, min(Self.releasesAtOnce, left.count)) {
            // One thread does it all where there are no more.
            guard (try? WorkerThread.start("tlswatch-release", in: ended, work)) != nil else { break }
        }
        work()
        ended.wait()
    }
}

/// Puts probes on files.
struct LinkMaker: Sendable {
    let rung: ProbeRung
    /// Whether the ClientHello's random is among the facts.
    var readsRandom = false

    /// Attaches to those of `sites` that are wanted now, in the file at `path` (a path that leads to the mapped file itself).
    ///
    /// - Parameters:
    ///   - transport: how the stack's transport objects are read, where that is known.
    ///   - deferred: hooks whose sites `makeDeferred` may attach to later.
    func make(
        _ sites: [ProbeSite], deferred: Set<HookKind>, of analysis: LibraryAnalysis, transport: TransportLayout?,
        states: KernelStates, profile: Int, path: String, object: borrowing LoadedBPFObject
    ) throws(BPFError) -> Attacher.Links {
        try object.setProfile(
            UInt32(profile),
            tlswatch_profile(
                plan: readsRandom ? analysis.randomPlan : analysis.plan, facts: analysis.facts,
                transport: transport, descriptor: analysis.descriptor,
                interfaces: analysis.interfaces, states: states,
                server: analysis.server, waitResults: analysis.waitResults, finished: analysis.finished,
                sites: sites))
        // Those of a library that had this profile before, if anybody has left them.
        object.forgetTypes(profile: UInt32(profile))
        for (type, entry) in analysis.interfaces?.types ?? [:] {
            try object.setType(tlswatch_type_key(type: type, profile: UInt32(profile)), tlswatch_type(entry))
        }
        guard sites.count <= TLSWATCH_SITES else {
            throw BPFError(.system, operation: "probe \(sites.count) places in \(path): \(TLSWATCH_SITES) at most")
        }
        for (index, site) in sites.enumerated() {
            try object.setSite(Self.index(index, profile), tlswatch_site(site, profile: profile))
        }
        return try attach(Self.numbered(sites, profile) { !deferred.contains($0) }, path, object)
    }

    /// Attaches to what `make` left out.
    func makeDeferred(
        _ sites: [ProbeSite], deferred: Set<HookKind>, profile: Int, path: String, object: borrowing LoadedBPFObject
    ) throws(BPFError) -> Attacher.Links {
        try attach(Self.numbered(sites, profile) { deferred.contains($0) }, path, object)
    }

    private typealias NumberedSite = (site: ProbeSite, index: UInt32)

    /// The sites of the hooks that are wanted, with their places in the map of sites.
    private static func numbered(
        _ sites: [ProbeSite], _ profile: Int, isWanted: (HookKind) -> Bool
    ) -> [NumberedSite] {
        sites.enumerated().map { (site: $1, index: index($0, profile)) }.filter { isWanted($0.site.hook) }
    }

    private func attach(
        _ numbered: [NumberedSite], _ path: String, _ object: borrowing LoadedBPFObject
    ) throws(BPFError) -> Attacher.Links {
        let made = Attacher.Links()
        if rung == .perf {
            for (site, index) in numbered {
                let cookie = UInt64(index)
                let entry = try unsafe ProbeLink(
                    perf: object.program("tls_enter"), path: path, offset: site.fileOffset, cookie: cookie,
                    returns: false)
                var exit: ProbeLink?
                if site.returns {
                    exit = try unsafe ProbeLink(
                        perf: object.program("tls_return"), path: path, offset: site.fileOffset, cookie: cookie,
                        returns: true)
                }
                made.perf.append(Attacher.Links.PerfPair(entry: entry, exit: exit))
            }
        } else {
            let paired = numbered.filter { $0.site.returns }
            let single = numbered.filter { !$0.site.returns }
            let multi = ProbeLink.AttachType.multi
            if rung == .session {
                made.session = try link(
                    paired, "tls_session", ProbeLink.AttachType.session, false, path, object)
                made.entries = try link(single, "tls_enter", multi, false, path, object)
            } else {
                // Returns first: an entry without its return would leave a frame behind.
                made.returns = try link(paired, "tls_return", multi, true, path, object)
                made.entries = try link(paired + single, "tls_enter", multi, false, path, object)
            }
        }
        return made
    }

    private func link(
        _ sites: [NumberedSite], _ program: String, _ type: UInt32, _ returns: Bool,
        _ path: String, _ object: borrowing LoadedBPFObject
    ) throws(BPFError) -> ProbeLink? {
        guard !sites.isEmpty else { return nil }
        return try unsafe ProbeLink(
            multi: object.program(program), attachType: type, path: path, offsets: sites.map(\.site.fileOffset),
            cookies: sites.map { UInt64($0.index) }, returns: returns)
    }

    /// Where a site is in the map of sites: each profile has room for so many.
    private static func index(_ site: Int, _ profile: Int) -> UInt32 {
        UInt32(profile) * UInt32(TLSWATCH_SITES) + UInt32(site)
    }
}

/// Profiles on their way back to the attacher, from any thread.
final class ReturnedProfiles: Sendable {
    private let profiles = Mutex<[Int]>([])

    func add(_ profile: Int) { profiles.withLock { $0.append(profile) } }

    func take() -> [Int] {
        profiles.withLock { profiles in
            defer { profiles = [] }
            return profiles
        }
    }
}

extension HookKind {
    /// The exits of what is entered come first, the state machine's entry last.
    fileprivate var attachOrder: Int {
        switch self {
        case .callExit, .keyAgreementExit, .pause: 0
        case .keyChange, .keyAgreement, .keyAgreementFailed, .alpnSelect, .alpnAnswer, .masterSecret, .newKeys, .fatal,
            .group, .helloRetry, .objectFree, .alertSent:
            1
        // Of a handshake that is told by its messages the end comes before the beginning, too.
        case .stateDropped, .completed, .failed, .messageSent: 1
        case .call, .messageReceived: 2
        }
    }
}

extension tlswatch_site {
    init(_ site: ProbeSite, profile: Int) {
        self.init()
        hook = site.hook.rawValue
        self.profile = UInt16(profile)
        context = site.context.rawValue
        flags = site.flags.rawValue
        address = site.address
        bytes = site.bytes
        object = tlswatch_place(site.object)
        argument = tlswatch_place(site.argument)
        argument2 = tlswatch_place(site.argument2)
        argument3 = tlswatch_place(site.argument3)
    }
}

extension tlswatch_place {
    init(_ place: ValuePlace?) {
        self.init()
        guard let place else { return }
        offset = place.offset
        kind = UInt8((place.isInMemory ? TLSWATCH_IN_MEMORY : TLSWATCH_IN_REGISTER).rawValue)
        number = place.register
    }
}
