import HandshakeProbe
import Handshakes

/// A piece of a page. Literals are markup; whatever is interpolated is text and is escaped, so that a stranger's
/// name cannot become an element or, between double quotes, end an attribute. Only another `HTML` goes in as it is.
struct HTML: ExpressibleByStringInterpolation, Sendable {
    private(set) var bytes: [UInt8]

    init(stringLiteral markup: String) { bytes = Array(markup.utf8) }

    init(stringInterpolation: Interpolation) { bytes = stringInterpolation.bytes }

    static func += (page: inout HTML, piece: HTML) { page.bytes += piece.bytes }

    struct Interpolation: StringInterpolationProtocol {
        fileprivate var bytes: [UInt8] = []

        init(literalCapacity: Int, interpolationCount: Int) {
            bytes.reserveCapacity(literalCapacity + 16 * interpolationCount)
        }

        mutating func appendLiteral(_ markup: String) { bytes += markup.utf8 }

        mutating func appendInterpolation(_ piece: HTML) { bytes += piece.bytes }

        /// Text of our own, for an element or a quoted attribute.
        mutating func appendInterpolation(_ text: String) { appendEscaped(text) }

        /// Text that may be anybody's, for an element: cut, and kept from turning its neighbours around.
        mutating func appendInterpolation(foreign text: String) {
            // Plain text cannot turn anything around, and most is plain.
            if text.utf8.count <= HTML.longestText, text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) {
                appendEscaped(text)
            } else {
                bytes += "<bdi>".utf8
                appendInterpolation(attribute: text)
                bytes += "</bdi>".utf8
            }
        }

        /// Text that may be anybody's, for a quoted attribute: cut, and without control characters.
        mutating func appendInterpolation(attribute text: String) {
            appendEscaped(PeerText.clean(HTML.shortened(text)))
        }

        /// Text of the reader's own, whole: between double quotes, or as an element's text, which a line break does not leave.
        mutating func appendInterpolation(given text: String) {
            appendEscaped(
                String(
                    String.UnicodeScalarView(
                        text.unicodeScalars.map { scalar in
                            let acts: [Unicode.GeneralCategory] = [
                                .control, .format, .lineSeparator, .paragraphSeparator,
                            ]
                            let isPlain = scalar == "\n" || !acts.contains(scalar.properties.generalCategory)
                            return isPlain ? scalar : "\u{fffd}"
                        })))
        }

        /// The same for a name in snake case, which may be broken behind each underscore.
        mutating func appendInterpolation(reason text: String) {
            let start = bytes.count
            appendInterpolation(foreign: text)
            let escaped = bytes[start...]
            bytes.removeSubrange(start...)
            for byte in escaped {
                bytes.append(byte)
                if byte == UInt8(ascii: "_") { bytes += "<wbr>".utf8 }
            }
        }

        mutating func appendInterpolation(_ number: some BinaryInteger) { bytes += String(number).utf8 }

        /// A place in a drawing, to two decimals.
        mutating func appendInterpolation(place: Double) {
            // What is not finite would make the drawing invalid.
            let hundredths = place.isFinite ? Int((min(max(place, -1e6), 1e6) * 100).rounded()) : 0
            if hundredths < 0 { bytes.append(UInt8(ascii: "-")) }
            let (whole, fraction) = hundredths.magnitude.quotientAndRemainder(dividingBy: 100)
            appendInterpolation(whole)
            guard fraction > 0 else { return }
            bytes.append(UInt8(ascii: "."))
            bytes.append(UInt8(ascii: "0") + UInt8(fraction / 10))
            if fraction % 10 > 0 { bytes.append(UInt8(ascii: "0") + UInt8(fraction % 10)) }
        }

        /// The same to one decimal, where there are many.
        mutating func appendInterpolation(tenths: Double) {
            appendInterpolation(place: (tenths * 10).rounded() / 10)
        }

        private static func isSpecial(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "&"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""): true
            default: false
            }
        }

        private mutating func appendEscaped(_ text: String) {
            if text.utf8.allSatisfy({ !Self.isSpecial($0) }) {
                bytes += text.utf8
                return
            }
            for byte in text.utf8 {
                switch byte {
                case UInt8(ascii: "&"): bytes += "&amp;".utf8
                case UInt8(ascii: "<"): bytes += "&lt;".utf8
                case UInt8(ascii: ">"): bytes += "&gt;".utf8
                case UInt8(ascii: "\""): bytes += "&quot;".utf8
                default: bytes.append(byte)
                }
            }
        }
    }

    /// Characters of a foreign text that a page shows, at most.
    static let longestText = 120

    /// The begin and the end of a text that is too long: of a path the end says more. Counted in scalars, since one
    /// character may hold any number of them.
    static func shortened(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard text.utf8.count > longestText, scalars.count > longestText else { return text }
        let half = longestText / 2
        return "\(String(scalars.prefix(half - 1)))…\(String(scalars.suffix(half)))"
    }
}
