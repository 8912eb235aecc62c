import TestSupport
import Testing

@testable import tlswatch

/// Mutated files: each is taken or refused with a place. A crash ends the run; what crashed goes into `kept`.
@Suite("Mutated settings files") struct SettingsFuzzTests {
    /// Files that a reader of YAML stumbles over.
    private static let kept: [String] = [
        "\u{feff}ring-size: 8\n", "%YAML 1.1\n---\nring-size: 8\n", "%TAG ! tag:x,2000:\n--- !a\nring-size: 8\n",
        "!!binary ring-size: !!int 8\n", "? ring-size\n: 8\n", "<<: {ring-size: 8}\n", "&a ring-size: *a\n",
        "&a {ring-size: *a}\n", "*a : 1\n", "ring-size: !!null 8\n", "window: |\n  60s\n", "window: >-\n  60s\n",
        "label: [sni:50, comm,]\n", "{ring-size: 8, window: [60s]}", "\"ring-\\x73ize\": 8\n", "\"\\0\": 1\n",
        "? \n: \n",
        "''\n", "listen: [::1]:9899\n", "...\n", "---\n...\n---\n", "ring-size: 8 # end", "\r\n\r\nring-size: 8\r\n",
    ]

    /// Whether it was taken. What is taken is right: every text of it passes, and reaches the settings.
    private func read(_ text: String) -> Bool {
        do {
            let texts = try SettingsFile(text: text, path: "fuzz.yml").texts
            for (key, values) in texts {
                let setting = Setting.all.first { $0.key == key }
                #expect(setting?.fault(values) == nil, "\(text.debugDescription)")
            }
            return true
        } catch {
            #expect(error.description.hasPrefix("fuzz.yml"), "\(text.debugDescription)")
            return false
        }
    }

    @Test("Files that others stumbled over are taken or refused")
    func knownStumblesAreTakenOrRefused() {
        for text in Self.kept { _ = read(text) }
        #expect(read("? ring-size\n: 8\n"))
        #expect(!read("*a : 1\n"))
        #expect(!read("label: [sni:50, bogus]\n"))
    }

    @Test("Ten thousand mutations of whole files are taken or refused", arguments: [1, 2, 3, 4] as [UInt64])
    func mutatedSettingsAreTakenOrRefused(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        let whole = SettingExample.all.map { example in
            let texts = example.right[0].map { "\"\($0)\"" }
            return "\(example.key): "
                + (example.setting.form == .list ? "[\(texts.joined(separator: ", "))]" : texts[0])
        }.joined(separator: "\n")
        let seeds = [whole, SettingDocuments.file()] + Self.kept
        let pieces = [
            "&a ", "*a", "? ", ": ", "- ", "[", "]", "{", "}", "\"", "'", "|", ">", "#", "%", "!", "\n", "\t", "~",
        ]
        var taken = 0
        for _ in 0..<2500 {
            var bytes = Array(seeds.randomElement(using: &random)?.utf8 ?? "".utf8)
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...20, using: &random)))
                case 2: bytes.insert(contentsOf: (pieces.randomElement(using: &random) ?? "").utf8, at: place)
                default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 30)], at: place)
                }
            }
            if read(String(decoding: bytes, as: UTF8.self)) { taken += 1 }
        }
        // Both happen, or the mutations are too wild or too tame to say anything.
        #expect((1..<2500).contains(taken), "\(taken)")
    }
}
