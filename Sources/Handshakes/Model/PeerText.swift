/// Text that a peer chose: made safe before it goes anywhere.
package enum PeerText {
    /// Valid UTF-8 without control characters: every other byte or character becomes U+FFFD.
    package static func clean(_ bytes: UnsafeRawBufferPointer) -> String {
        let plain = unsafe bytes.allSatisfy { (0x20..<0x7f).contains($0) }
        let text = unsafe String(decoding: bytes, as: UTF8.self)
        return plain ? text : clean(text)
    }

    /// The same for text that is a `String` already.
    package static func clean(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                result.append("\u{fffd}")
            default:
                result.append(scalar)
            }
        }
        return String(result)
    }
}
