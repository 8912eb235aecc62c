import ArgumentParser
import Testing

@testable import tlswatch

@Suite("Hints on usage") struct UsageHintTests {
    @Test(
        "A command that is mistyped is met with the nearest one",
        arguments: [
            (["captur"], "'tlswatch capture'"), (["doktor"], "'tlswatch doctor'"),
            (["check"], "'tlswatch check-config'"),
            (["xyzzyx"], "there are run, capture, "), (["capture"], nil), (["help"], nil), (["--version"], nil),
            ([], nil),
        ] as [([String], String?)])
    func commands(_ arguments: [String], _ words: String?) {
        let hint = UsageHint.unknownCommand(arguments)
        #expect((hint == nil) == (words == nil))
        if let words { #expect(hint?.contains(words) == true, "\(hint ?? "")") }
    }

    @Test("A command to capture without -- before it is shown with it")
    func terminator() throws {
        func hint(_ arguments: [String]) throws -> String? {
            let error = try #require(throws: (any Error).self) { try TLSWatch.parseAsRoot(arguments) }
            return UsageHint.forgottenTerminator(arguments, TLSWatch.message(for: error))
        }
        #expect(
            try hint(["capture", "--duration", "10s", "curl", "https://a.example/"])?
                .hasSuffix("tlswatch capture --duration 10s -- curl https://a.example/") == true)
        #expect(try hint(["capture", "--duraton", "10s"]) == nil)
        #expect(try hint(["replay"]) == nil)
    }
}
