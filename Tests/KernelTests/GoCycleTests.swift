import CEvents
import Code
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

extension KernelTests {
    @Suite("Probes that come and go in a Go program") struct GoCycleTests {
        private static let workers = 8

        /// A FIPS 140 build checks its own code, but not what is probed.
        enum Kind: CaseIterable { case plain, fips }

        @Test(
            "In the middle of its handshakes, while its garbage is collected: it goes on unharmed",
            arguments: Kind.allCases)
        func cycles(_ kind: Kind) throws {
            let fips = kind == .fips
            let program = try GoProgram(GoToolchain.versions[2], environment: fips ? ["GOFIPS140": "latest"] : [:])
            let analysis = try Go.analyse(ELFFile(path: program.path))
            let features = KernelFeatures.probe()
            let rung = try features.rung(forced: nil)
            let kernel = KernelSide(try OpenBPFObject().load(rung: rung, features: features, wire: false))
            let child = try ChildProcess(
                program.path, ["load", "100000000", "gc"], environment: fips ? ["GODEBUG": "fips140=on"] : [:])
            let left = Atomic(ProbeCycles.count)
            let made = Atomic(0)
            let end = ContinuousClock.now + .seconds(60 + ProbeCycles.count)
            // Each waits for the kernel's grace periods most of the time.
            DispatchQueue.concurrentPerform(iterations: Self.workers) { worker in
                while ContinuousClock.now < end, left.subtract(1, ordering: .relaxed).newValue >= 0, child.status == nil
                {
                    do {
                        let links = try LinkMaker(rung: rung).make(
                            analysis.sites, deferred: [], of: analysis, transport: nil, states: Go.rules.states,
                            profile: worker + 1, path: program.path, object: kernel.object)
                        links.letGo()
                        made.add(1, ordering: .relaxed)
                    } catch {
                        Issue.record(error)
                        return
                    }
                }
            }
            #expect(child.status == nil, "\(child.errors.text)")
            // Its handshakes were hit all the while.
            let hits = (1...Self.workers).reduce(0) { $0 + kernel.object.hits(profile: UInt32($1)) }
            #expect(hits > 0)
            child.stop(SIGTERM)
            #expect(child.status == .signalled(SIGTERM), "\(child.errors.text)")
            print("\(kind): \(made.load(ordering: .relaxed)) cycles, \(hits) hits")
            #expect(made.load(ordering: .relaxed) > ProbeCycles.count / 10)
        }
    }
}
