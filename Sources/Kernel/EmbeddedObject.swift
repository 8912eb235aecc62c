/// The BPF object that the build plugin compiled and embedded as base64.
enum EmbeddedObject {
    /// The programs that walk over processes.
    enum Iterator: String, CaseIterable {
        case mappings = "list_mappings"
        case connections = "list_connections"
    }

    /// The object file's bytes.
    static func bytes() -> [UInt8] {
        unsafe decode(
            UnsafeBufferPointer(start: embeddedBPFObject.utf8Start, count: embeddedBPFObject.utf8CodeUnitCount))
    }

    /// RFC 4648 base64. The text is our own build's: what is not in the alphabet (padding) is passed over.
    private static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var count = 0
        for index in text.indices {
            let character = unsafe text[index]
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: continue
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
