import CCapstone

extension AbstractInterpreter {
    /// What the function at `entry` does, and what the functions do that it calls with something of its parameters, `depth` calls
    /// down, through stubs too; in terms of its own parameters. What a call returns is not known.
    package func runFollowingCalls(
        _ entry: UInt64, parameters: [Int: AbstractValue] = [:], depth: Int
    ) -> [Event] {
        var left = Self.followLimit
        return follow(entry, parameters, depth, &left)
    }

    /// Functions followed in one run.
    private static let followLimit = 24

    private func follow(
        _ entry: UInt64, _ parameters: [Int: AbstractValue], _ depth: Int, _ left: inout Int
    ) -> [Event] {
        let events = run(entry, parameters: parameters)
        guard depth > 0 else { return events }
        var result: [Event] = []
        for event in events {
            result.append(event)
            guard case .called(.constant(let target), let arguments) = event, left > 0,
                arguments.contains(where: { $0.isOfParameter }), code.file.isCode(target)
            else { continue }
            left -= 1
            let function = code.behindStub(target)
            var handed: [Int: AbstractValue] = [3: .unknown, 4: .unknown, 5: .unknown]
            for (number, argument) in arguments.enumerated() {
                // A place of the caller's stack is none of the callee's.
                if case .stack = argument { handed[number] = .unknown } else { handed[number] = argument }
            }
            // What it returns is no return of the function asked for.
            result += follow(function, handed, depth - 1, &left).filter {
                if case .returned = $0 { false } else { true }
            }
        }
        return result
    }
}

extension CodeReader {
    /// The function of this file that a stub leads to (`jmp [slot]`, with `endbr64` before it where there is one), which is how a
    /// library calls what it exports; else `target` itself.
    package func behindStub(_ target: UInt64) -> UInt64 {
        guard var instruction = instruction(at: target) else { return target }
        if instruction.kind == TLSWATCH_OP_ENDBR, let next = self.instruction(at: instruction.end) {
            instruction = next
        }
        guard instruction.kind == TLSWATCH_OP_JMP, instruction.first.isMemory, instruction.first.rip_relative,
            // An address, as the decoder tells it.
            let function = file.pointer(at: UInt64(bitPattern: instruction.first.value)), file.isCode(function)
        else { return target }
        return function
    }
}

extension AbstractValue {
    /// Whether it is a parameter, or comes from one.
    var isOfParameter: Bool { if case .place = self { true } else { false } }
}
