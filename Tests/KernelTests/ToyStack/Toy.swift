import Code
import Handshakes

@testable import HandshakeProbe

/// The stack of Programs/toy.c: this folder and a row in a list are all that it takes.
enum Toy: TLSStack {
    static let name = "toy"
    static let title = "Toy"
    static let libraries = ["libtoy.so"]

    private static let version = Fact(3, "version")
    private static let cipher = Fact(10, "cipher")

    static func recognises(_ file: ELFFile) -> Bool { !file.symbols(named: ["toy_handshake"]).isEmpty }

    static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let symbols = file.symbols(named: ["toy_begin", "toy_end"])
        var analysis = LibraryAnalysis(stack: name, version: "1", sites: [], notes: [])
        for (symbol, hook) in [("toy_begin", HookKind.call), ("toy_end", .callExit)] {
            guard let address = symbols[symbol]?.address, let offset = file.fileOffset(ofAddress: address) else {
                throw AnalysisError("it has no \(symbol)")
            }
            analysis.sites.append(
                ProbeSite(
                    hook: hook, symbol: symbol, fileOffset: offset, mode: .emulated, object: .rbx,
                    argument: hook == .callExit ? .result : nil, context: .goroutine))
        }
        let facts: [Fact: FactPath] = [
            .state: FactPath(offsets: [16], size: 4), .role: FactPath(offsets: [20], size: 4),
            version: FactPath(offsets: [24], size: 4), cipher: FactPath(offsets: [28], size: 4),
            .sni: FactPath(offsets: [32], size: 0), .alpn: FactPath(offsets: [65], size: 0, shape: .prefix8),
        ]
        analysis.take(facts: facts, expendable: [.sni, .alpn, cipher])
        return analysis
    }

    static let rules = SessionRules(
        entry: { entry in
            switch entry.values[.state] {
            case 100: .start
            case 110: .proceed
            case nil, 120, 200: .unrelated
            default: .implausible
            }
        },
        exit: { exit in
            switch exit.result {
            case 1: Exit(kind: .completed)
            case 0: Exit(kind: .failed)
            case -1: Exit(kind: .wants)
            default: Exit(kind: .implausible)
            }
        },
        keyChange: { _ in .other },
        facts: { event, _, _ in
            var facts = SessionFacts()
            facts.version = event.scalar(version)
            facts.cipher = event.scalar(cipher).map { UInt16(truncatingIfNeeded: $0) }
            (facts.alpn, facts.sni) = (event.alpn, event.sni)
            return facts
        },
        failsKeyExchange: { _, _, _ in false },
        failure: { _, _, _ in FailureReason(reason: "toy_refused") },
        libraryReason: { _, _ in nil },
        usualReasons: ["toy_refused"],
        states: KernelStates(
            start: [100], end: [120, 200], over: [120, 200],
            server: KernelStates.Test(fact: .role, mask: 0xff, value: UInt32(UInt8(ascii: "s"))))
    )
}
