import Code

/// TLS stacks that are known by sight and not observed yet: what is not seen has to be reported.
enum UnsupportedStacks {
    /// What a library of the stack exports and no other does.
    private static let exports: [(stack: String, names: [String])] = [
        // Botan::TLS::Channel::received_data(const uint8_t[], size_t)
        ("botan", ["_ZN5Botan3TLS7Channel13received_dataEPKhm"])
    ]
    /// Texts in the constants of a program with the stack inside.
    private static let texts: [(stack: String, text: String)] = [
        ("rustls", "tls13 client handshake state\0"),
        ("rustls", "rustls::"),
        // What an error says: that stays where the names of functions do not (gccgo, TinyGo, garble).
        (Go.name, "tls: received unexpected handshake message of type %T"),
    ]
    /// How the names of shared libraries begin, of stacks that are not in `TLSStacks`.
    private static let libraryNames: [(stack: String, prefix: String)] = [
        ("botan", "libbotan-"),
        // gccgo's packages.
        (Go.name, "libgo.so."),
    ]
    private static let searchLimit: UInt64 = 64 << 20
    /// Less code than this holds no TLS stack.
    private static let smallestCode: UInt64 = 1 << 18

    /// The stack's name; `nil` where none is recognised. For files that no stack of `TLSStacks` recognises.
    static func recognise(_ file: ELFFile) -> String? {
        for (stack, names) in exports where file.exportsAny(of: names) { return stack }
        guard file.codeSize >= smallestCode else { return nil }
        return DataSearch.first(of: texts.map(\.text), file, limit: searchLimit).map { texts[$0].stack }
    }

    /// The stack in a 32-bit file, of those that are observed elsewhere too.
    static func recognise(_ file: ELF32) -> String? {
        if let name = file.soName, let stack = stack(ofLibrary: name) { return stack }
        guard file.codeSize >= smallestCode else { return nil }
        if let stack = texts.first(where: { file.holds($0.text, limit: searchLimit) })?.stack { return stack }
        return TLSStacks.builtIn.all.first { stack in
            !stack.marks.isEmpty && stack.marks.allSatisfy { file.holds($0, limit: searchLimit) }
        }?.name
    }

    /// The stack that a library's file name stands for: all that is known of a file that cannot be read.
    static func stack(ofLibrary name: some StringProtocol) -> String? {
        TLSStacks.builtIn.named(ofLibrary: name)?.name ?? libraryNames.first { name.hasPrefix($0.prefix) }?.stack
    }

    /// Why a file with the stack is not observed, in a sentence.
    static func reason(_ stack: String) -> String {
        stack == Go.name
            ? "\(Go.title) without its functions' names (gccgo, TinyGo, garble) is not supported yet"
            : "\(title(stack)) is not supported yet"
    }

    /// A stack's own spelling of its name, in a sentence.
    static func title(_ stack: String) -> String {
        if let known = TLSStacks.builtIn.named(stack) { return known.title }
        return switch stack {
        case "botan": "Botan"
        default: stack
        }
    }
}
