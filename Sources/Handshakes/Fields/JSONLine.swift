/// A session as one line of JSON: the table's fields in its order; what is absent is left out.
public enum JSONLine {
    public static func append(_ handshake: Handshake, to output: inout [UInt8]) {
        let begin = output.count
        for field in HandshakeField.all {
            guard let value = field.value(handshake) else { continue }
            output.append(contentsOf: field.key)
            switch value {
            case .text(let text): JSONText.append(text, to: &output)
            case .time:
                output.append(UInt8(ascii: "\""))
                value.append(to: &output)
                output.append(UInt8(ascii: "\""))
            case .count, .nanoseconds, .flag, .ratio: value.append(to: &output)
            }
        }
        // Each key has a comma before it, and there is one: `time` is never absent.
        output[begin] = UInt8(ascii: "{")
        output.append(UInt8(ascii: "}"))
        output.append(UInt8(ascii: "\n"))
    }
}

/// Texts as JSON has them (RFC 8259 section 7).
package enum JSONText {
    /// Appends `text` in quotes.
    package static func append(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        if text.utf8.contains(where: needsEscape) {
            for byte in text.utf8 { appendEscaped(byte, to: &output) }
        } else {
            output.append(contentsOf: text.utf8)
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x7f || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func appendEscaped(_ byte: UInt8, to output: inout [UInt8]) {
        guard needsEscape(byte) else { return output.append(byte) }
        output.append(UInt8(ascii: "\\"))
        guard byte < 0x20 || byte == 0x7f else { return output.append(byte) }
        output.append(contentsOf: "u00".utf8)
        for digit in [byte >> 4, byte & 15] {
            output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
