import CCapstone
import Code

/// Where `SSL_do_handshake` calls the state machine, `ssl_run_handshake(hs, &early_return)`, and the first conditional jump
/// behind it: the code between them is straight, so that every way out of the state machine passes that jump, while the
/// handshake's own object is still there and before the application's callback is told.
///
/// Compilers inline the function into those that the application calls, so there may be several.
struct HandshakeCalls {
    struct Copy {
        /// Where the function begins that has the call.
        var function: UInt64
        var call: UInt64
        var exit: UInt64
        /// Holds the connection at both.
        var object: ValuePlace
        /// Holds at the exit what the state machine returned.
        var result: ValuePlace
    }

    private(set) var copies: [Copy] = []
    /// `ssl_run_handshake`.
    let stateMachine: UInt64
    /// Offset in the connection of the pointer to its state (`SSL3_STATE`), and in that of the pointer to the handshake.
    let state: Int32
    let handshake: Int32
    /// Calls of the state machine that could not be read.
    private(set) var unread = 0

    /// `SSL_R_CONNECTION_TYPE_NOT_SET`, which that function alone reports.
    static let notSet: UInt32 = 134
    /// `SSL_CB_CONNECT_EXIT` and `SSL_CB_ACCEPT_EXIT`.
    static let exitEvents: Set<UInt32> = [0x1002, 0x2002]
    private static let candidateLimit = 32

    init(_ code: CodeReader, _ marks: CodeMarks, named: UInt64?) throws(AnalysisError) {
        var starts = Set(marks.beginnings(of: marks.handshakeCalls))
        if let named { starts.insert(named) }
        let found = starts.sorted().prefix(Self.candidateLimit).compactMap { Self.read(code, $0) }
        guard let first = found.first else {
            throw AnalysisError("it holds BoringSSL's extensions, but no SSL_do_handshake of a known shape")
        }
        guard found.allSatisfy({ $0.stateMachine == first.stateMachine && $0.fields == first.fields }) else {
            throw AnalysisError("its copies of SSL_do_handshake do not agree on where a connection's fields are")
        }
        (stateMachine, state, handshake) = (first.stateMachine, first.fields[0], first.fields[1])
        copies = found.map(\.copy)
        // Whoever else calls it was not recognised by its numbers.
        let calls = CodeSearch.calls(code.file, of: stateMachine).filter { call in
            !copies.contains { $0.call == call }
        }
        let others = Array(calls.prefix(Self.candidateLimit))
        let beginnings = marks.beginning(of: others)
        for call in others {
            let more = beginnings[call].flatMap { Self.read(code, $0) }
            if let more, more.copy.call == call, more.fields == first.fields {
                copies.append(more.copy)
            } else {
                unread += 1
            }
        }
    }

    private typealias Reading = (copy: Copy, stateMachine: UInt64, fields: [Int32])

    /// The call in the function that begins here; `nil` where it has none of that shape.
    private static func read(_ code: CodeReader, _ function: UInt64) -> Reading? {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.stepLimit = 2000
        let walk = interpreter.walk(function)
        let calls = walk.arguments.compactMap { address, arguments -> (UInt64, [Int32], UInt64)? in
            guard let field = arguments[0].field, field.root == 0, field.offsets.count == 2, field.width == 8,
                field.offsets.allSatisfy({ (0..<0x10000).contains($0) }), case .stack = arguments[1],
                case .constant(let target)? = walk.targets[address], code.file.isCode(target)
            else { return nil }
            return (address, field.offsets, target)
        }
        guard calls.count == 1, let (call, fields, target) = calls.first, let instruction = code.instruction(at: call),
            instruction.directTarget != nil, SiteChooser.isEmulated(instruction),
            let (exit, result) = exit(code, behind: instruction.end),
            let object = Register.first(of: (walk.passed[call] ?? 0) & (walk.passed[exit] ?? 0))
        else { return nil }
        let copy = Copy(
            function: function, call: call, exit: exit, object: ValuePlace(register: UInt8(object)),
            result: ValuePlace(register: UInt8(result)))
        return (copy, target, fields)
    }

    /// Instructions from the call to the jump.
    private static let exitReach = 16

    /// The first conditional jump behind the call, and the register that has what was returned.
    private static func exit(_ code: CodeReader, behind start: UInt64) -> (UInt64, Int)? {
        var address = start
        var result: Int? = Register.rax
        for _ in 0..<exitReach {
            guard let instruction = code.instruction(at: address) else { return nil }
            switch instruction.kind {
            case TLSWATCH_OP_JCC: return result.map { (address, $0) }
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            case TLSWATCH_OP_MOV
            where instruction.first.isRegister && instruction.second.isRegister
                && result == Int(instruction.second.reg) && instruction.first.width >= 4:
                // It is kept where no call changes it, or goes on in both.
                result = Int(instruction.first.reg)
            default:
                if let kept = result, instruction.written >> UInt16(kept) & 1 != 0 { result = nil }
            }
            address = instruction.end
        }
        return nil
    }
}
