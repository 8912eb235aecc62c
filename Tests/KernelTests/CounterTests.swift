import CEvents
import Code
import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

extension KernelTests {
    /// The programs' counters, read while the calls of Programs/stages.c stand still.
    @Suite("Counters while calls are in progress") struct CounterTests {
        /// The two programs that only the probed file can hit.
        private static let programs: [KernelProgram] = [.enter, .leave]

        private struct Reading {
            /// The library's hits; of each program records, and hits without a record by reason.
            var counts: [UInt64] = []
            /// Hits that are in neither of the others yet.
            var pending: Int64 = 0

            init(_ engine: Engine) {
                let counters = engine.counters()
                let hits = engine.catalog.libraries.flatMap(\.profiles).reduce(0) { $0 + engine.hits(profile: $1) }
                counts.append(hits)
                pending = Int64(hits)
                for program in CounterTests.programs {
                    guard let own = program.counters(among: counters) else { continue }
                    let dropped = KernelDrop.allCases.map { own[$0.number] }
                    counts += [own.submitted] + dropped
                    pending -= Int64(own.submitted) + Int64(dropped.reduce(0, +))
                }
            }
        }

        private static func engine(_ program: String) throws -> Engine {
            var options = EngineOptions(version: "test")
            options.libraries = [program]
            options.stacks = TLSStacks([Stages.self])
            let engine = try Engine(options: options)
            try engine.start { _ in }
            return engine
        }

        private static func program() throws -> String {
            try Machine.compile(
                String(contentsOfFile: resource("Programs/stages.c"), encoding: .utf8),
                ["-O2", "-Wall", "-Wextra", "-Werror"])
        }

        @Test("No counter falls, wherever a call stands when it is read: a step's hit is counted when it travels")
        func noCounterFalls() throws {
            let program = try Self.program()
            let engine = try Self.engine(program)
            defer { engine.stop() }
            let child = try ChildProcess(program)
            var before = Reading(engine)
            // At each stage the steps that wait in a call: no count has their hits.
            for (stage, waiting) in [
                ("started", 0), ("three", 3), ("nested", 1), ("full", 10), ("overfull", 1), ("ended", 0),
            ] as [(String, Int64)] {
                let isReached = eventually { child.output.text.split(separator: "\n").last.map(String.init) == stage }
                try #require(isReached, "\(stage)")
                let reading = Reading(engine)
                #expect(reading.pending == waiting, "\(stage)")
                for (old, new) in zip(before.counts, reading.counts) {
                    #expect(new >= old, "\(stage): \(before.counts) \(reading.counts)")
                }
                before = reading
                kill(child.pid, SIGUSR1)
            }
            // Two calls, fifteen steps, two ends.
            #expect(before.counts[0] == 19)
            #expect(try child.wait().status == .exited(0))
        }

        @Test("The steps of a call that its process does not live to end are counted at its end")
        func aProcessThatEndsInACallLeavesNothing() throws {
            let program = try Self.program()
            let engine = try Self.engine(program)
            defer { engine.stop() }
            let child = try ChildProcess(program)
            for stage in ["started", "three"] {
                let isReached = eventually { child.output.text.split(separator: "\n").last.map(String.init) == stage }
                try #require(isReached, "\(stage)")
                if stage == "started" { kill(child.pid, SIGUSR1) }
            }
            #expect(Reading(engine).pending == 3)
            kill(child.pid, SIGKILL)
            _ = try child.wait()
            let isSettled = eventually { Reading(engine).pending == 0 }
            #expect(isSettled)
        }
    }
}

/// The library of Programs/stages.c.
enum Stages: TLSStack {
    static let name = "stages"
    static let title = "Stages"
    static let libraries = ["libstages.so"]

    static func recognises(_ file: ELFFile) -> Bool { !file.symbols(named: ["stages_begin"]).isEmpty }

    static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let hooks: [(String, HookKind)] = [
            ("stages_begin", .call), ("stages_step", .keyChange), ("stages_end", .callExit),
        ]
        let symbols = file.symbols(named: hooks.map(\.0))
        var analysis = LibraryAnalysis(stack: name, version: "1", sites: [], notes: [])
        for (symbol, hook) in hooks {
            guard let address = symbols[symbol]?.address, let offset = file.fileOffset(ofAddress: address) else {
                throw AnalysisError("it has no \(symbol)")
            }
            analysis.sites.append(
                ProbeSite(
                    hook: hook, symbol: symbol, fileOffset: offset, mode: .emulated, object: .rbx,
                    argument: hook == .callExit ? .result : nil))
        }
        analysis.take(
            facts: [.state: FactPath(offsets: [16], size: 4), .role: FactPath(offsets: [20], size: 4)], expendable: [])
        return analysis
    }

    static let rules = SessionRules(
        entry: { _ in .start },
        exit: { exit in Exit(kind: exit.result == 1 ? .completed : .wants) },
        keyChange: { _ in .other },
        facts: { _, _, _ in SessionFacts() },
        failsKeyExchange: { _, _, _ in false },
        failure: { _, _, _ in FailureReason(reason: "stages") },
        libraryReason: { _, _ in nil },
        usualReasons: [],
        states: KernelStates(
            start: [1], end: [2], over: [2],
            server: KernelStates.Test(fact: .role, mask: 0xff, value: UInt32(UInt8(ascii: "s")))))
}
