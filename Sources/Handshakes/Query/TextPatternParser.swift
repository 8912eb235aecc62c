/// What is wrong with a regular expression, and where in it: offsets of characters (Unicode scalars).
package struct TextPatternError: Error, Sendable, Equatable {
    package let message: String
    package let place: Range<Int>
}

extension TextPattern {
    /// The syntax that regular expressions have in common: `.`, `[a-z]`, `[^a-z]`, `\d \w \s` and their opposites, `*`, `+`,
    /// `?`, `{2,5}`, `|`, groups, `^`, `$`; `(?i)` at the beginning ignores the case of ASCII letters. What cannot be had in
    /// time proportional to the text (back references, assertions) is refused.
    package init(_ text: String) throws(TextPatternError) {
        var parser = TextPatternParser(text)
        self = try parser.pattern()
    }
}

/// Reads a regular expression and builds its automaton as it goes.
struct TextPatternParser {
    /// Groups within groups, at most: each is a call.
    private static let depthLimit = 50
    /// Atoms that are read, at most: a counted repetition reads its own again, which may be an empty group.
    private static let atomLimit = 16 * TextPattern.limit

    /// A part of the pattern, by its positions.
    private struct Part {
        var first = TextPattern.Set()
        var last = TextPattern.Set()
        var isNullable = true
    }

    /// What stands at one position.
    private struct Symbols {
        /// ASCII characters, and the text's beginning and end.
        var narrow: [Bool] = Array(repeating: false, count: TextPattern.symbols)
        var anyWide = false
        var wide: [ClosedRange<UInt32>] = []

        mutating func insert(_ range: ClosedRange<UInt32>) {
            for value in range.lowerBound...max(range.lowerBound, min(range.upperBound, 0x7f)) where value < 0x80 {
                narrow[Int(value)] = true
            }
            if range.upperBound >= 0x80 { wide.append(max(range.lowerBound, 0x80)...range.upperBound) }
        }

        mutating func formUnion(_ other: Symbols) {
            for index in narrow.indices where other.narrow[index] { narrow[index] = true }
            anyWide = anyWide || other.anyWide
            wide += other.wide
        }

        /// Every other character; the text's beginning and end are none.
        var complement: Symbols {
            var result = Symbols()
            for index in 0..<0x80 { result.narrow[index] = !narrow[index] }
            result.anyWide = !anyWide
            guard !anyWide, !wide.isEmpty else { return result }
            // What lies between the ranges.
            result.anyWide = false
            var next: UInt32 = 0x80
            for range in wide.sorted(by: { $0.lowerBound < $1.lowerBound }) {
                if range.lowerBound > next { result.wide.append(next...range.lowerBound - 1) }
                next = max(next, range.upperBound &+ 1)
            }
            if next <= 0x10ffff { result.wide.append(next...0x10ffff) }
            return result
        }

        mutating func ignoreCase() {
            for upper in 0x41...0x5a {
                let either = narrow[upper] || narrow[upper + 0x20]
                narrow[upper] = either
                narrow[upper + 0x20] = either
            }
        }
    }

    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var depth = 0
    private var atoms = 0
    private var ignoresCase = false
    private var positions: [Symbols] = []
    private var follow: [TextPattern.Set] = []

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    mutating func pattern() throws(TextPatternError) -> TextPattern {
        if scalars.starts(with: "(?i)".unicodeScalars) {
            ignoresCase = true
            index = 4
        }
        let whole = try alternatives()
        // Only a ')' ends them early.
        guard index == scalars.count else { throw error("unmatched ')'", index..<index + 1) }
        var narrow = [TextPattern.Set](repeating: TextPattern.Set(), count: TextPattern.symbols)
        var anyWide = TextPattern.Set()
        var wide: [TextPattern.Wide] = []
        for (position, symbols) in positions.enumerated() {
            for symbol in narrow.indices where symbols.narrow[symbol] {
                TextPattern.insert(position, into: &narrow[symbol])
            }
            if symbols.anyWide { TextPattern.insert(position, into: &anyWide) }
            wide += symbols.wide.map { TextPattern.Wide(range: $0, position: position) }
        }
        return TextPattern(
            first: whole.first, last: whole.last, follow: follow, narrow: narrow, anyWide: anyWide, wide: wide,
            matchesEmpty: whole.isNullable)
    }

    // MARK: the grammar

    private mutating func alternatives() throws(TextPatternError) -> Part {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else {
            throw error("groups are nested more than \(Self.depthLimit) levels deep", index..<index + 1)
        }
        var result = try sequence()
        while peek == "|" {
            index += 1
            let other = try sequence()
            result.first |= other.first
            result.last |= other.last
            result.isNullable = result.isNullable || other.isNullable
        }
        return result
    }

    private mutating func sequence() throws(TextPatternError) -> Part {
        var result = Part()
        while let next = peek, next != "|", next != ")" {
            let start = index
            let part = try repeated(from: start)
            result = join(result, part)
        }
        return result
    }

    private mutating func join(_ left: Part, _ right: Part) -> Part {
        link(left.last, to: right.first)
        return Part(
            first: left.isNullable ? left.first | right.first : left.first,
            last: right.isNullable ? left.last | right.last : right.last,
            isNullable: left.isNullable && right.isNullable)
    }

    private mutating func link(_ ends: TextPattern.Set, to beginnings: TextPattern.Set) {
        for position in follow.indices where ends[position >> 6] & 1 << UInt64(position & 63) != 0 {
            follow[position] |= beginnings
        }
    }

    /// An atom with what stands behind it: `*`, `+`, `?`, `{2,5}`.
    private mutating func repeated(from start: Int) throws(TextPatternError) -> Part {
        let atom = try self.atom()
        let end = index
        guard let counts = try quantifier() else { return atom }
        // Whether as many as possible or as few makes no difference to whether there is a match.
        if peek == "?" || peek == "+" { index += 1 }
        guard try quantifier() == nil else { throw error("two repetitions of one thing", end..<index) }
        let behind = index
        defer { index = behind }
        guard let most = counts.most else {
            // The last of so many again and again.
            var result = counts.least == 0 ? atom : try copies(of: atom, start..<end, max(1, counts.least))
            let repeated = counts.least <= 1 ? result : lastCopy
            link(repeated.last, to: repeated.first)
            result.isNullable = result.isNullable || counts.least == 0
            return result
        }
        // None of it: its positions stand nowhere.
        guard most > 0 else { return Part() }
        var result = counts.least == 0 ? optional(atom) : try copies(of: atom, start..<end, counts.least)
        for _ in max(1, counts.least)..<max(1, most) { result = join(result, optional(try copy(start..<end))) }
        return result
    }

    private var lastCopy = Part()

    private func optional(_ part: Part) -> Part {
        var part = part
        part.isNullable = true
        return part
    }

    /// So many in a row, the first of which was read already.
    private mutating func copies(of atom: Part, _ place: Range<Int>, _ count: Int) throws(TextPatternError) -> Part {
        var result = atom
        lastCopy = atom
        for _ in 1..<max(1, count) {
            lastCopy = try copy(place)
            let last = lastCopy
            result = join(result, last)
            lastCopy = last
        }
        return result
    }

    /// The atom once more, at positions of its own.
    private mutating func copy(_ place: Range<Int>) throws(TextPatternError) -> Part {
        let outer = lastCopy
        defer { lastCopy = outer }
        index = place.lowerBound
        return try atom()
    }

    private mutating func quantifier() throws(TextPatternError) -> (least: Int, most: Int?)? {
        switch peek {
        case "*":
            index += 1
            return (0, nil)
        case "+":
            index += 1
            return (1, nil)
        case "?":
            index += 1
            return (0, 1)
        case "{":
            let start = index
            index += 1
            guard let least = number() else { throw error("expected a number after '{'", start..<start + 1) }
            var most: Int? = least
            if peek == "," {
                index += 1
                most = number()
            }
            guard peek == "}" else { throw error("'{' is not closed", start..<start + 1) }
            index += 1
            guard most.map({ $0 >= least }) ?? true, max(least, most ?? 0) <= TextPattern.limit else {
                throw error("repetitions go from 0 to \(TextPattern.limit), the lower first", start..<index)
            }
            return (least, most)
        default: return nil
        }
    }

    private mutating func number() -> Int? {
        let start = index
        while let digit = peek, ("0"..."9").contains(digit), index - start < 4 { index += 1 }
        return Int(String(String.UnicodeScalarView(scalars[start..<index])))
    }

    private mutating func atom() throws(TextPatternError) -> Part {
        let start = index
        guard let scalar = peek else { return Part() }
        index += 1
        atoms += 1
        guard atoms <= Self.atomLimit else { throw tooLong(start) }
        switch scalar {
        case "(":
            if peek == "?" {
                guard scalars[index...].starts(with: "?:".unicodeScalars) else {
                    throw error("'(?' is not supported, except '(?:' and, at the beginning, '(?i)'", start..<start + 2)
                }
                index += 2
            }
            let inner = try alternatives()
            guard peek == ")" else { throw error("'(' is not closed", start..<start + 1) }
            index += 1
            return inner
        case "*", "+", "?", "{": throw error("nothing to repeat before '\(scalar)'", start..<index)
        case ".":
            var all = Symbols()
            all = all.complement
            return try position(all, start)
        case "^": return try anchor(TextPattern.beginning, start)
        case "$": return try anchor(TextPattern.end, start)
        case "[": return try position(characterClass(from: start), start)
        case "\\": return try position(escape(from: start), start)
        default:
            var one = Symbols()
            one.insert(scalar.value...scalar.value)
            return try position(one, start)
        }
    }

    private mutating func anchor(_ symbol: Int, _ start: Int) throws(TextPatternError) -> Part {
        if let next = peek, "*+?{".unicodeScalars.contains(next) {
            throw error("'\(scalars[start])' cannot be repeated", start..<index + 1)
        }
        var symbols = Symbols()
        symbols.narrow[symbol] = true
        return try position(symbols, start)
    }

    private mutating func position(_ symbols: Symbols, _ start: Int) throws(TextPatternError) -> Part {
        guard positions.count < TextPattern.limit else { throw tooLong(start) }
        var symbols = symbols
        if ignoresCase { symbols.ignoreCase() }
        var set = TextPattern.Set()
        TextPattern.insert(positions.count, into: &set)
        positions.append(symbols)
        follow.append(TextPattern.Set())
        return Part(first: set, last: set, isNullable: false)
    }

    // MARK: characters

    private mutating func characterClass(from start: Int) throws(TextPatternError) -> Symbols {
        var result = Symbols()
        var isComplement = false
        if peek == "^" {
            isComplement = true
            index += 1
        }
        let inside = index
        while let scalar = peek, scalar != "]" || index == inside {
            let begin = index
            index += 1
            var low = scalar
            if scalar == "\\" {
                let escaped = try escape(from: begin)
                guard let single = singleEscape(at: begin) else {
                    result.formUnion(escaped)
                    continue
                }
                low = single
            }
            guard peek == "-", index + 1 < scalars.count, scalars[index + 1] != "]" else {
                result.insert(low.value...low.value)
                continue
            }
            index += 1
            var high = scalars[index]
            index += 1
            if high == "\\" {
                _ = try escape(from: index - 1)
                guard let single = singleEscape(at: index - 2) else {
                    throw error("a range ends with a character", begin..<index)
                }
                high = single
            }
            guard low.value <= high.value else { throw error("the range is the wrong way round", begin..<index) }
            result.insert(low.value...high.value)
        }
        guard peek == "]" else { throw error("'[' is not closed", start..<start + 1) }
        index += 1
        // Before the complement: [^a] without case is neither of the two.
        if ignoresCase { result.ignoreCase() }
        return isComplement ? result.complement : result
    }

    /// The character that the escape at `place` stands for; `nil` where it is a class.
    private func singleEscape(at place: Int) -> Unicode.Scalar? {
        let scalar = scalars[place + 1]
        return "dDwWsS".unicodeScalars.contains(scalar) ? nil : scalar == "t" ? "\t" : scalar
    }

    /// Behind the backslash at `start`.
    private mutating func escape(from start: Int) throws(TextPatternError) -> Symbols {
        guard let scalar = peek else { throw error("a backslash at the end", start..<start + 1) }
        index += 1
        var result = Symbols()
        switch scalar {
        case "d", "D": result.insert(0x30...0x39)
        case "w", "W":
            for range in [0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f...0x5f] as [ClosedRange<UInt32>] {
                result.insert(range)
            }
        case "s", "S":
            result.insert(0x09...0x0d)
            result.insert(0x20...0x20)
        case "t": result.insert(0x09...0x09)
        default:
            guard !(scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)) else {
                throw error("'\\\(scalar)' is not supported", start..<index)
            }
            result.insert(scalar.value...scalar.value)
        }
        return "DWS".unicodeScalars.contains(scalar) ? result.complement : result
    }

    private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private func tooLong(_ start: Int) -> TextPatternError {
        error(
            "the regular expression is too long: more than \(TextPattern.limit) characters with repetitions written out",
            start..<index)
    }

    private func error(_ message: String, _ place: Range<Int>) -> TextPatternError {
        let end = min(place.upperBound, max(scalars.count, place.lowerBound))
        return TextPatternError(message: message, place: min(place.lowerBound, end)..<end)
    }
}
