/// A compiled regular expression that is looked for anywhere in a text, in time proportional to the text: each character
/// costs at most one pass over the pattern's positions, whatever the pattern.
///
/// The positions' automaton (Glushkov 1961): a state is a set of positions, kept as bits; no position has an empty move.
/// The text's beginning and end are symbols of their own, which `^` and `$` stand for.
package struct TextPattern: Sendable {
    /// Positions of a pattern, at most: characters, classes and anchors, with counted repetitions written out.
    package static let limit = 256
    typealias Set = SIMD4<UInt64>

    /// A position's character by itself, for what lies beyond ASCII.
    struct Wide: Sendable, Equatable {
        let range: ClosedRange<UInt32>
        let position: Int
    }

    /// Positions that a match begins with, and those that it may end with.
    let first: Set
    let last: Set
    /// By position: those that may stand behind it.
    let follow: [Set]
    /// By ASCII character, then the symbols below: positions that it stands at.
    let narrow: [Set]
    /// Positions of every character beyond ASCII, besides `wide`.
    let anyWide: Set
    let wide: [Wide]
    /// Whether the empty text matches: then all do.
    let matchesEmpty: Bool

    static let beginning = 128
    static let end = 129
    static let symbols = 130

    /// Whether the pattern matches some part of the text.
    package func matches(_ text: String) -> Bool {
        if matchesEmpty { return true }
        var state = first & narrow[Self.beginning]
        if !Self.isEmpty(state & last) { return true }
        var text = text
        let found = text.withUTF8 { bytes in
            var index = 0
            while index < bytes.count {
                let byte = unsafe bytes[index]
                if byte < 0x80 {
                    state = step(state, by: narrow[Int(byte)])
                    index += 1
                } else {
                    let (scalar, length) = unsafe Self.scalar(in: bytes, at: index)
                    state = step(state, by: positions(of: scalar))
                    index += length
                }
                if !Self.isEmpty(state & last) { return true }
            }
            return false
        }
        return found || !Self.isEmpty(step(state, by: narrow[Self.end]) & last)
    }

    /// A match goes on, or begins here.
    private func step(_ state: Set, by symbol: Set) -> Set {
        var next = first
        for word in 0..<4 {
            var bits = state[word]
            while bits != 0 {
                next |= follow[word &* 64 &+ bits.trailingZeroBitCount]
                bits &= bits &- 1
            }
        }
        return next & symbol
    }

    private func positions(of scalar: UInt32) -> Set {
        var set = anyWide
        for entry in wide where entry.range.contains(scalar) { Self.insert(entry.position, into: &set) }
        return set
    }

    /// The text is a `String`'s: valid UTF-8.
    private static func scalar(in bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (UInt32, length: Int) {
        let lead = unsafe UInt32(bytes[index])
        let length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
        var scalar = lead & (length == 4 ? 0x07 : length == 3 ? 0x0f : 0x1f)
        for next in index + 1..<index + length { scalar = unsafe scalar << 6 | UInt32(bytes[next]) & 0x3f }
        return (scalar, length)
    }

    static func isEmpty(_ set: Set) -> Bool { (set[0] | set[1] | set[2] | set[3]) == 0 }

    static func insert(_ position: Int, into set: inout Set) { set[position >> 6] |= 1 << UInt64(position & 63) }
}
