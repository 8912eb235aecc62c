import CCapstone
import Code

/// One of the functions that make handshakes (`wolfSSL_accept`, `wolfSSL_connect`, and those of TLS 1.3): where a call begins,
/// and where it ends.
///
/// It begins behind the tests after which the function may return, or go over into another one, without having done anything. It
/// ends at the load of the callback that tells the application of a completed handshake, or at the last instruction that the
/// kernel emulates before a return; a conditional jump that leads straight to one is observed where it is taken.
struct HandshakeFunction {
    /// Jumps. At all of these `object` holds the connection.
    let begin: UInt64
    let done: UInt64
    let exits: [WaysOut.Exit]
    let object: ObjectPlace
    /// Offset in the connection of the byte that says how far this role's handshake is, 0 before it.
    let state: Int32

    /// Instructions of the beginning, and between the last change of the state and the callback's load.
    private static let prologue = 160
    private static let reach = 8

    /// - Parameters:
    ///   - callback: offset in the connection of the callback of completed handshakes.
    ///   - isSibling: whether a jump to there goes on in another of the functions.
    init(
        _ code: CodeReader, _ name: String, _ function: UInt64, callback: Int32, isSibling: (UInt64) -> Bool
    ) throws(AnalysisError) {
        guard let extent = code.file.functionExtent(containing: function), extent.lowerBound == function else {
            throw AnalysisError("the file does not say where \(name) ends")
        }
        let graph = FunctionGraph(code, extent)
        let body = graph.instructions
        guard body.last?.end == extent.upperBound else {
            throw AnalysisError("\(name) has bytes that are no instructions")
        }
        guard
            let (held, copy) = Register.copyOfParameter(in: body, within: Self.prologue, before: [TLSWATCH_OP_CALL])
        else {
            throw AnalysisError("\(name) has no known shape: no register holds the connection")
        }
        object = ObjectPlace(register: UInt8(held))
        guard let completion = Self.completion(body, held, callback) else {
            throw AnalysisError("\(name) has no known shape: not one place tells of a completed handshake")
        }
        done = body[completion.jump].address
        state = completion.state
        var siblings: [Int] = []
        for (index, instruction) in body.enumerated() {
            guard let target = instruction.directTarget, instruction.kind != TLSWATCH_OP_CALL,
                !extent.contains(target)
            else { continue }
            guard instruction.kind == TLSWATCH_OP_JMP, isSibling(target) else {
                throw AnalysisError("\(name) has no known shape: it goes on at \(String(target, radix: 16))")
            }
            siblings.append(index)
        }
        guard let dispatch = body.firstIndex(where: { $0.kind == TLSWATCH_OP_JMP && $0.directTarget == nil }) else {
            throw AnalysisError("\(name) has no known shape: it does not go on by its state")
        }
        let ways = WaysOut(graph: graph, held: held, state: state, done: completion.jump, completed: completion.others)
        for candidate in body.indices.prefix(Self.prologue)
        where candidate > copy && body[candidate].kind == TLSWATCH_OP_JCC && SiteChooser.isEmulated(body[candidate]) {
            // Every handshake passes it, once a call, with the connection in its register.
            let without = graph.reached(from: [0], avoiding: [candidate])
            guard !without[dispatch], !without[completion.jump],
                !graph.reached(from: [0], avoiding: [copy])[candidate]
            else { continue }
            let behind = graph.successors[candidate].map { Int($0) }
            guard !graph.reached(from: behind, avoiding: [])[candidate] else { continue }
            // Before the handshake goes on, the call does not go over into another function, and nothing that every call passes
            // may be a way out.
            let early = graph.reached(from: behind, avoiding: [dispatch])
            guard !siblings.contains(where: { early[$0] }), let found = ways.exits(from: candidate),
                !found.contains(where: { exit in
                    exit.address == body[candidate].address
                        || exit.flags != [] && graph.index(of: exit.address).map { early[$0] } ?? true
                })
            else { continue }
            begin = body[candidate].address
            exits = found
            return
        }
        throw AnalysisError("\(name) has no known shape: where a handshake begins, or a way out of it, is not clear")
    }

    private static func isField(_ operand: Operand, _ held: Int, width: UInt8) -> Bool {
        operand.isMemory && Int(operand.base) == held && operand.index == UInt8(TLSWATCH_NO_REGISTER)
            && operand.width == width && !operand.opaque_address && !operand.rip_relative
    }

    // MARK: completion

    /// The jump over the callback, where it leads where there is none, and the state that was set last before it.
    private static func completion(
        _ body: [Instruction], _ held: Int, _ callback: Int32
    ) -> (jump: Int, others: Int, state: Int32)? {
        let found = body.indices.compactMap { index -> (Int, Int, Int32)? in
            guard let jump = jumpOverCallback(body, index, held, callback),
                let others = others(body, jump)
            else { return nil }
            let setter = body[..<index].suffix(reach).last {
                $0.kind == TLSWATCH_OP_MOV && isField($0.first, held, width: 1) && $0.second.isImmediate
            }
            guard let setter, let state = Int32(exactly: setter.first.value), (0..<0x10000).contains(state) else {
                return nil
            }
            return (jump, others, state)
        }
        return found.count == 1 ? found.first : nil
    }

    /// `mov reg, [connection + callback]; test reg, reg; jcc`, or a comparison with 0 in its place.
    private static func jumpOverCallback(
        _ body: [Instruction], _ index: Int, _ held: Int, _ callback: Int32
    ) -> Int? {
        let load = body[index]
        let jump: Int
        if load.kind == TLSWATCH_OP_MOV, load.first.isRegister, isField(load.second, held, width: 8),
            load.second.value == Int64(callback), body.indices.contains(index + 2),
            case let test = body[index + 1], test.kind == TLSWATCH_OP_TEST, test.first.isRegister,
            test.second.isRegister, test.first.reg == load.first.reg, test.second.reg == load.first.reg
        {
            jump = index + 2
        } else if load.kind == TLSWATCH_OP_CMP, isField(load.first, held, width: 8),
            load.first.value == Int64(callback), load.second.isImmediate, load.second.value == 0
        {
            jump = index + 1
        } else {
            return nil
        }
        guard body.indices.contains(jump), body[jump].kind == TLSWATCH_OP_JCC, SiteChooser.isEmulated(body[jump])
        else { return nil }
        return jump
    }

    /// Where a completed handshake goes on without a callback.
    private static func others(_ body: [Instruction], _ jump: Int) -> Int? {
        switch body[jump].condition {
        case Condition.equal: body.firstIndex { $0.address == body[jump].directTarget }
        case Condition.notEqual: body.indices.contains(jump + 1) ? jump + 1 : nil
        default: nil
        }
    }
}
