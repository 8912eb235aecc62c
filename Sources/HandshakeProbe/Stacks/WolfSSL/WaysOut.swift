import CCapstone
import Code

/// How a call of a function that makes handshakes comes back without having completed one.
struct WaysOut {
    struct Exit: Equatable {
        var address: UInt64
        var flags: SiteFlags = []
    }

    let graph: FunctionGraph
    /// The register that holds the connection until it is restored in the end.
    let held: Int
    /// Offset in the connection of the byte that says how far the handshake is.
    let state: Int32
    /// Where a handshake is complete.
    let done: Int
    /// Whether what has completed a handshake comes to an instruction.
    private let isCompleted: [Bool]
    /// The calls of `__stack_chk_fail`, behind which nothing of this path stands.
    private let aborts: [Int]

    /// - Parameter completed: where it goes on once a handshake is complete.
    init(graph: FunctionGraph, held: Int, state: Int32, done: Int, completed: Int) {
        (self.graph, self.held, self.state, self.done) = (graph, held, state, done)
        let body = graph.instructions
        aborts = body.indices.compactMap { index in
            Self.isGuard(body, index) ? body[index].directTarget.flatMap(graph.index) : nil
        }
        isCompleted = graph.reached(from: [completed], avoiding: aborts)
    }

    /// The last instruction that the kernel emulates before each return that is come to from `begin` by another way than a
    /// completion; `nil` if a way has none.
    func exits(from begin: Int) -> [Exit]? {
        let body = graph.instructions
        let inside = graph.reached(from: graph.successors[begin].map { Int($0) }, avoiding: [done] + aborts)
        var before: [[Int]] = Array(repeating: [], count: body.count)
        for index in body.indices where inside[index] || index == begin {
            for next in graph.successors[index] { before[Int(next)].append(index) }
        }
        var exits: [Exit] = []
        var known = Set<Step>()
        var waiting = body.indices.filter { inside[$0] && body[$0].kind == TLSWATCH_OP_RET }.map {
            Step(index: $0, isHeld: false)
        }
        while let next = waiting.popLast() {
            for index in before[next.index] where index != done {
                let restores = body[index].kind == TLSWATCH_OP_POP && body[index].written >> UInt16(held) & 1 != 0
                let step = Step(index: index, isHeld: next.isHeld || restores)
                switch way(step, to: next.index) {
                case .exit(let exit): if !exits.contains(exit) { exits.append(exit) }
                case .none: break
                case .unclear: return nil
                case .before:
                    guard index != begin else { return nil }
                    if known.insert(step).inserted { waiting.append(step) }
                }
            }
        }
        return exits.sorted { $0.address < $1.address }
    }

    /// An instruction on the way to a return, and whether the connection is still in its register.
    private struct Step: Hashable {
        var index: Int
        var isHeld: Bool
    }

    private enum Way {
        case exit(Exit)
        /// No call that has not completed a handshake leaves by it.
        case none
        /// Whatever comes to this instruction comes out.
        case before
        case unclear
    }

    /// What it is to go from an instruction to one that leads out.
    private func way(_ step: Step, to next: Int) -> Way {
        let body = graph.instructions
        let instruction = body[step.index]
        let isUsable = step.isHeld && !isCompleted[step.index] && SiteChooser.isEmulated(instruction)
        switch instruction.kind {
        case TLSWATCH_OP_JCC:
            // Who does not pass the stack protector's does not return.
            if Self.isGuard(body, step.index) { return isUsable ? .exit(Exit(address: instruction.address)) : .before }
            if isBound(step.index) || isSuccess(next) { return .none }
            guard isUsable, instruction.directTarget != instruction.end else { return .unclear }
            let isTaken = instruction.directTarget == body[next].address
            return .exit(
                Exit(
                    address: instruction.address,
                    flags: .taken(isTaken ? instruction.condition : instruction.condition ^ 1)))
        case TLSWATCH_OP_JMP, TLSWATCH_OP_CALL, TLSWATCH_OP_NOP:
            // The table of states: one that there is not, as behind its bound.
            if instruction.kind == TLSWATCH_OP_JMP, instruction.directTarget == nil { return .none }
            return isUsable ? .exit(Exit(address: instruction.address)) : .before
        default: return .before
        }
    }

    private static func isGuard(_ body: [Instruction], _ index: Int) -> Bool {
        index > 0 && body[index].kind == TLSWATCH_OP_JCC && body[index - 1].comparesStackGuard
    }

    /// The jump that guards the table of states against one that there is not.
    private func isBound(_ index: Int) -> Bool {
        guard index > 0, graph.instructions[index].condition == Condition.above else { return false }
        let test = graph.instructions[index - 1]
        return test.kind == TLSWATCH_OP_CMP && test.first.isMemory && Int(test.first.base) == held
            && test.first.width == 1 && test.first.value == Int64(state) && test.second.isImmediate
    }

    /// Where 1 is returned, as where a handshake is complete: the application wanted no more (`wolfSSL_connect_cert`).
    private func isSuccess(_ index: Int) -> Bool {
        let instruction = graph.instructions[index]
        return isCompleted[index] && instruction.kind == TLSWATCH_OP_MOV && instruction.first.isRegister
            && instruction.second.isImmediate && instruction.second.value == 1
    }
}
