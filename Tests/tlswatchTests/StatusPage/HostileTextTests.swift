import Handshakes
import Foundation
import HandshakeProbe
import Testing

@testable import tlswatch

/// What strangers name themselves must not become markup.
@Suite("Strangers' texts on the page") struct HostileTextTests {
    static let texts: [String] = [
        "<script>alert(1)</script>", "</title></style></script><img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)\" x=\"", "' onfocus='alert(1)' autofocus='", "<!-- ", "]]>", "<svg/onload=alert(1)>",
        "&lt;b&gt;&#60;b&#62;&amp", "javascript:alert(1)", "\u{0}\u{1}\u{8}\u{b}\u{1b}[31m\u{7f}\u{85}\r\n\t",
        "\u{202e}evil\u{202d}\u{2066}x\u{2069}\u{200f}", "\u{2028}\u{2029}\u{feff}\u{e000}", "שלום عالم", "",
        String(decoding: [0xff, 0xc0, 0x80, 0x3c, 0x62, 0x3e, 0xe2, 0x82], as: UTF8.self),
        String(repeating: "<b>\"'&", count: 37), String(repeating: "/very-long-directory", count: 205),
        "e" + String(repeating: "\u{301}", count: 2_000),
    ]

    /// The elements in order, each with the names of its attributes; without those that keep a foreign text apart.
    static func structure(_ page: [UInt8]) throws -> [Substring] {
        try Witness.python(
            """
            import sys
            from html.parser import HTMLParser
            class Names(HTMLParser):
                def handle_starttag(self, tag, attributes):
                    if tag not in ('bdi', 'wbr'): print('<', tag, *(name for name, _ in attributes))
                def handle_endtag(self, tag):
                    if tag not in ('bdi', 'wbr'): print('>', tag)
                def handle_comment(self, text): print('comment')
                def unknown_decl(self, text): print('declaration')
            Names().feed(sys.stdin.buffer.read().decode('utf-8'))
            """, input: page
        ).split(separator: "\n")
    }

    @Test("No text becomes markup", arguments: texts)
    func noTextBecomesMarkup(_ text: String) throws {
        let plain = try Self.structure(StatusPage.render(StatusFixtures.hostile("plain"), version: "1", host: "plain"))
        let page = StatusPage.render(StatusFixtures.hostile(text), version: "1", host: text)
        let found = try Self.structure(page)
        #expect(plain.count > 500)
        #expect(found == plain)
        // Valid UTF-8, and no character that acts instead of being shown.
        let valid = try #require(String(validating: page, as: UTF8.self))
        #expect(
            valid.unicodeScalars.allSatisfy {
                $0 == "\n"
                    || ![.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
            })
        #expect(page.count < 200_000)
    }

    @Test("Long texts are cut in the middle") func longTextsAreCutInTheMiddle() {
        let path = "/begin" + String(repeating: "x", count: 4_000) + "/libssl.so.3"
        let cut = HTML.shortened(path)
        #expect(cut.unicodeScalars.count == HTML.longestText)
        #expect(cut.hasPrefix("/begin"))
        #expect(cut.hasSuffix("/libssl.so.3"))
        #expect(cut.contains("…"))
        #expect(HTML.shortened(String(repeating: "ü", count: HTML.longestText)).contains("…") == false)
    }

    @Test("No text ends its attribute") func noTextEndsItsAttribute() {
        let html: HTML = "<p title=\"\(attribute: "\" id=\"<&>\u{202e}")\">\("\"<b>")</p>"
        #expect(
            String(decoding: html.bytes, as: UTF8.self)
                == "<p title=\"&quot; id=&quot;&lt;&amp;&gt;\u{fffd}\">&quot;&lt;b&gt;</p>")
    }

    @Test("Texts from right to left are isolated") func rightToLeftTextsAreIsolated() {
        let html: HTML = "<p>\(foreign: "שלום") \(foreign: "plain")</p>"
        #expect(String(decoding: html.bytes, as: UTF8.self) == "<p><bdi>שלום</bdi> plain</p>")
    }

    @Test("Times that make no sense stay inside the drawing") func timesThatMakeNoSenseStayInTheDrawing() throws {
        var status = StatusFixtures.edge
        let moments: [UInt64?] = [nil, 0, 1, StatusFixtures.now, .max]
        status.slowest = moments.flatMap { first in
            moments.map { second in
                var handshake = StatusFixtures.slowest[0]
                handshake.timeline.connecting = first
                handshake.timeline.established = second
                handshake.timeline.clientHello = second
                handshake.timeline.keyExchangeBegin = first
                handshake.timeline.keyExchangeEnd = second
                handshake.timeline.alpnDecided = first
                handshake.timeline.finished = second
                return handshake
            }
        }
        var instant = StatusFixtures.slowest[0]
        (instant.end, instant.duration) = (instant.start, 0)
        status.slowest.append(instant)
        status.figures[0].points[3] = .init(completed: .max, p50: 0, p90: .max, p99: .max)
        let page = try StatusPageTests.page(status)
        let places = page.matches(of: /<rect class="[a-z]+" x="([-0-9.]+)%" width="([-0-9.]+)%"/)
        #expect(places.count > 100)
        for place in places {
            let (left, width) = (Double(place.1) ?? .nan, Double(place.2) ?? .nan)
            #expect(left >= 0, "\(place.0)")
            #expect(width >= 0, "\(place.0)")
            #expect(left + width <= 100.02, "\(place.0)")
        }
    }
}
