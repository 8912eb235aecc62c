import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

@Suite("Which sites get probes, and of which kind") struct AttacherTests {
    /// Counts how often return probes were tried.
    private final class Trial {
        var count = 0
        let result: ReturnProbes
        init(_ result: ReturnProbes) { self.result = result }
    }

    private func analysis(returns: Bool) -> LibraryAnalysis {
        func site(
            _ hook: HookKind, _ offset: UInt64, returns: Bool = false, mode: SiteMode = .emulated, phases: Phases = .all
        ) -> ProbeSite {
            ProbeSite(
                hook: hook, symbol: "\(hook)", fileOffset: offset, mode: mode, object: ObjectPlace(.parameter0),
                returns: returns, phases: phases)
        }
        return LibraryAnalysis(
            stack: "openssl", version: nil,
            sites: [
                site(.call, 64, returns: returns), site(.objectFree, 128), site(.keyChange, 256, phases: [.on, .full]),
                site(.newKeys, 256, phases: .off),
                site(.keyAgreement, 1024, phases: .full),
                site(.fatal, 512, mode: .singleStep),
            ], notes: [])
    }

    private func choose(_ trial: Trial, returns: Bool, phases: Phases = .on) -> (sites: [HookKind], omitted: [String]) {
        var attacher = Attacher(rung: .session, phases: phases) {
            trial.count += 1
            return trial.result
        }
        let first = attacher.choose(analysis(returns: returns))
        let second = attacher.choose(analysis(returns: returns))
        #expect(first.sites == second.sites)
        return (first.sites.map(\.hook), first.omitted)
    }

    @Test("A confined child is not asked for where no return probe is needed")
    func notNeeded() {
        let trial = Trial(.deadly)
        #expect(choose(trial, returns: false).sites == [.objectFree, .keyChange, .call])
        #expect(trial.count == 0)
    }

    @Test(
        "A single-stepped probe is put only where nothing else shows that a call has ended, and a call without an end nowhere"
    )
    func singleStepped() {
        func analysis(isIndispensable: Bool) -> LibraryAnalysis {
            let call = ProbeSite(hook: .call, symbol: "call", fileOffset: 64, mode: .emulated, object: nil)
            let exit = ProbeSite(
                hook: .callExit, symbol: "exit", fileOffset: 128, mode: .singleStep, isIndispensable: isIndispensable,
                object: nil)
            return LibraryAnalysis(stack: "gnutls", version: nil, sites: [call, exit], notes: [])
        }
        var attacher = Attacher(rung: .session, phases: .on) { .deadly }
        let put = attacher.choose(analysis(isIndispensable: true))
        #expect(put.sites.map(\.hook) == [.callExit, .call] && put.omitted.isEmpty)
        #expect(analysis(isIndispensable: true).isObserved(by: put.sites))
        let left = attacher.choose(analysis(isIndispensable: false))
        #expect(left.sites.map(\.hook) == [.call] && left.omitted.count == 1)
        #expect(!analysis(isIndispensable: false).isObserved(by: left.sites))
    }

    @Test("Return probes that kill confined processes, or were not proven not to, are used on nobody")
    func deadlyReturnProbesAreUsedOnNobody() {
        for result in [ReturnProbes.deadly, .untried("no memory")] {
            let trial = Trial(result)
            let choice = choose(trial, returns: true)
            #expect(choice.sites == [.objectFree, .keyChange])
            #expect(choice.omitted.contains { $0.contains(result.sentence) })
            #expect(trial.count == 1, "tried once for all libraries")
        }
    }

    @Test("Where a confined child lived they are used")
    func returnProbesAreUsedWhereAChildLived() {
        let trial = Trial(.safe)
        #expect(choose(trial, returns: true).sites.contains(.call))
        #expect(trial.count == 1)
    }

    @Test("Single-stepped sites and unwanted phases are left out and told")
    func omittedSitesAreReported() {
        let choice = choose(Trial(.safe), returns: false, phases: .off)
        #expect(choice.sites == [.objectFree, .newKeys, .call])
        #expect(choice.omitted.count == 3)
        #expect(choice.omitted.contains("keyChange: only with --phases on"))
        let more = choose(Trial(.safe), returns: false, phases: .on)
        #expect(more.sites == [.objectFree, .keyChange, .call])
        #expect(more.omitted.count == 2, "what stands in for a phase is missed by nobody: \(more.omitted)")
        #expect(more.omitted.contains("keyAgreement: only with --phases full"))
        let all = choose(Trial(.safe), returns: false, phases: .full)
        #expect(all.sites == [.objectFree, .keyChange, .keyAgreement, .call])
    }

    @Test("The trial tells a child that its filter killed")
    func theTrialReportsAKillingFilter() {
        #expect(ReturnProbes.triedForbiddenCall() == .deadly)
    }
}
