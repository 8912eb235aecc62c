import TestSupport
import Testing

@testable import Handshakes
@testable import tlswatch

@Suite("The settings file") struct SettingsFileTests {
    private func parse(_ text: String) throws -> SettingTexts {
        try SettingsFile(text: text, path: "/etc/tlswatch/tlswatch.yml").texts
    }

    private func refusal(_ text: String) -> String? {
        do {
            _ = try parse(text)
            return nil
        } catch {
            return (error as? WebConfigurationError)?.description ?? "another error: \(error)"
        }
    }

    @Test("An empty file, comments and keys without a value set nothing")
    func anEmptyFileSetsNothing() throws {
        for text in ["", "\n\n", "# nothing\n", "{}", "~", "ring-size:\nwindow: ~\nlabel: []\n"] {
            #expect(try parse(text).isEmpty, "\(text)")
        }
    }

    @Test("Texts are taken as they stand, quoted or not; a single text stands for a list of it")
    func quotedAndPlainTextsAreTheSame() throws {
        let found = try parse(
            "phases: on\nring-size: 08\nexemplars: \"true\"\nwindow: 5m\nlabel:\n  - sni:50\n  - comm\n")
        #expect(
            found == [
                "phases": ["on"], "ring-size": ["08"], "exemplars": ["true"], "window": ["5m"],
                "label": ["sni:50", "comm"],
            ])
    }

    @Test(
        "An unknown key is told with the nearest known one, where one is near",
        arguments: [
            ("ring-sise", "ring-size"), ("ringsize", "ring-size"), ("ring_size", "ring-size"),
            ("Ring-Size", "ring-size"), ("windows", "window"), ("labels", "label"), ("listne", "listen"),
            ("handshake_timeout", "handshake-timeout"), ("max-serie", "max-series"), ("max-session", "max-sessions"),
            ("web.config.file", "web-config-file"), ("sweep-intervall", "sweep-interval"),
        ])
    func anUnknownKeyHasItsNearest(_ given: String, _ meant: String) {
        #expect(
            refusal("phases: on\n\(given): 1\n")
                == "/etc/tlswatch/tlswatch.yml:2: \(given): unknown key; did you mean \(meant)?")
    }

    @Test("An unknown key that is near none gets the list instead")
    func aFarKeyGetsTheList() {
        let long = String(repeating: "ring-size", count: 100)
        for key in ["colour", "x", "pid", long] {
            let text = refusal("\(key): 1\n") ?? ""
            #expect(text.contains("unknown key; known: listen, "), "\(key)")
            #expect(!text.contains("did you mean"), "\(key)")
        }
        #expect(NearestName.of(long, among: [long]) == nil)
    }

    @Test(
        "What is no flat mapping is refused with its place",
        arguments: [
            ("- a\n", ":1: must be a mapping"), ("just words\n", ":1: must be a mapping"),
            ("ring-size: [8]\n", ":1: ring-size: must be a text"),
            ("phases: on\nring-size: {a: 1}\n", ":2: ring-size: must be a text"),
            ("window: [[60s]]\n", ":1: window: must be a text"), ("label: {sni: 50}\n", ":1: label: must be a text"),
            ("[1, 2]: 3\n", "has a key that is no plain text"),
            ("ring-size: 8\nring-size: 4\n", "has a key twice: ring-size"),
            ("ring-size: 8\n---\nring-size: 4\n", "is not YAML"), ("ring-size: \"8\n", "is not YAML"),
            ("ring-size: 8\n\twindow: 5m\n", "is not YAML"), ("ring-size: 8\u{0}\n", "is not YAML"),
        ])
    func onlyAFlatMappingIsTaken(_ text: String, _ reason: String) {
        let found = refusal(text)
        #expect(found?.contains(reason) == true, "\(found ?? "taken")")
    }

    @Test("A wrong value is repeated only as far as a line goes")
    func longValue() {
        let found = refusal("ring-size: " + String(repeating: "9", count: 10_000)) ?? ""
        #expect(found.contains("ring-size: must be a power of two"))
        #expect(found.utf8.count < 300)
    }

    @Test("A file that is too long, is no text or cannot be read is refused")
    func unreadableFilesAreRefused() throws {
        let folder = try TemporaryDirectory()
        let comment = String(repeating: "#", count: SettingsFile.largest)
        #expect(try SettingsFile(path: folder.write(comment, to: "full.yml")).texts.isEmpty)
        let paths = [
            try folder.write(comment + "#", to: "long.yml"), folder.path, folder.file("none.yml"), "/dev/zero",
        ]
        for path in paths {
            #expect(throws: WebConfigurationError.self, "\(path)") { try SettingsFile(path: path) }
        }
    }

    /// Nine times nine times nine…, as a key: it takes longer than anybody waits, were it taken apart.
    @Test("Aliases within aliases are refused before anything takes them apart")
    func aliasesWithinAliasesAreRefused() {
        var text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
        let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
        for (name, former) in zip(letters.dropFirst(), letters) {
            text += "\(name): &\(name) [\(Array(repeating: "*" + former, count: 9).joined(separator: ","))]\n"
        }
        #expect(refusal(text + "? *l\n: 1\n? [*l]\n: 2\n")?.contains("has more than 16 aliases") == true)
    }

    @Test("A few aliases are taken, and stars are not mistaken for them")
    func aFewAliasesAreTaken() throws {
        #expect(try parse("handshake-timeout: &t 10s\nsweep-interval: *t\n")["sweep-interval"] == ["10s"])
        let stars = String(repeating: "# *this* & *that*\n", count: 100)
        #expect(try parse(stars + "ring-size: 4\n") == ["ring-size": ["4"]])
    }

    @Test("Deep nesting is refused")
    func deepNestingIsRefused() {
        for text in ["window: " + String(repeating: "[", count: 100_000), String(repeating: "- ", count: 100_000)] {
            #expect(refusal(text) != nil)
        }
        let nested = String(repeating: "{a: ", count: 900) + "x" + String(repeating: "}", count: 900)
        #expect(refusal("window: \(nested)")?.contains("window: must be a text") == true)
    }
}
