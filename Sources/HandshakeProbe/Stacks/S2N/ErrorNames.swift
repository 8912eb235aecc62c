import Code

/// What a build calls its errors. Their numbers change with each release, and one of its functions turns them into names.
enum ErrorNames {
    /// `s2n_strerror_name(error)` returns "S2N_ERR_CERT_UNTRUSTED".
    static let function = "s2n_strerror_name"
    private static let prefix = "S2N_ERR_"
    /// Types of errors that need a name (`S2N_ERR_T_PROTO` and on), and numbers of one that are looked at.
    private static let types: ClosedRange<Int32> = 5...7
    private static let numbers: Range<Int32> = 0..<160
    private static let lengthLimit = 64

    /// By the error's number: `cert_untrusted`.
    static func find(_ code: CodeReader, _ function: ELFSymbol) -> [Int32: String] {
        var names: [Int32: String] = [:]
        let interpreter = AbstractInterpreter(code: code)
        for type in types {
            for number in numbers {
                let error = S2NState.error(type: type, number)
                let events = interpreter.run(
                    function.address, parameters: [0: .constant(UInt64(UInt32(bitPattern: error)))])
                // With a known number there is one way through it.
                guard case .returned(.constant(let address))? = events.last, events.count == 1,
                    let text = code.file.text(at: address, limit: lengthLimit), text.hasPrefix(prefix),
                    case let name = text.dropFirst(prefix.count), !name.isEmpty, name.utf8.allSatisfy(isOfName)
                else { continue }
                names[error] = name.lowercased()
            }
        }
        return names
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
