import Foundation
import TestSupport
import Testing

@testable import Handshakes

/// Mutated expressions: each is taken or refused with a place inside of it. A crash ends the run; what crashed goes into
/// `kept`.
@Suite("Mutated conditions") struct FilterFuzzTests {
    /// Those on which a parser stumbles.
    private static let kept: [String] = [
        "", " ", "(", ")", "()", "!", "=", "~", "'", "\"", "\\", "'\\", "'\\'", "sni", "sni=", "sni='", "sni=\u{0}",
        "\u{0}",
        "sni = \u{1f98a}", "\u{feff}sni = a", "sni = a\u{301}", "pid=18446744073709551615", "pid=18446744073709551616",
        "duration_ns>18446744073709551615ns", "alpn_share=nan", "alpn_share=inf%", "alpn_share=%", "time=1677-01-01",
        "time=2262-04-12", "time=2026-01-02T03:04:05.Z", "sni~'['", "sni~'(?i)'", "sni~'{'", "remote=[", "remote=]",
        "remote=:",
        "not", "not not", "and", "or and", "has has", "has has = a", "sni = has", "sni=a)(", "sni!=!=a", "sni<>a",
        "=sni", "a&|b",
    ]
    private static let seeds = [
        #"sni ~ "\.example$" and (duration_ns > 50ms or outcome != completed)"#,
        "not has sni or remote = [2001:db8::1]:443 and resumed = false",
        "time >= 2026-01-02T03:04Z and alpn_share < 10%",
        #"comm ~ '^(nginx|haproxy){1,2}[^a-z\d]*$' or pid >= 1000"#,
    ]

    private func read(_ text: String) -> Bool {
        do {
            _ = try HandshakeFilter(text).passes(completedHandshake(end: second))
            return true
        } catch {
            let place = error.place
            #expect(place.lowerBound >= 0 && place.upperBound <= text.utf8.count, "\(text.debugDescription)")
            let lines = error.description.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == 3 && lines[2].contains("^"), "\(text.debugDescription): \(error)")
            return false
        }
    }

    @Test("Expressions that others stumbled over are taken or refused")
    func knownStumbles() {
        for text in Self.kept { _ = read(text) }
        #expect(read("sni = \u{1f98a}"))
        #expect(!read("sni='"))
    }

    @Test("Mutations of whole expressions are taken or refused", arguments: [1, 2, 3, 4] as [UInt64])
    func mutations(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        let pieces = [
            "and", " or ", "not ", "has ", "(", ")", "'", "\"", "\\", "=", "!=", "~", "<", ">=", "!", "sni", "pid",
            "5ms", "é",
            "[", "]", "{3}", "*", "+", "^", "$", "|", "&", "\u{0}", "\n", "%", "true",
        ]
        var taken = 0
        for _ in 0..<2_500 {
            var bytes = Array(((Self.seeds + Self.kept).randomElement(using: &random) ?? "").utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...10, using: &random)))
                case 2: bytes.insert(contentsOf: (pieces.randomElement(using: &random) ?? "").utf8, at: place)
                default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 20)], at: place)
                }
            }
            if read(String(decoding: bytes, as: UTF8.self)) { taken += 1 }
        }
        #expect((1..<2_500).contains(taken), "\(taken)")
    }

    // MARK: another evaluation

    /// A random condition as a text, and what it means, by JSON's own values.
    private struct Condition {
        let text: String
        let holds: ([String: Any]) -> Bool
    }

    private static func comparison(_ random: inout SplitMix) -> Condition {
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            let value = UInt64.random(in: 0...4, using: &random)
            let name = ["duration_ns", "unread_ns", "finished_ns", "pid"].randomElement(using: &random) ?? "pid"
            let signs: [String: @Sendable (UInt64, UInt64) -> Bool] = [
                "<": { $0 < $1 }, ">=": { $0 >= $1 }, "=": { $0 == $1 },
            ]
            let sign = signs.keys.sorted().randomElement(using: &random) ?? "="
            let compare = signs[sign] ?? { _, _ in false }
            return Condition(text: "\(name) \(sign) \(value)") { json in
                (json[name] as? NSNumber).map { compare($0.uint64Value, value) } ?? false
            }
        case 1:
            let value = ["a", "b", "c"].randomElement(using: &random) ?? "a"
            let name = ["sni", "alpn", "comm"].randomElement(using: &random) ?? "sni"
            return Condition(text: "\(name) = \(value)") { ($0[name] as? String) == value }
        case 2:
            let value = ["a", "b", "c"].randomElement(using: &random) ?? "a"
            return Condition(text: "sni != '\(value)'") { ($0["sni"] as? String) != value }
        case 3:
            let name = ["sni", "alpn", "unread_ns", "resumed"].randomElement(using: &random) ?? "sni"
            return Condition(text: "has \(name)") { $0[name] != nil }
        default:
            let value = Bool.random(using: &random)
            return Condition(text: "resumed = \(value)") { ($0["resumed"] as? NSNumber)?.boolValue == value }
        }
    }

    private static func condition(_ random: inout SplitMix, depth: Int) -> Condition {
        guard depth > 0 else { return comparison(&random) }
        let left = condition(&random, depth: depth - 1)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return Condition(text: "not (\(left.text))") { !left.holds($0) }
        case 1:
            let right = condition(&random, depth: depth - 1)
            return Condition(text: "(\(left.text)) and (\(right.text))") { left.holds($0) && right.holds($0) }
        case 2:
            let right = condition(&random, depth: depth - 1)
            return Condition(text: "(\(left.text)) or (\(right.text))") { left.holds($0) || right.holds($0) }
        default: return left
        }
    }

    @Test("Random conditions hold as another evaluation of the JSON line says", arguments: [1, 2] as [UInt64])
    func agreement(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var (held, all) = (0, 0)
        for _ in 0..<400 {
            let condition = Self.condition(&random, depth: 3)
            let filter = try HandshakeFilter(condition.text)
            for _ in 0..<5 {
                let handshake = Self.session(&random)
                var bytes: [UInt8] = []
                JSONLine.append(handshake, to: &bytes)
                let json = try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
                let expected = condition.holds(json)
                #expect(filter.passes(handshake) == expected, "\(condition.text) of \(json)")
                all += 1
                held += expected ? 1 : 0
            }
        }
        #expect(held > all / 10 && held < all / 10 * 9, "\(held) of \(all)")
    }

    private static func session(_ random: inout SplitMix) -> Handshake {
        var handshake = Handshake(
            wallTime: 0, start: 0, end: 0, pid: .random(in: 1...4, using: &random), tid: 1,
            comm: ["a", "b", "c"].randomElement(using: &random) ?? "a", stack: "openssl", library: "/l", role: .client,
            outcome: .completed, duration: .random(in: 0...4, using: &random), calls: 1)
        handshake.sni = ["a", "b", nil].randomElement(using: &random) ?? nil
        handshake.alpn = ["a", "b", nil].randomElement(using: &random) ?? nil
        handshake.resumed = [true, false, nil].randomElement(using: &random) ?? nil
        if Bool.random(using: &random) {
            handshake.parts = HandshakeParts(
                of: handshake.duration, cpu: 0, runqueue: 0, unread: handshake.duration / 2)
        }
        return handshake
    }
}
