import CEvents
import Code

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
