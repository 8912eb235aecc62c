import Code

/// Where a fact stands relative to the TLS object: every offset but the last is followed as a
/// pointer, the last is where the fact's bytes are.
package struct FactPath: Sendable, Hashable, Codable {
    /// One to four byte offsets.
    package var offsets: [Int32]
    /// 1, 2, 4 or 8 for a scalar; 0 for an address.
    package var size: Int

    package init(offsets: [Int32], size: Int) {
        self.offsets = offsets
        self.size = size
    }
}

/// Where a value is when a probe is hit. The raw values are `enum tlswatch_place`'s.
package enum ValuePlace: UInt8, Sendable, Codable {
    /// A function's parameter, first to fourth, at its beginning or at a call of it.
    case parameter0 = 0
    case parameter1, parameter2, parameter3
    /// A register that calls leave alone, inside a function.
    case rbx, rbp, r12, r13, r14, r15
    /// What a call has just returned.
    case result
}

/// The TLS object's place: a register, and what is to be added to it.
package struct ObjectPlace: Sendable, Hashable, Codable {
    package var register: ValuePlace
    package var offset: Int16

    package init(_ register: ValuePlace, offset: Int16 = 0) {
        self.register = register
        self.offset = offset
    }
}

/// One place in a file at which a probe is put.
package struct ProbeSite: Sendable, Hashable, Codable {
    package var hook: HookKind
    /// The function's name, or a description where it has none.
    package var symbol: String
    /// Offset in the file of the instruction.
    package var fileOffset: UInt64
    package var mode: SiteMode
    /// Where the TLS object is; `nil` where the site does not tell.
    package var object: ObjectPlace?
    /// Where the argument and the second argument are that `enum tlswatch_hook` names.
    package var argument: ValuePlace?
    package var argument2: ValuePlace?
    /// Whether the function's return is observed as well, by a return probe.
    package var returns: Bool

    package init(
        hook: HookKind, symbol: String, fileOffset: UInt64, mode: SiteMode, object: ObjectPlace?,
        argument: ValuePlace? = nil, argument2: ValuePlace? = nil, returns: Bool = false
    ) {
        self.hook = hook
        self.symbol = symbol
        self.fileOffset = fileOffset
        self.mode = mode
        self.object = object
        self.argument = argument
        self.argument2 = argument2
        self.returns = returns
    }
}

/// How a stack's transport object (OpenSSL's BIO) tells its descriptor: offsets in bytes, and bits of its kind's number.
/// As `struct tlswatch_transport`.
package struct TransportLayout: Sendable, Hashable, Codable {
    /// Of the pointer to its kind's table, and in that table of the kind's number and of the pointer to its name.
    package var kinds: UInt16
    package var kind: UInt16
    package var name: UInt16
    package var descriptor: UInt16
    /// Of the pointer to the transport behind a filter.
    package var next: UInt16
    package var hasDescriptor: UInt32
    package var isFilter: UInt32
    /// The names of the library's own kinds: the application's keep their descriptor, if they have one, where they like.
    package var own: [String]
}

/// What reading one file of a TLS stack gave: where to probe it and where its facts stand.
package struct LibraryAnalysis: Sendable, Codable, Equatable {
    /// The stack's name in every output: `openssl`.
    package var stack: String
    /// The library's own version text (`3.0.19`), if the file tells it.
    package var version: String?
    package var sites: [ProbeSite]
    package var facts: [Fact: FactPath]
    /// How its transport objects are read, where the file holds their code.
    package var transport: TransportLayout?
    /// What could not be found or derived, and why; one sentence each, for `doctor` and `targets`.
    package var notes: [String]

    package init(
        stack: String, version: String?, sites: [ProbeSite], facts: [Fact: FactPath], notes: [String]
    ) {
        self.stack = stack
        self.version = version
        self.sites = sites
        self.facts = facts
        self.notes = notes
    }

    /// Whether sessions can be observed in this file: it holds the state machine and a site for it.
    package var observesSessions: Bool { sites.contains { $0.hook == .stateMachine } }
}

/// A TLS implementation that tlswatch knows. A new one is a file beside this one and a row in `TLSStacks.all`.
package protocol TLSStack: Sendable {
    static var name: String { get }
    /// A quick look: could this file hold code of the stack?
    static func recognises(_ file: ELFFile) -> Bool
    /// Finds the probe sites and the facts' places.
    static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis
}

/// The stacks, in the order in which a file is tried.
package enum TLSStacks {
    package static let all: [any TLSStack.Type] = [OpenSSL.self]

    /// The analysis by the first stack that recognises the file; `nil` where none does.
    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis? {
        for stack in all where stack.recognises(file) {
            return try stack.analyse(file)
        }
        return nil
    }

    /// Why handshakes of a stack fail besides the alerts, as far as that is known beforehand.
    static func usualReasons(of stack: String) -> [String] {
        stack == OpenSSL.name ? OpenSSLState.usualReasons : []
    }
}

/// Why a file that holds a known TLS stack cannot be observed.
package struct AnalysisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed and why, in a sentence.
    package var description: String

    package init(_ description: String) {
        self.description = description
    }
}
