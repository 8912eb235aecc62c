import TestSupport
import Foundation
import HandshakeProbe
import Handshakes
import Testing

@testable import tlswatch

/// The page in a browser, as it is served.
@Suite("The status page in a browser", .serialized) struct ChromiumTests {
    /// The page of a daemon that goes on: each request is answered a second later, with a P50 of as many milliseconds.
    private static func page(_ number: Int, _ status: StatusSnapshot = StatusFixtures.edge) -> [UInt8] {
        var status = status
        status.wallTime += Int64(number) * 1_000_000_000
        status.figures[1].p50 = UInt64(number) * 1_000_000
        return StatusPage.render(status, version: "1.2.3", host: "edge-7")
    }

    private static func served(_ body: [UInt8]) -> PageServer.Response {
        .init(headers: StatusPage.headers, body: body)
    }

    /// Without the policy and with a script of the test's own ahead of the page's.
    private static func probed(_ body: [UInt8], _ script: String) -> PageServer.Response {
        let page = String(decoding: body, as: UTF8.self)
            .replacing("</main>", with: "</main><script>\(script)</script>", maxReplacements: 1)
        return .init(headers: [("Content-Type", "text/html; charset=utf-8")], body: Array(page.utf8))
    }

    private static func server50(_ document: String) throws -> Int {
        let part = try StatusPageTests.part(document, from: "<h2 id=\"server\">", to: "</data>")
        return try #require(part.firstMatch(of: /class="p50">.*<data value="(\d+)"/).flatMap { Int($0.1) }) / 1_000_000
    }

    @Test("The script runs under the policy and replaces the figures")
    func theScriptRunsUnderThePolicyAndReplacesTheFigures() throws {
        let server = try PageServer { Self.served(Self.page($0)) }
        let result = try Chromium.document(server, after: 4_500)
        let shown = try Self.server50(result.output)
        #expect(shown > 1, "the figures are not those of the first page")
        #expect(shown <= server.requests)
        #expect(result.output.contains("<html lang=\"en\" data-version=\"1.2.3\" class=\"live\">"))
        #expect(result.output.contains("<span id=\"state-text\">live, as of</span>"))
        let time = DisplayText.time(StatusFixtures.wallTime + Int64(shown) * 1_000_000_000)
        #expect(result.output.contains("\(time.clock)</time>"))
        #expect(!result.errors.contains("Content Security Policy"), "\(result.errors)")
        #expect(!result.errors.contains("CONSOLE"), "\(result.errors)")
        #expect(result.output.components(separatedBy: "<main").count == 2)
    }

    @Test("The policy lets no other script run") func thePolicyLetsNoOtherScriptRun() throws {
        let server = try PageServer {
            Self.served(Self.probed(Self.page($0), "document.documentElement.dataset.intruder = 'yes'").body)
        }
        let result = try Chromium.document(server, after: 500)
        #expect(!result.output.contains("data-intruder"))
        #expect(result.errors.contains("Content Security Policy"))
    }

    @Test("Without scripts the figures are there") func withoutScriptsTheFiguresAreThere() throws {
        // A sandboxed document may run no script; the switch that turns them off everywhere also stops the dump.
        let server = try PageServer {
            var response = Self.served(Self.page($0))
            response.headers.append(("Content-Security-Policy", "sandbox"))
            return response
        }
        let result = try Chromium.document(server, after: 500)
        #expect(result.errors.contains("Blocked script execution"))
        // Where there are no scripts the page would load itself again, which a sandbox does not allow either.
        #expect(result.errors.contains("Refused to execute the redirect"))
        #expect(try Self.server50(result.output) == 1)
        #expect(result.output.contains("<span id=\"state-text\">as of</span>"))
        #expect(result.output.contains("<html lang=\"en\" data-version=\"1.2.3\">"))
        #expect(result.output.contains("Slowest sessions"))
    }

    @Test("Figures do not look live when the daemon is gone") func figuresDoNotLookLiveWhenTheDaemonIsGone() throws {
        let server = try PageServer { $0 < 3 ? Self.served(Self.page($0)) : nil }
        let result = try Chromium.document(server, after: 9_000)
        #expect(try Self.server50(result.output) == 2)
        #expect(result.output.contains("class=\"stale\""))
        #expect(result.output.contains("role=\"alert\">The daemon does not respond"))
        #expect(result.output.contains(/stale, \d+ s old, as of/))
    }

    @Test("Figures do not look live when they stand still") func figuresDoNotLookLiveWhenTheyStandStill() throws {
        let server = try PageServer { _ in Self.served(Self.page(1)) }
        let result = try Chromium.document(server, after: 9_000)
        #expect(result.output.contains("class=\"stale\""))
        #expect(result.output.contains("but its figures no longer change"))
    }

    @Test("An answer that is not the page is not shown") func anAnswerThatIsNotThePageIsNotShown() throws {
        let server = try PageServer {
            $0 < 2
                ? Self.served(Self.page($0))
                : .init(headers: [("Content-Type", "text/html")], body: Array("<p>no".utf8))
        }
        let result = try Chromium.document(server, after: 9_000)
        #expect(try Self.server50(result.output) == 1)
        #expect(result.output.contains("the answer is not from tlswatch"))
    }

    @Test("A page of another version is loaded whole") func anotherVersionIsLoadedWhole() throws {
        let server = try PageServer {
            Self.served(
                StatusPage.render(StatusFixtures.edge, version: $0 < 2 ? "1.2.3" : "1.2.4", host: "edge-7"))
        }
        #expect(try Chromium.document(server, after: 3_000).output.contains("<html lang=\"en\" data-version=\"1.2.4\""))
    }

    @Test("The reader's place on the page is kept") func theReadersPlaceIsKept() throws {
        let script = """
            const first = document.querySelector("summary");
            first.parentElement.open = true;
            first.focus();
            scrollTo(0, 300);
            setTimeout(() => { document.documentElement.dataset.place = document.activeElement.id + " " + scrollY; }, 3500);
            """
        let server = try PageServer { Self.probed(Self.page($0), script) }
        let document = try Chromium.document(server, after: 4_000).output
        #expect(try Self.server50(document) > 1)
        let first = try #require(StatusFixtures.slowest.first)
        let identifier = "s\(first.pid)-\(first.tid)-\(first.start)"
        #expect(document.contains("data-place=\"\(identifier) 300\""))
        #expect(document.contains("<details open=\"\"><summary id=\"\(identifier)\">"))
        #expect(document.components(separatedBy: "<details open").count == 2)
    }

    @Test("A selection is not taken away") func aSelectionIsNotTakenAway() throws {
        let script = "getSelection().selectAllChildren(document.querySelector('#main'));"
        let server = try PageServer { Self.probed(Self.page($0), script) }
        let document = try Chromium.document(server, after: 9_000).output
        #expect(try Self.server50(document) == 1)
        #expect(server.requests == 1)
        #expect(document.contains("paused while text is selected, as of"))
    }

    @Test(
        "No text breaks the layout or becomes an element",
        arguments: [
            "plain", String(repeating: "W", count: 255), String(repeating: "/very-long-directory", count: 205),
            "<img src=x onerror=\"document.documentElement.dataset.intruder='yes'\">",
            "e" + String(repeating: "\u{301}", count: 2_000),
        ])
    func noTextBreaksTheLayoutOrBecomesAnElement(_ text: String) throws {
        let script = """
            for (const details of document.querySelectorAll("details")) details.open = true;
            setTimeout(() => {
              const root = document.documentElement;
              root.dataset.width = root.scrollWidth;
              root.dataset.images = document.images.length;
            }, 200);
            """
        let server = try PageServer { Self.probed(Self.page($0, StatusFixtures.hostile(text)), script) }
        let document = try Chromium.document(server, after: 400, width: 360).output
        #expect(document.contains("data-width=\"360\""), "\(document.prefix(200))")
        #expect(document.contains("data-images=\"0\""))
        #expect(!document.contains("data-intruder"))
    }

    @Test("It is drawn in either theme", arguments: [1_280, 390], [Chromium.Theme.light, .dark])
    func itIsDrawnInEitherTheme(_ width: Int, _ theme: Chromium.Theme) throws {
        let server = try PageServer { Self.served(Self.page($0)) }
        let png = try Chromium.screenshot(server, width: width, height: 1_000, theme: theme)
        // The first pixel of a PNG's first row is stored as it is, whatever the row's filter.
        let facts = try Witness.python(
            """
            import sys, zlib, struct
            png = sys.stdin.buffer.read()
            assert png[:8] == b'\\x89PNG\\r\\n\\x1a\\n'
            width, height, depth, kind = struct.unpack('>IIBB', png[16:26])
            data, place = b'', 8
            while place < len(png):
                length, = struct.unpack('>I', png[place:place + 4])
                if png[place + 4:place + 8] == b'IDAT': data += png[place + 8:place + 8 + length]
                place += length + 12
            rows = zlib.decompress(data)
            stride = len(rows) // height
            distinct = len({rows[row * stride + 1:(row + 1) * stride] for row in range(height)})
            print(width, height, depth, rows[1:4].hex(), distinct)
            """, input: png
        ).split(separator: " ").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
        try #require(facts.count == 5)
        #expect(Array(facts[..<4]) == ["\(width)", "1000", "8", theme == .dark ? "0e1114" : "f4f3ef"])
        #expect(try #require(Int(facts[4])) > 200, "a blank page has rows that are all alike")
    }
}
