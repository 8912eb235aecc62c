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
