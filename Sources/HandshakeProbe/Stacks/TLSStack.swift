import CEvents
import Code

/// How long a text is.
package enum TextShape: Sendable, Hashable, Codable {
    case nulTerminated
    /// A scalar fact has its length.
    case counted(Fact)
    /// A byte before it has, or two in the machine's order.
    case prefix8, prefix16
}

/// An element of a linked list that is known by a number in it. Offsets in bytes.
package struct ListElement: Sendable, Hashable, Codable {
    /// In each element, of four bytes, and what they are in this one.
    package var mark: UInt16
    package var value: UInt32
    /// In each element, of the next one's address: a multiple of 8, and not 0.
    package var next: UInt16

    package init(mark: UInt16, value: UInt32, next: UInt16) { (self.mark, self.value, self.next) = (mark, value, next) }
}

/// Where a fact stands relative to the TLS object: every offset but the last is followed as a pointer, the last is where the
/// fact's bytes are. A text with one offset is inside the object itself.
package struct FactPath: Sendable, Hashable, Codable {
    /// One to four byte offsets.
    package var offsets: [Int32]
    /// 1, 2, 4 or 8 for a scalar; 0 for an address.
    package var size: Int
    /// Of a text.
    package var shape: TextShape
    /// Of a scalar that is 1 if any of these bits is set, else 0; 0: the scalar as it is.
    package var bits: UInt32
    /// The pointer at the first offset is a list's, and the second one is in this element of it.
    package var element: ListElement?

    package init(offsets: [Int32], size: Int, shape: TextShape = .nulTerminated, bits: UInt32 = 0) {
        self.bits = bits
        self.offsets = offsets
        self.size = size
        self.shape = shape
    }
}

/// Where a value is when a probe is hit: `struct tlswatch_place`. Registers are numbered as x86-64 does.
package struct ValuePlace: Sendable, Hashable, Codable {
    /// 0 rax, rcx, rdx, rbx, rsp, rbp, rsi, 7 rdi, 8 to 15.
    package var register: UInt8
    /// Added to the register.
    package var offset: Int32
    /// Whether the value is the eight bytes at that address, rather than the address.
    package var isInMemory: Bool

    package init(_ place: ValuePlace, offset: Int16 = 0) {
        self.init(register: place.register, offset: place.offset + Int32(offset), isInMemory: place.isInMemory)
    }

    package init(register: UInt8, offset: Int32 = 0, isInMemory: Bool = false) {
        self.register = register
        self.offset = offset
        self.isInMemory = isInMemory
    }

    /// The eight bytes at a register plus an offset: a stack slot, or behind a pointer.
    static func memory(_ place: ValuePlace, offset: Int32 = 0) -> ValuePlace {
        ValuePlace(register: place.register, offset: offset, isInMemory: true)
    }

    /// A function's parameter, first to fourth, at its beginning or at a call of it.
    static let parameter0 = ValuePlace(register: 7)
    static let parameter1 = ValuePlace(register: 6)
    static let parameter2 = ValuePlace(register: 2)
    static let parameter3 = ValuePlace(register: 1)
    /// Registers that calls leave alone, inside a function.
    static let rbx = ValuePlace(register: 3)
    static let rbp = ValuePlace(register: 5)
    static let r12 = ValuePlace(register: 12)
    static let r13 = ValuePlace(register: 13)
    static let r14 = ValuePlace(register: 14)
    static let r15 = ValuePlace(register: 15)
    /// What a call has just returned.
    static let result = ValuePlace(register: 0)
    static let rsp = ValuePlace(register: 4)
}

/// The TLS object's place.
package typealias ObjectPlace = ValuePlace

/// What a call in progress is kept by. The raw values are `enum tlswatch_context`'s.
package enum ExecutionContext: UInt16, Sendable, Codable {
    case thread = 0
    /// Go's goroutine, which may go on on another thread in the middle of a call.
    case goroutine = 1
}

/// How calls of a library begin and end that has no one function for its handshakes. The raw values are
/// `enum tlswatch_site_flag`'s.
package struct SiteFlags: OptionSet, Sendable, Hashable, Codable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A call begins with which a handshake goes on, and none begins.
    package static let continues = SiteFlags(rawValue: 1)
    /// A call's end tells nothing where it is not in progress on the thread.
    package static let inside = SiteFlags(rawValue: 2)
    /// The call is a loop of steps; the second argument is the next one, the first what the last one has returned.
    package static let steps = SiteFlags(rawValue: 4)
    /// Of functions that go over into one another: no call begins inside one of the same object.
    package static let joins = SiteFlags(rawValue: 8)

    /// A call ends where the conditional jump is taken that is probed: by the low four bits of its opcode.
    package static func taken(_ condition: UInt8) -> SiteFlags {
        SiteFlags(rawValue: 16 | UInt16(condition & 15) << 12)
    }
    /// A step of a handshake that a program may work through by itself: one begins, fails or has to wait, or a fatal alert ends it.
    package static let step = SiteFlags(rawValue: 32)
}

/// One place in a file at which a probe is put.
package struct ProbeSite: Sendable, Hashable, Codable {
    package var hook: HookKind
    /// The function's name, or a description where it has none.
    package var symbol: String
    /// Offset in the file of the instruction.
    package var fileOffset: UInt64
    /// Its address in the file's own numbering, where addresses of the target are to be brought into it; else 0.
    package var address: UInt64
    package var mode: SiteMode
    /// Whether it is probed even if the kernel has to single-step it: without it nothing is seen, and a call passes it once.
    package var isIndispensable: Bool
    /// Where the TLS object is; `nil` where the site does not tell.
    package var object: ObjectPlace?
    /// Where the arguments are that `enum tlswatch_hook` names.
    package var argument: ValuePlace?
    package var argument2: ValuePlace?
    package var argument3: ValuePlace?
    /// Of a state that is read with a message: its size; of a failure: how many bytes behind the object's beginning its place is.
    package var bytes: UInt16
    /// Whether the function's return is observed as well, by a return probe.
    package var returns: Bool
    package var context: ExecutionContext
    /// How calls begin and end here.
    package var flags: SiteFlags = []
    /// With which of `--phases` it is probed.
    package var phases: Phases

    package var isAffordable: Bool { mode == .emulated || isIndispensable }

    package init(
        hook: HookKind, symbol: String, fileOffset: UInt64, address: UInt64 = 0, mode: SiteMode,
        isIndispensable: Bool = false, object: ObjectPlace?,
        argument: ValuePlace? = nil, argument2: ValuePlace? = nil, argument3: ValuePlace? = nil, bytes: UInt16 = 0,
        returns: Bool = false, context: ExecutionContext = .thread, phases: Phases = .all
    ) {
        self.context = context
        self.phases = phases
        self.hook = hook
        self.symbol = symbol
        self.fileOffset = fileOffset
        self.address = address
        self.mode = mode
        self.isIndispensable = isIndispensable
        self.object = object
        self.argument = argument
        self.argument2 = argument2
        self.argument3 = argument3
        self.bytes = bytes
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
    /// The number of the kind that is a buffer in memory; 0: not known.
    package var memory: UInt16 = 0
    /// The names of the library's own kinds: the application's keep their descriptor, if they have one, where they like.
    package var own: [String]
}

/// Where a TLS object keeps the descriptor of its socket itself: offsets in the object, as `struct tlswatch_transport`.
package struct OwnDescriptor: Sendable, Hashable {
    package enum Shape: UInt16, Sendable {
        /// Eight bytes there, which may be whatever the application hands its own transport.
        case word = 1
        /// Four bytes there.
        case number = 2
        /// Four bytes behind the pointer there.
        case behind = 3
    }

    package var offset: UInt16
    package var shape: Shape
    /// Of a byte in which any of these bits says that it is the library's own transport; 0: nothing says.
    package var flag: UInt16 = 0
    package var bits: UInt8 = 0
}

/// A type whose values an interface may hold, by the stack's own number: `struct tlswatch_type`.
package struct InterfaceType: Sendable, Hashable {
    package struct Detail: Sendable, Hashable {
        /// In the value.
        package var offset: UInt16
        /// In bytes, 4 at most; 0: it is a text, and its length and first two bytes tell enough.
        package var size: UInt8

        package init(offset: UInt16, size: UInt8) { (self.offset, self.size) = (offset, size) }
    }

    package var number: UInt16
    /// Where in the value another interface is, which it wraps.
    package var inner: UInt16?
    /// That is a pointer instead, to a value with this number.
    package var pointed: UInt16?
    package var detail: Detail?

    package init(number: UInt16, inner: UInt16? = nil) { (self.number, self.inner) = (number, inner) }
}

/// How a stack's interface values (Go's: a pointer to a table that has its type, and a pointer to the value) are read. Offsets in
/// bytes. As `struct tlswatch_interfaces`.
package struct InterfaceLayout: Sendable, Hashable {
    /// In the TLS object: the connection that it reads from, and the errors that its directions have ended with.
    package var connection: UInt16
    package var incomingError: UInt16
    package var outgoingError: UInt16
    /// A mutex that is held while the object is in a call.
    package var mutex: UInt16
    /// The number of connections that are sockets: at `pointer` is the address of what has the descriptor. 0: none is known.
    package var socket: UInt16
    package var pointer: UInt16
    package var descriptor: UInt16
    /// In the third argument of a call's exit: eight bytes that are 0 unless the call was canceled; `nil` where that is not known.
    package var canceled: UInt16?
    /// By the low half of the type's address in the file's own numbering.
    package var types: [UInt32: InterfaceType]
}

/// What reading one file of a TLS stack gave: where to probe it and where its facts stand.
package struct LibraryAnalysis: Sendable, Equatable {
    /// The stack's name in every output: `openssl`.
    package var stack: String
    /// The library's own version text (`3.0.19`), if the file tells it.
    package var version: String?
    package var sites: [ProbeSite]
    package private(set) var facts: [Fact: FactPath] = [:]
    /// How the kernel side reads those; the second with the ClientHello's random, which is for holding sessions against packets.
    private(set) var plan = ReadPlan([:], expendable: [])
    private(set) var randomPlan = ReadPlan([:], expendable: [])
    /// How its transport objects are read, where the file holds their code.
    package var transport: TransportLayout?
    package var descriptor: OwnDescriptor?
    /// How errors and connections are read that are interface values.
    package var interfaces: InterfaceLayout?
    /// What could not be found or derived, and why; one sentence each, for `doctor` and `targets`.
    package var notes: [String]
    /// Of these every TLS object of this library has one, of `isOfState` facts: what has none is another's memory. Empty: not
    /// known.
    var identity: [KernelStates.Test] = []
    /// Holds of an object at a call's entry that is a server's, where that depends on the file; else the rules tell.
    var server: KernelStates.Test?
    /// What a call returns where the handshake goes on, where that depends on the file; else the rules tell.
    var waitResults: [Int32]?
    /// The file's own names of its library's errors, by their numbers, where these depend on the release; else the rules tell.
    var reasons: [Int32: String] = [:]
    /// States of an object that has had its handshake, where they depend on the file: entered in one it does nothing more of a
    /// handshake, freed in one it has none in progress.
    var finished: Set<UInt8> = []
    /// The same stack once more in the file, with objects of another layout (a fork linked beside it): each has a profile of its
    /// own, and is the same library to everybody but the attacher.
    package var forks: [LibraryAnalysis] = []
    /// Whether the file is a companion (`TLSStack.companion`): it has nothing of a handshake, only what a library beside it
    /// needs, and folds into that one.
    package var isCompanion = false

    package init(stack: String, version: String?, sites: [ProbeSite], notes: [String]) {
        self.stack = stack
        self.version = version
        self.sites = sites
        self.notes = notes
    }

    /// Takes the facts, and plans how they are read; notes those for which no read is left.
    ///
    /// - Parameter expendable: the order in which facts give way where there are more reads than a handshake is worth, the
    ///   least telling first.
    package mutating func take(facts: [Fact: FactPath], expendable: [Fact]) {
        self.facts = facts
        randomPlan = ReadPlan(facts, expendable: Self.randoms + expendable)
        plan = ReadPlan(facts.filter { !Self.randoms.contains($0.key) }, expendable: expendable)
        notes += plan.omitted.map { "no \($0): its place takes more reads than a handshake is worth" }
    }

    private static let randoms: [Fact] = [.random, .randomEnd]

    /// Its sites and those of its forks.
    package var allSites: [ProbeSite] { forks.reduce(sites) { $0 + $1.allSites } }

    /// Whether sessions can be observed in this file: it holds the state machine and a site for it.
    package var observesSessions: Bool { sites.contains { $0.hook.beginsSessions } }

    /// Whether anything is observed when these of its sites are probed.
    func isObserved(by sites: [ProbeSite]) -> Bool {
        guard observesSessions else { return !sites.isEmpty }
        // A call that begins has to be seen to end.
        return sites.contains { $0.hook.beginsSessions && $0.hook != .call }
            || sites.contains { $0.hook == .call } && sites.contains { $0.hook == .callExit || $0.returns }
    }
}

/// A TLS implementation that tlswatch knows: a folder beside this file and a row in `TLSStacks.builtIn`. Everything else that
/// is to be known of it derives from here.
package protocol TLSStack: Sendable {
    /// In every output: `openssl`.
    static var name: String { get }
    /// In a sentence: `OpenSSL`.
    static var title: String { get }
    /// How the names of its shared libraries begin (`libssl.so`): the linker's cache is asked for them.
    static var libraries: [String] { get }
    /// The file beside a shared library that belongs to it; `nil` where there is none.
    static var companion: CompanionName? { get }
    /// Texts in the constants of a program that has the stack inside, all of them, and in no other's: known by them where
    /// its machine code cannot be read. None: not known so.
    static var marks: [String] { get }
    /// A quick look: could this file hold code of the stack?
    static func recognises(_ file: ELFFile) -> Bool
    /// Finds the probe sites and the facts' places.
    static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis
    /// What the numbers in its records mean.
    static var rules: SessionRules { get }
}

extension TLSStack {
    package static var companion: CompanionName? { nil }
    package static var marks: [String] { [] }
}

/// How the file is called that a shared library of a stack needs beside it, and whose version and probes are the library's:
/// as the library, but for how the name begins.
package struct CompanionName: Sendable, Equatable {
    /// How the names of the library begin: `libssl`.
    package var library: String
    /// How those of its companion begin: `libcrypto`.
    package var companion: String

    package init(of library: String, companion: String) {
        (self.library, self.companion) = (library, companion)
    }

    /// `libcrypto.so.3` for `libssl.so.3`, `/a/libcrypto.so.3` for `/a/libssl.so.3`; `nil` for what is no such library.
    func beside(_ library: String) -> String? {
        let start = library.lastIndex(of: "/").map(library.index(after:)) ?? library.startIndex
        guard library[start...].hasPrefix(self.library) else { return nil }
        return library[..<start] + companion + library[start...].dropFirst(self.library.count)
    }
}

/// The stacks, in the order in which a file is tried.
package struct TLSStacks: Sendable {
    package static let builtIn = TLSStacks([
        Go.self, OpenSSL.self, S2N.self, BoringSSL.self, GnuTLS.self, NSS.self, WolfSSL.self, MbedTLS.self,
        Rustls.self,
    ])

    let all: [any TLSStack.Type]

    init(_ all: [any TLSStack.Type]) { self.all = all }

    /// The analysis by the first stack that recognises the file and can read it; `nil` where none recognises it.
    ///
    /// - Throws: the first one's error where none can read it.
    package func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis? {
        var failure: AnalysisError?
        for stack in all where stack.recognises(file) {
            do throws(AnalysisError) {
                return try stack.analyse(file)
            } catch {
                // Texts are in what looks for a stack, too, and it may have another inside.
                var error = error
                error.stack = stack.name
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return nil
    }

    func named(_ name: String) -> (any TLSStack.Type)? { all.first { $0.name == name } }

    /// Their names in a sentence.
    var titles: String { all.map { $0.title }.joined(separator: ", ") }

    /// How the names of shared libraries begin that hold one, and of their companions.
    var libraries: [String] {
        all.flatMap { stack in stack.libraries + stack.libraries.compactMap { stack.companion?.beside($0) } }
    }

    /// The stack that a shared library's file name stands for.
    func named(ofLibrary name: some StringProtocol) -> (any TLSStack.Type)? {
        all.first { $0.libraries.contains { name.hasPrefix($0) } }
    }

    /// What the companion of a shared library is called, by its own name or path.
    func companion(beside library: String) -> String? {
        all.lazy.compactMap { $0.companion?.beside(library) }.first
    }
}

/// Why a file that holds a known TLS stack cannot be observed.
package struct AnalysisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed and why, in a sentence.
    package var description: String
    /// The stack, where the file has it and is of a release that is too old to be observed.
    package var outdated: String?
    /// The stack whose analysis failed, where several were tried.
    package var stack: String?

    package init(_ description: String, outdated: String? = nil) {
        (self.description, self.outdated) = (description, outdated)
    }
}
