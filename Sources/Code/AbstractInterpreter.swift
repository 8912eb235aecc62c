import CCapstone

/// Reads what a function does with its parameters, by following its code with values that are
/// mostly unknown: where the build itself says where its fields are, no table of versions is needed.
///
/// Both ways of an undecided branch are taken. Everything is bounded, so that hostile code only
/// costs a fixed amount of time.
package struct AbstractInterpreter {
    /// Something the function does.
    package enum Event: Hashable {
        /// Returns with this in rax.
        case returned(AbstractValue)
        /// Stores `value` through a pointer parameter.
        case stored(Place, AbstractValue)
        /// Stores a field, or a constant, into its own stack, so far from where that was at the entry.
        case kept(Int64, AbstractValue)
        /// Compares a field with a constant.
        case compared(Field, UInt64)
        /// Looks whether some of these bits of a field are set.
        case tested(Field, UInt64)
        /// Calls; `target` is nil where it is only known at run time; `arguments` are the first three.
        case called(target: AbstractValue, arguments: [AbstractValue])
        /// Leaves by a jump out of the function.
        case jumpedOut(target: AbstractValue, arguments: [AbstractValue])
    }

    package let code: CodeReader
    /// Go on in the function that a direct jump leads to.
    package var followsTailJumps = true
    /// What loads from these places give, at any width up to four bytes.
    package var assumptions: [Place: UInt64] = [:]
    package var stepLimit = 4000
    package var forkLimit = 256
    /// How often one instruction is interpreted.
    package var visitLimit = 16
    /// Take all ways of a jump through a table.
    package var followsJumpTables = false
    /// Of paths that come to the same state, follow one: worth its cost where there are many.
    package var mergesPaths = false
    /// Instructions before which every path ends.
    package var walls: Set<UInt64> = []
    /// What calls of these functions return.
    package var results: [UInt64: AbstractValue] = [:]
    /// Tell what of the parameters is kept on the stack (`Event.kept`).
    package var tellsStack = false

    package init(code: CodeReader) { self.code = code }

    /// What the function at `entry` does, each event once, in the order found. Parameters are their
    /// own places unless `parameters` gives them a value.
    package func run(_ entry: UInt64, parameters: [Int: AbstractValue] = [:]) -> [Event] {
        var run = Run(self, entry)
        run.start(parameters)
        return run.events
    }

    /// The instructions that a run comes to, and what the function does on the way.
    package func walk(_ entry: UInt64, parameters: [Int: AbstractValue] = [:]) -> Walk {
        var run = Run(self, entry)
        run.walk = Walk()
        run.held = [UInt16](repeating: .max, count: run.visits.count)
        run.start(parameters)
        var walk = run.walk ?? Walk()
        walk.events = run.events
        for (distance, count) in run.visits.enumerated() where count > 0 {
            walk.passed[run.extent.lowerBound + UInt64(distance)] = run.held[distance]
        }
        return walk
    }

    package struct Walk {
        package var events: [Event] = []
        /// By address: the set of registers, 1 << number, that hold the first parameter whenever the instruction is come to.
        package var passed: [UInt64: UInt16] = [:]
        /// By the address of a call: where it goes, and its first three arguments as it was come to last.
        package var targets: [UInt64: AbstractValue] = [:]
        package var arguments: [UInt64: [AbstractValue]] = [:]
    }
}

/// One interpretation. What instructions do with data is in AbstractData.swift.
struct Run {
    struct State {
        var address: UInt64
        var registers = [AbstractValue](repeating: .unknown, count: 16)
        private(set) var stack: [Int64: AbstractValue] = [:]
        /// Of all that is in the stack, in any order.
        var stackMark = 0
        var flags = Flags.unknown
        /// What a number was compared with last: before a jump through a table, its last index.
        var bound: UInt64 = 0

        mutating func put(_ value: AbstractValue, at offset: Int64) {
            if let old = stack.updateValue(value, forKey: offset) { stackMark ^= Self.mark(old, offset) }
            stackMark ^= Self.mark(value, offset)
        }

        private static func mark(_ value: AbstractValue, _ offset: Int64) -> Int {
            var hasher = Hasher()
            hasher.combine(offset)
            hasher.combine(value)
            return hasher.finalize()
        }

        /// Two states with one mark are taken for one.
        var mark: Int {
            var hasher = Hasher()
            hasher.combine(address)
            hasher.combine(flags)
            hasher.combine(stackMark)
            for (number, value) in registers.enumerated() where value != .unknown {
                hasher.combine(number)
                hasher.combine(value)
            }
            return hasher.finalize()
        }
    }

    let code: CodeReader
    let limits: AbstractInterpreter
    let extent: Range<UInt64>
    let entry: UInt64
    var events: [AbstractInterpreter.Event] = []
    var known: Set<AbstractInterpreter.Event> = []
    var pending: [State] = []
    /// Of the states from which paths go on, the hashes: what a second path would find from the same state is known.
    var met: Set<Int> = []
    /// By the distance from the extent's beginning; of instructions elsewhere, by their address.
    var visits: [UInt16]
    var visitsElsewhere: [UInt64: UInt16] = [:]
    /// As `Walk.passed`, by the same distance.
    var held: [UInt16] = []
    var steps = 0
    var forks = 0
    static let object = AbstractValue.place(Place(root: 0), width: 0)
    /// `nil` where nobody asks for it.
    var walk: AbstractInterpreter.Walk?

    init(_ limits: AbstractInterpreter, _ entry: UInt64) {
        code = limits.code
        self.limits = limits
        self.entry = entry
        extent = code.file.functionExtent(containing: entry) ?? entry..<entry.addingClamped(4096)
        visits = [UInt16](repeating: 0, count: Int(min(extent.upperBound - extent.lowerBound, Self.countedBytes)))
    }

    /// Of an extent; what lies behind is counted by its address.
    private static let countedBytes: UInt64 = 1 << 16

    /// Where in `visits` an instruction is; beyond its end where it is elsewhere.
    func place(_ address: UInt64) -> Int {
        address >= extent.lowerBound && address - extent.lowerBound < UInt64(visits.count)
            ? Int(address - extent.lowerBound) : visits.count
    }

    /// Counts a visit; false where there have been enough.
    mutating func visit(_ address: UInt64) -> Bool {
        let place = place(address)
        let before = place < visits.count ? visits[place] : visitsElsewhere[address, default: 0]
        guard Int(before) < limits.visitLimit else { return false }
        if place < visits.count { visits[place] = before + 1 } else { visitsElsewhere[address] = before + 1 }
        return true
    }

    mutating func start(_ parameters: [Int: AbstractValue]) {
        var state = State(address: entry)
        for (number, register) in Register.parameters.enumerated() {
            state.registers[register] = parameters[number] ?? .place(Place(root: number), width: 0)
        }
        state.registers[Register.rsp] = .stack(0)
        pending.append(state)
        var next = 0
        // In the order of forking: what is near the entry comes before the depths of a loop.
        while next < pending.count {
            var state = pending[next]
            next += 1
            while steps < limits.stepLimit, !limits.walls.contains(state.address),
                let instruction = code.instruction(at: state.address), visit(state.address)
            {
                if walk != nil { pass(instruction, state) }
                steps += 1
                guard step(instruction, &state) else { break }
            }
        }
    }

    mutating func pass(_ instruction: Instruction, _ state: State) {
        var held: UInt16 = 0
        for register in 0..<16 where state.registers[register] == Self.object { held |= 1 << UInt16(register) }
        let place = place(instruction.address)
        if place < self.held.count {
            self.held[place] &= held
        } else {
            walk?.passed[instruction.address, default: .max] &= held
        }
        if instruction.kind == TLSWATCH_OP_CALL {
            let (target, arguments) = (target(instruction, state), arguments(state))
            walk?.targets[instruction.address] = target
            walk?.arguments[instruction.address] = arguments
        }
    }

    mutating func emit(_ event: AbstractInterpreter.Event) {
        if known.insert(event).inserted { events.append(event) }
    }

    /// Interprets one instruction; false where this path ends.
    mutating func step(_ instruction: Instruction, _ state: inout State) -> Bool {
        state.address = instruction.end
        switch instruction.kind {
        case TLSWATCH_OP_NOP, TLSWATCH_OP_ENDBR: break
        case TLSWATCH_OP_TRAP: return false
        case TLSWATCH_OP_RET:
            emit(.returned(state.registers[Register.rax]))
            return false
        case TLSWATCH_OP_JMP: return jump(instruction, &state)
        case TLSWATCH_OP_JCC: return branch(instruction, &state)
        case TLSWATCH_OP_CALL:
            emit(.called(target: target(instruction, state), arguments: arguments(state)))
            for register in Register.clobbered { state.registers[register] = .unknown }
            if !limits.results.isEmpty, let target = instruction.directTarget, let result = limits.results[target] {
                state.registers[Register.rax] = result
            }
            state.flags = .unknown
        case TLSWATCH_OP_CMP, TLSWATCH_OP_TEST: compare(instruction, &state)
        default: transfer(instruction, &state)
        }
        return true
    }

    func arguments(_ state: State) -> [AbstractValue] { Register.parameters.prefix(3).map { state.registers[$0] } }

    func target(_ instruction: Instruction, _ state: State) -> AbstractValue {
        if let target = instruction.directTarget { return .constant(target) }
        return value(instruction.first, state)
    }

    mutating func jump(_ instruction: Instruction, _ state: inout State) -> Bool {
        let target = target(instruction, state)
        if case .constant(let address) = target {
            // A jump to the entry from inside is a loop or a recursion: nothing new.
            if extent.contains(address), address != entry {
                state.address = address
                return isNew(state)
            }
            let arguments = arguments(state)
            emit(.jumpedOut(target: target, arguments: arguments))
            state.address = address
            return limits.followsTailJumps && code.file.isCode(address)
        }
        if case .tableTarget(let table) = target {
            let file = code.file
            forkAll(state) { index in
                file.bytes(at: table &+ index * 4, count: 4)?.u32(at: 0).map {
                    table &+ UInt64(bitPattern: Int64(Int32(bitPattern: $0)))
                }
            }
            return false
        }
        if let table = addressTable(instruction.first) {
            let file = code.file
            forkAll(state) { file.bytes(at: table &+ $0 * 8, count: 8)?.u64(at: 0) }
            return false
        }
        emit(.jumpedOut(target: target, arguments: arguments(state)))
        return false
    }

    /// Goes on at each entry of a jump table that leads into this function.
    mutating func forkAll(_ state: State, _ entry: (UInt64) -> UInt64?) {
        for index in 0..<min(state.bound, Self.tableLimit) + 1 {
            guard let address = entry(index) else { return }
            var taken = state
            taken.address = address
            if extent.contains(address) { fork(taken) }
        }
    }

    /// Ways through one table.
    private static let tableLimit: UInt64 = 63

    /// The table of `jmp [table + 8 * rax]`: addresses, in a file linked to fixed ones.
    func addressTable(_ operand: Operand) -> UInt64? {
        guard limits.followsJumpTables, code.file.kind == .fixedAddress, operand.isMemory, operand.width == 8,
            operand.scale == 8, operand.index != UInt8(TLSWATCH_NO_REGISTER),
            operand.base == UInt8(TLSWATCH_NO_REGISTER), !operand.opaque_address
        else { return nil }
        return UInt64(bitPattern: operand.value)
    }

    mutating func branch(_ instruction: Instruction, _ state: inout State) -> Bool {
        guard let target = instruction.directTarget else { return false }
        var taken = state
        taken.address = target
        let outside = !extent.contains(target)
        switch state.flags.decides(instruction.condition) {
        case true?:
            if outside { emit(.jumpedOut(target: .constant(target), arguments: arguments(state))) }
            state = taken
        case false?: break
        case nil:
            if outside { emit(.jumpedOut(target: .constant(target), arguments: arguments(state))) }
            fork(taken)
        }
        return true
    }

    mutating func isNew(_ state: State) -> Bool { !limits.mergesPaths || met.insert(state.mark).inserted }

    /// Another path goes on from here, later.
    mutating func fork(_ state: State) {
        guard forks < limits.forkLimit, isNew(state) else { return }
        forks += 1
        pending.append(state)
    }

    mutating func compare(_ instruction: Instruction, _ state: inout State) {
        let width = Int(instruction.first.width)
        let left = value(instruction.first, state).truncated(to: width)
        let right = value(instruction.second, state).truncated(to: width)
        state.flags = .unknown
        if case .constant(let bound) = right { state.bound = bound }
        let isTest = instruction.kind == TLSWATCH_OP_TEST
        // It is what it was, and the call of `__stack_chk_fail`, behind which another function's or branch's code stands, is not
        // come to.
        if !isTest, instruction.first.isStackGuard || instruction.second.isStackGuard {
            state.flags = .compare(0, 0, 8)
            return
        }
        switch (left, right) {
        case (.constant(let left), .constant(let right)):
            state.flags = isTest ? .test(left & right, width) : .compare(left, right, width)
        case (_, .constant(let constant)):
            if isTest { test(left, constant) } else if let field = left.field { emit(.compared(field, constant)) }
        default:
            if isTest, left == right, let field = left.field { emit(.compared(field, 0)) }
        }
    }

    /// Some bits of a value are looked at.
    mutating func test(_ value: AbstractValue, _ mask: UInt64) {
        switch value {
        case .place(_, let width) where width > 0:
            if let field = value.field { emit(.tested(field, mask)) }
        case .bits(let place, let width, let shift):
            let whole = AbstractValue.place(place, width: width)
            if let field = whole.field, mask.leadingZeroBitCount >= Int(shift) {
                emit(.tested(field, mask << UInt64(shift)))
            }
        default: break
        }
    }

}
