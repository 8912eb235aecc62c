import Code
import TestSupport
import Testing

@testable import HandshakeProbe

@Suite("A file that several stacks recognise") struct SeveralStacksTests {
    private enum Mistaken: TLSStack {
        static let name = "mistaken"
        static let title = "Mistaken"
        static let libraries: [String] = []
        static var rules: SessionRules { .openSSL }
        static func recognises(_ file: ELFFile) -> Bool { true }
        static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
            throw AnalysisError("it has my texts and not my code")
        }
    }

    private enum AlsoMistaken: TLSStack {
        static let name = "also_mistaken"
        static let title = "Also mistaken"
        static let libraries: [String] = []
        static var rules: SessionRules { .openSSL }
        static func recognises(_ file: ELFFile) -> Bool { true }
        static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
            throw AnalysisError("another")
        }
    }

    private enum Right: TLSStack {
        static let name = "right"
        static let title = "Right"
        static let libraries: [String] = []
        static var rules: SessionRules { .openSSL }
        static func recognises(_ file: ELFFile) -> Bool { true }
        static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
            LibraryAnalysis(stack: name, version: nil, sites: [], notes: [])
        }
    }

    @Test("Goes to the first that can read it") func theFirstThatCanReadIt() throws {
        let file = try CodeImage.file([0xc3])
        #expect(try TLSStacks([Mistaken.self, Right.self]).analyse(file)?.stack == "right")
        #expect(try TLSStacks([Right.self, Mistaken.self]).analyse(file)?.stack == "right")
    }

    @Test("Is reported with the first one's words where none can") func noneCan() throws {
        let file = try CodeImage.file([0xc3])
        let error = try #require(throws: AnalysisError.self) {
            try TLSStacks([Mistaken.self, AlsoMistaken.self]).analyse(file)
        }
        #expect(error.description == "it has my texts and not my code" && error.stack == Mistaken.name)
    }
}
