import CEvents
import Code
import Foundation
import Handshakes
import Synchronization
import TestSupport
import Testing

@testable import HandshakeProbe

extension KernelTests {
    /// What every TLS stack has to keep to, and that one which OpenSSL has nothing in common with is observed end to end.
    @Suite("TLS stacks") struct StackTests {
        private static func toy() throws -> String {
            try Machine.compile(
                String(contentsOfFile: resource("Programs/toy.c"), encoding: .utf8),
                ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"])
        }

        @Test(
            "Every stack keeps to what the others build on",
            arguments: ["boringssl", "gnutls", "go", "mbedtls", "nss", "openssl", "s2n", "toy"])
        func everyStackConforms(_ name: String) throws {
            let stacks = TLSStacks(TLSStacks.builtIn.all + [Toy.self])
            let stack = try #require(stacks.named(name))
            // Its file goes with it.
            let go = name == "go" ? try GoProgram(GoToolchain.versions[2]) : nil
            defer { withExtendedLifetime(go) {} }
            let path =
                switch name {
                case "toy": try Self.toy()
                case "go": try #require(go?.path)
                case "boringssl": try #require(TLSBuild.boringSSL.libssl)
                case "gnutls": Machine.libgnutls
                case "mbedtls": Machine.libmbedtls
                case "nss": Machine.nss
                case "wolfssl": Machine.libwolfssl
                case "s2n": try S2NModule.newest().library
                default: Machine.libssl
                }
            #expect(Set(stacks.all.map { $0.name }).count == stacks.all.count)
            #expect(name.wholeMatch(of: /[a-z0-9_]+/) != nil)
            let title = stack.title
            #expect(!title.isEmpty)
            let file = try ELFFile(path: path)
            let isRecognised = stack.recognises(file)
            try #require(isRecognised)
            let others = stacks.all.filter { $0.name != name }
            #expect(others.allSatisfy { !$0.recognises(file) }, "one file, one stack")
            let analysis = try stack.analyse(file)
            #expect(analysis.stack == name)

            #expect(analysis.observesSessions)
            #expect(!analysis.isCompanion)
            if let companion = stack.companion {
                let called = stack.libraries.filter { $0.hasPrefix(companion.library) }
                #expect(called.allSatisfy { companion.beside($0) != nil }, "each that is called so has one")
            }
            #expect(analysis.sites.count <= Int(TLSWATCH_SITES))
            let ends = analysis.sites.contains { $0.hook == .callExit || $0.returns }
            #expect(ends, "a call that begins is seen to end")
            for site in analysis.sites {
                let address = try #require(file.address(ofFileOffset: site.fileOffset))
                #expect(file.isCode(address), "\(site)")
                for place in [site.object, site.argument, site.argument2].compactMap({ $0 }) {
                    #expect(place.register < 16, "\(site)")
                }
            }

            #expect(analysis.plan.omitted.isEmpty, "no fact takes more reads than there are")
            for (fact, path) in analysis.facts {
                #expect((0..<Int(TLSWATCH_FACTS.rawValue)).contains(fact.rawValue), "\(fact)")
                if case .counted(let length) = path.shape {
                    #expect(analysis.facts[length] != nil, "\(fact)'s length")
                }
            }

            let states = stack.rules.states
            // By a place that only what is complete passes: it tells no result.
            let endsByPlace = analysis.sites.contains { $0.hook == .callExit && $0.argument == nil }
            #expect(
                !states.end.isEmpty || !states.ended.isEmpty || !states.waitResults.isEmpty || endsByPlace,
                "an end is told by the state, or by something else")
            #expect(states.waitResults.count <= Int(TLSWATCH_WAIT_RESULTS) && !states.waitResults.contains(0))
            #expect(states.ended.count <= Int(TLSWATCH_TESTS))
            #expect(states.ended.allSatisfy { $0.fact.isOfState })
            #expect(states.start.map(states.dead.isDisjoint) ?? true)
            // Whatever a wrong place gives is judged, not crashed on.
            var random = SplitMix(seed: 11)
            for _ in 0..<2_000 {
                let values = StateValues(
                    present: UInt32.random(in: 0...255, using: &random),
                    values: InlineArray<8, UInt32> { _ in UInt32.random(in: 0...UInt32.max, using: &random) >> 20 })
                _ = stack.rules.entry(EntryState(values: values, isServer: Bool.random(using: &random)))
                _ = stack.rules.exit(ExitState(result: .random(in: -2...2, using: &random), values: values, io: nil))
            }
            // A file that is cut, or whose bytes are others, gives an analysis or an error.
            let bytes = try Machine.bytes(path)
            for round in 0..<20 {
                var damaged = Array(bytes.prefix(round < 10 ? bytes.count * round / 10 : bytes.count))
                for _ in 0..<(damaged.isEmpty || round < 10 ? 0 : 200) {
                    damaged[Int.random(in: 64..<damaged.count, using: &random)] = UInt8.random(
                        in: 0...255, using: &random)
                }
                if let file = try? ELFFile(bytes: damaged), stack.recognises(file) { _ = try? stack.analyse(file) }
            }
        }

        @Test("A stack with other states, texts, results and goroutines is observed as its program says")
        func aToyStackIsObserved() throws {
            let program = try Self.toy()
            var options = EngineOptions(version: "test")
            options.libraries = [program]
            options.stacks = TLSStacks(TLSStacks.builtIn.all + [Toy.self])
            let engine = try Engine(options: options)
            let told = Mutex<[Handshake]>([])
            defer { engine.stop() }
            try engine.start { finished in told.withLock { $0 += finished } }

            let run = try ChildProcess.run(program, ["10"])
            try #require(run.status == .exited(0))
            let witnesses = run.output.split(separator: "\n").map { $0.split(separator: " ") }
            try #require(witnesses.count == 10)
            _ = eventually { told.withLock { $0.count >= 10 } }
            let handshakes = told.withLock { $0.sorted { $0.start < $1.start } }
            try #require(handshakes.count == 10)
            for (handshake, words) in zip(handshakes, witnesses) {
                let text = Comment(rawValue: "\(handshake) for \(words)")
                let refused = words[2] == "failed"
                #expect(handshake.stack == "toy", text)
                #expect(handshake.pid == UInt32(run.pid), text)
                #expect(handshake.role == (words[1] == "s" ? .server : .client), text)
                #expect(handshake.outcome == (refused ? .failed : .completed), text)
                #expect(handshake.calls == 2, text)
                #expect(String(handshake.tid) == words[3], text)
                #expect(words[3] != words[4], "two threads")
                #expect(handshake.sni == (refused ? "refused.example" : "toy.example"), text)
                #expect(handshake.alpn == (refused ? nil : "toy"), text)
                #expect(handshake.tlsVersion == (refused ? nil : "TLSv1.3"), text)
                #expect(handshake.cipher == (refused ? nil : "TLS_AES_128_GCM_SHA256"), text)
                // What a goroutine waited is known where it waits for a socket of its own.
                #expect(handshake.busy == nil, text)
            }
        }
    }
}
