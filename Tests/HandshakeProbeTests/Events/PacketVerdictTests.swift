import Testing

@testable import Kernel

/// A program on packets that returns 0 drops the packet, and a dropped packet is somebody's connection.
@Suite("The verdict of the programs on packets") struct PacketVerdictTests {
    @Test(
        "Every way out of the compiled programs sets the result to 1, and no jump comes past that",
        arguments: ["cgroup_skb/egress", "cgroup_skb/ingress"])
    func everyPacketPasses(_ section: String) throws {
        let code = try #require(Self.code(of: section, in: EmbeddedObject.bytes()))
        #expect(code.count > 8 && code.count % 8 == 0)
        let instructions = Self.instructions(code)
        let exits = instructions.indices.filter { instructions[$0].operation == 0x95 }
        #expect(!exits.isEmpty)
        let targets = Self.targets(of: code)
        for exit in exits {
            #expect(exit > 0 && instructions[exit - 1].setsResultToOne, "exit at \(exit)")
            #expect(!targets.contains(exit), "a jump to the exit at \(exit)")
        }
    }

    @Test("The check itself sees a program that may return 0")
    func otherVerdictsAreSeen() {
        let one: [UInt8] = [0xb4, 0, 0, 0, 1, 0, 0, 0]
        let zero: [UInt8] = [0xb4, 0, 0, 0, 0, 0, 0, 0]
        let jump: [UInt8] = [0x05, 0, 1, 0, 0, 0, 0, 0]
        let exit: [UInt8] = [0x95, 0, 0, 0, 0, 0, 0, 0]
        #expect(Self.instructions(one + exit)[0].setsResultToOne)
        #expect(!Self.instructions(zero + exit)[0].setsResultToOne)
        #expect(Self.targets(of: zero + jump + one + exit).contains(3))
    }

    private struct Instruction {
        var operation: UInt8
        var registers: UInt8
        var offset: Int16
        var immediate: Int32

        /// `w0 = 1` or `r0 = 1`.
        var setsResultToOne: Bool {
            (operation == 0xb4 || operation == 0xb7) && registers & 15 == 0 && immediate == 1
        }
    }

    private static func instructions(_ code: [UInt8]) -> [Instruction] {
        var instructions: [Instruction] = []
        for at in stride(from: 0, to: code.count - 7, by: 8) {
            let offset = UInt16(code[at + 2]) | UInt16(code[at + 3]) << 8
            var immediate: UInt32 = 0
            for byte in code[(at + 4)..<(at + 8)].reversed() { immediate = immediate << 8 | UInt32(byte) }
            instructions.append(
                Instruction(
                    operation: code[at], registers: code[at + 1], offset: Int16(bitPattern: offset),
                    immediate: Int32(bitPattern: immediate)))
        }
        return instructions
    }

    /// Where its jumps lead.
    private static func targets(of code: [UInt8]) -> Set<Int> {
        var targets: Set<Int> = []
        for (index, instruction) in instructions(code).enumerated() {
            let kind = instruction.operation & 7
            let isCallOrExit = instruction.operation == 0x85 || instruction.operation == 0x95
            guard kind == 5 || kind == 6, !isCallOrExit else { continue }
            // The 32-bit form of the unconditional jump has its distance in the immediate.
            let distance = instruction.operation == 0x06 ? Int(instruction.immediate) : Int(instruction.offset)
            targets.insert(index + 1 + distance)
        }
        return targets
    }

    /// The code of a section of a relocatable BPF object, by its name.
    private static func code(of name: String, in bytes: [UInt8]) -> [UInt8]? {
        func word(_ at: Int, _ size: Int) -> Int {
            var value = 0
            for index in (0..<size).reversed() { value = value << 8 | Int(bytes[at + index]) }
            return value
        }
        let table = word(0x28, 8)
        let names = word(table + word(0x3e, 2) * 64 + 24, 8)
        for index in 0..<word(0x3c, 2) {
            let entry = table + index * 64
            let text = bytes[(names + word(entry, 4))...].prefix { $0 != 0 }
            guard String(decoding: text, as: UTF8.self) == name, word(entry + 4, 4) == 1 else { continue }
            let (offset, size) = (word(entry + 24, 8), word(entry + 32, 8))
            return Array(bytes[offset..<offset + size])
        }
        return nil
    }
}
