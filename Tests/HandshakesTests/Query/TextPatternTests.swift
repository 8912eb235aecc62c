import Foundation
import TestSupport
import Testing

@testable import Handshakes

@Suite("Regular expressions") struct TextPatternTests {
    @Test(
        "What matches and what does not",
        arguments: [
            ("example", ["a.example", "example.org", "example"], ["", "exampl", "EXAMPLE"]),
            ("^a", ["a", "ab"], ["ba", ""]), ("a$", ["a", "ba"], ["ab", ""]), ("^$", [""], ["a"]),
            ("^(a|b)+$", ["a", "abba"], ["", "abc"]), ("a|^b$", ["xa", "b"], ["bb", ""]),
            (#"\.example$"#, ["a.example"], ["aexample", "a.example.org"]), ("a.c", ["abc", "aéc", "a🦊c"], ["ac"]),
            ("[a-c]x", ["ax", "cx"], ["dx", "x"]), ("[^a-c]x", ["dx", "éx"], ["ax", "x"]), ("[]a]", ["]", "a"], ["b"]),
            ("[a-]", ["a", "-"], ["b"]), (#"[\d.]+:443$"#, ["10.0.0.1:443"], ["a:443"]), (#"^\D+$"#, ["aé"], ["a1"]),
            ("a{2}", ["aa", "baab"], ["a", ""]), ("^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
            ("^a{2,}$", ["aa", "aaaaa"], ["a"]), ("^(ab){0,2}$", ["", "ab", "abab"], ["a", "ababab"]),
            ("^a{0}b$", ["b"], ["ab"]), ("^(a?){3}b$", ["b", "aaab"], ["aaaab"]), ("x*", ["", "y"], []),
            ("(?i)SHOP", ["shop", "aShOp"], ["sho"]), ("(?i)[^a]b", ["cb", "CB"], ["Ab", "ab"]),
            ("(?:a|b)c", ["bc"], ["c"]), ("a+?b", ["aab"], ["b"]), ("()", ["", "a"], []), ("a||b", ["", "c"], []),
            ("[é-ü]", ["é", "ñ"], ["z", "ÿ"]), ("[^é]", ["è", "e"], ["é", ""]), (#"[^\Dé]"#, ["5"], ["a", "é", "è"]),
            (#"\w\s\w"#, ["a b", "_\t9"], ["a-b"]), ("(a*)*b", ["b", "aab"], ["a"]),
            ("(^a|b)c", ["ac", "xbc"], ["xac"]),
        ] as [(String, [String], [String])])
    func matching(_ text: String, _ matching: [String], _ others: [String]) throws {
        let pattern = try TextPattern(text)
        for text in matching { #expect(pattern.matches(text), "\(text)") }
        for text in others { #expect(!pattern.matches(text), "\(text)") }
    }

    @Test(
        "What is wrong is said with its place",
        arguments: [
            ("a(b", 1..<2), ("a)", 1..<2), ("[a", 0..<1), ("*a", 0..<1), ("a{2", 1..<2), ("a{3,2}", 1..<6),
            ("[b-a]", 1..<4),
            (#"a\"#, 1..<2), (#"\bword"#, 0..<2), (#"(a)\1"#, 3..<5), ("(?=a)", 0..<2), ("a**", 1..<3), ("^*", 0..<2),
            ("a{x}", 1..<2), ("{", 0..<1),
        ] as [(String, Range<Int>)])
    func errors(_ text: String, _ place: Range<Int>) throws {
        let error = try #require(throws: TextPatternError.self) { try TextPattern(text) }
        #expect(error.place == place, "\(error.message)")
    }

    @Test(
        "Patterns on which others hang or grow without bounds are refused or answered at once",
        arguments: [
            "(a+)+$", "(a|aa)+$", "(a*)*$", "(.*a){20}", "(a?){100}a{100}", "(((a{9}){9}){9}){9}",
            "((((){256}){256}){256}){256}", "(((((a?){4}){4}){4}){4})*$", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$",
            String(repeating: "(", count: 10_000),
            String(repeating: "(a", count: 40) + String(repeating: ")*", count: 40),
            "[" + String(repeating: "a", count: 10_000) + "]", "a{999999999999999999999}", "a{256}{256}",
        ])
    func hostile(_ text: String) {
        let clock = ContinuousClock()
        // Seconds where a backtracking matcher needs centuries.
        let time = clock.measure {
            guard let pattern = try? TextPattern(text) else { return }
            for _ in 0..<10 { _ = pattern.matches(String(repeating: "a", count: 255) + "!") }
        }
        #expect(time < .seconds(20))
    }

    @Test("Thousands of random patterns agree with another implementation", arguments: [1, 2, 3, 4] as [UInt64])
    func agreement(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var (compared, matched) = (0, 0)
        for _ in 0..<1_500 {
            let text = Self.pattern(&random, depth: 3)
            guard let witness = try? NSRegularExpression(pattern: text) else {
                Issue.record("\(text) is not understood by the witness")
                continue
            }
            let pattern = try TextPattern(text)
            for _ in 0..<8 {
                let subject = String(
                    (0..<Int.random(in: 0...8, using: &random)).map { _ in
                        "abcé🦊-".randomElement(using: &random) ?? "a"
                    })
                let whole = NSRange(subject.startIndex..., in: subject)
                let expected = witness.firstMatch(in: subject, range: whole) != nil
                #expect(pattern.matches(subject) == expected, "/\(text)/ on \(subject.debugDescription)")
                compared += 1
                matched += expected ? 1 : 0
            }
        }
        // Both happen, or nothing is said.
        #expect(matched > compared / 10 && matched < compared / 10 * 9, "\(matched) of \(compared)")
    }

    /// A random pattern of both languages.
    private static func pattern(_ random: inout SplitMix, depth: Int) -> String {
        let atoms = ["a", "b", "c", "é", "🦊", ".", "[ab]", "[^a]", "[^é]", "[a-cé-ü]", #"\w"#, #"\W"#, "-"]
        func atom(_ random: inout SplitMix) -> String {
            if depth > 0, Int.random(in: 0..<4, using: &random) == 0 {
                return "(" + pattern(&random, depth: depth - 1) + ")"
            }
            return atoms.randomElement(using: &random) ?? "a"
        }
        var text = ["", "", "", "^"].randomElement(using: &random) ?? ""
        // Inside of a group an anchor behind what may be nothing is another story.
        if depth < 3 { text = "" }
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            // \w of the witness knows letters of every alphabet.
            let part = atom(&random).replacing(#"\w"#, with: "[a-z]").replacing(#"\W"#, with: "[^a-z]")
            text += part + (["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}"].randomElement(using: &random) ?? "")
        }
        if depth == 3, Int.random(in: 0..<4, using: &random) == 0 { text += "$" }
        if Int.random(in: 0..<4, using: &random) == 0 { text += "|" + pattern(&random, depth: depth - 1) }
        return text
    }
}
