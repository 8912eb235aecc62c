import Code
import Foundation
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

/// Puts the probes of one library on and off, with nothing of the daemon around it.
final class ProbeCycles {
    /// How often probes go on and off under a load: 1,000 times with `make test-cycles`.
    static let count = ProcessInfo.processInfo.environment["TLSWATCH_CYCLES"].flatMap(Int.init) ?? 100

    /// Those of `--phases full`.
    let sites: [ProbeSite]
    private let path: String
    private let analysis: LibraryAnalysis
    private let states: KernelStates
    private let kernel: KernelSide
    private var attacher: Attacher

    init(path: String) throws {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        self.path = path
        analysis = try #require(try TLSStacks.builtIn.analyse(ELFFile(fileDescriptor: file)))
        states = try #require(TLSStacks.builtIn.named(analysis.stack)).rules.states
        let features = KernelFeatures.probe()
        let rung = try features.rung(forced: nil)
        kernel = KernelSide(try OpenBPFObject().load(rung: rung, features: features))
        attacher = Attacher(rung: rung, phases: .full)
        sites = attacher.choose(analysis).sites
    }

    /// How often the probes of a profile were hit, in all turns.
    func hits(profile: Int) -> UInt64 { kernel.object.hits(profile: UInt32(profile)) }

    /// One turn: `body` is run while the probes are in place, and is given their profile.
    func turn(_ body: (_ profile: Int) throws -> Void) throws {
        let reserved = attacher.reserveProfile()
        let profile = try #require(reserved)
        let links = try attacher.maker.make(
            sites, deferred: [], of: analysis, transport: analysis.transport, states: states, profile: profile,
            path: path, object: kernel.object)
        attacher.keep(links, profile: profile)
        try body(profile)
        try attacher.detach(profile: profile, object: kernel.object)
        Attacher.awaitReleases()
    }
}
