import Handshakes

/// Columns of text that fit a terminal: those that may shrink do, with an ellipsis, the widest first.
struct TextTable {
    struct Column {
        var head: String
        /// Numbers are.
        var isRight = true
        /// How narrow it may become; `nil`: as its content is.
        var least: Int?
    }

    var columns: [Column]
    var rows: [[String]] = []

    /// Lines without padding at their ends, the head first.
    ///
    /// - Parameter width: of the terminal; `nil`: as wide as the content is.
    func lines(width: Int?) -> [String] {
        let heads = columns.map(\.head)
        var widths = columns.indices.map { column in
            rows.reduce(CellText.width(heads[column])) { max($0, CellText.width($1[column])) }
        }
        if let width {
            var excess = widths.reduce(widths.count - 1, +) - width
            // What cannot shrink any more leaves what is last out of sight.
            while excess > 0 {
                let candidates = columns.indices.filter { widths[$0] > (columns[$0].least ?? .max) }
                guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
                widths[widest] -= 1
                excess -= 1
            }
        }
        return ([heads] + rows).map { row in
            let cells = columns.indices.map {
                CellText.fitted(row[$0], to: widths[$0], alignsRight: columns[$0].isRight)
            }
            let line = CellText.trimmed(cells.joined(separator: " "))
            return width.map { CellText.fitted(line, to: $0, pads: false) } ?? line
        }
    }
}

/// Text in the cells of a terminal. Characters that take two cells (East Asian ones, emoji) are counted as two, those that
/// combine with the one before them as none.
enum CellText {
    static func width(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.unicodeScalars.reduce(0) { $0 + width($1) }
    }

    private static func width(_ scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x300 { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        // East Asian Wide and Fullwidth (Unicode annex 11), by blocks.
        switch scalar.value {
        case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff,
            0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f680...0x1f6ff, 0x1f900...0x1f9ff,
            0x20000...0x3fffd:
            return 2
        default: return 1
        }
    }

    /// Cut with an ellipsis if it is longer, else padded.
    static func fitted(_ text: String, to width: Int, alignsRight: Bool = false, pads: Bool = true) -> String {
        let own = Self.width(text)
        if own <= width {
            guard pads else { return text }
            let padding = String(repeating: " ", count: width - own)
            return alignsRight ? padding + text : text + padding
        }
        var result = String.UnicodeScalarView()
        var used = 0
        for scalar in text.unicodeScalars {
            let next = Self.width(scalar)
            if used + next > width - 1 { break }
            used += next
            result.append(scalar)
        }
        let cut = String(result) + (width > 0 ? "…" : "")
        return pads ? cut + String(repeating: " ", count: max(0, width - used - 1)) : cut
    }

    /// Nothing but text to the right.
    static func trimmed(_ text: String) -> String { String(text.reversed().drop { $0 == " " }.reversed()) }
}
