import TestSupport
import Testing

@testable import Code

@Suite("Following values through code") struct AbstractInterpreterTests {
    private typealias Event = AbstractInterpreter.Event

    private func run(
        _ code: [UInt8], data: [UInt8] = [], parameters: [Int: AbstractValue] = [:], assuming: [Place: UInt64] = [:]
    ) throws -> [Event] {
        var interpreter = AbstractInterpreter(code: try CodeImage.reader(code, data: data))
        interpreter.assumptions = assuming
        return interpreter.run(CodeImage.codeAddress, parameters: parameters)
    }

    private func fields(_ events: [Event]) -> Set<Field> {
        Set(events.compactMap { if case .returned(let value) = $0 { value.field } else { nil } })
    }

    @Test("A plain getter is one load from its parameter") func aPlainGetter() throws {
        // mov eax, [rdi+0x38]; ret
        #expect(fields(try run([0x8b, 0x47, 0x38, 0xc3])) == [Field(root: 0, offsets: [0x38], width: 4)])
    }

    @Test("A prefix with which a compiler pads changes nothing; a thread's own segment is another memory")
    func segmentPrefixes() throws {
        // cs mov eax, [rdi+0x38]; ret, and with ds
        for prefix in [0x2e, 0x3e] as [UInt8] {
            #expect(
                fields(try run([prefix, prefix, 0x8b, 0x47, 0x38, 0xc3])) == [Field(root: 0, offsets: [0x38], width: 4)]
            )
        }
        // fs mov eax, [rdi+0x38]; ret
        #expect(fields(try run([0x64, 0x8b, 0x47, 0x38, 0xc3])).isEmpty)
        #expect(fields(try run([0x65, 0x8b, 0x47, 0x38, 0xc3])).isEmpty)
    }

    @Test("Both ways of a branch are followed, and a load through a load") func bothWaysOfABranchAndTwoLoads() throws {
        // mov rax, [rdi+0x918]; test rax, rax; je end; mov rax, [rax+0x2f8]; end: ret
        let events = try run([
            0x48, 0x8b, 0x87, 0x18, 0x09, 0, 0, 0x48, 0x85, 0xc0, 0x74, 0x07, 0x48, 0x8b, 0x80, 0xf8, 0x02, 0, 0, 0xc3,
        ])
        #expect(
            fields(events) == [
                Field(root: 0, offsets: [0x918], width: 8), Field(root: 0, offsets: [0x918, 0x2f8], width: 8),
            ])
    }

    @Test("Registers that a callee saves survive a call, others do not") func savedRegistersSurviveACall() throws {
        // push rbx; mov rbx, rdi; call +0; mov rax, [rbx+8]; pop rbx; ret
        let events = try run([0x53, 0x48, 0x89, 0xfb, 0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x43, 0x08, 0x5b, 0xc3])
        #expect(fields(events) == [Field(root: 0, offsets: [8], width: 8)])
        // mov rax, [rdi+8] after the call: rdi is unknown
        #expect(fields(try run([0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x47, 0x08, 0xc3])).isEmpty)
    }

    @Test("Stores through parameters are seen with place and value") func storesThroughParameters() throws {
        // mov rax, [rdi+0x488]; mov [rsi], rax; ret
        let events = try run([0x48, 0x8b, 0x87, 0x88, 0x04, 0, 0, 0x48, 0x89, 0x06, 0xc3])
        let stored = events.compactMap { event -> Field? in
            if case .stored(let place, let value) = event, place == Place(root: 1) { value.field } else { nil }
        }
        #expect(stored == [Field(root: 0, offsets: [0x488], width: 8)])
    }

    @Test("A call of what the file itself exports goes through a stub to it") func behindStubs() throws {
        let (start, data) = (CodeImage.codeAddress, CodeImage.dataAddress)
        // call stub; ret, at 16 the stub, at 32 the function: mov eax, [rdi+0x38]; cmp eax, 7; ret
        let jump: [UInt8] = [0xff, 0x25]
        func fields(_ stub: [UInt8], slot: UInt64) throws -> [Field] {
            var code: [UInt8] = [0xe8, 11, 0, 0, 0, 0xc3]
            code += Array(repeating: 0x90, count: 16 - code.count) + stub
            let distance = UInt32(truncatingIfNeeded: data &- start &- UInt64(code.count + jump.count + 4))
            code += jump + (0..<4).map { UInt8(truncatingIfNeeded: distance >> (8 * $0)) }
            code += Array(repeating: 0x90, count: 32 - code.count) + [0x8b, 0x47, 0x38, 0x83, 0xf8, 7, 0xc3]
            let slots = (0..<8).map { UInt8(truncatingIfNeeded: slot >> (8 * UInt64($0))) }
            let file = try ELFFile(
                bytes: CodeImage.bytes(type: 2, (start, flags: 5, code), (data, flags: 6, slots)))
            return AbstractInterpreter(code: CodeReader(file)).runFollowingCalls(start, depth: 1).compactMap {
                if case .compared(let field, 7) = $0 { field } else { nil }
            }
        }
        let found = [Field(root: 0, offsets: [0x38], width: 4)]
        #expect(try fields([], slot: start + 32) == found)
        // endbr64
        #expect(try fields([0xf3, 0x0f, 0x1e, 0xfa], slot: start + 32) == found)
        // What another file has.
        #expect(try fields([], slot: data).isEmpty)
        #expect(try fields([], slot: 0).isEmpty)
    }

    @Test("An assumption decides which way the kind of object sends the code") func anAssumptionDecidesTheKindOfObject()
        throws
    {
        // cmp dword [rdi], 0; je tls; mov eax, [rdi+0x40]; ret; tls: mov eax, [rdi+0x48]; ret
        let code: [UInt8] = [0x83, 0x3f, 0, 0x74, 0x04, 0x8b, 0x47, 0x40, 0xc3, 0x8b, 0x47, 0x48, 0xc3]
        #expect(fields(try run(code)).count == 2)
        #expect(fields(try run(code, assuming: [Place(root: 0): 0])) == [Field(root: 0, offsets: [0x48], width: 4)])
    }

    @Test("A switch on a known value", arguments: [(UInt64(10), Int32(0x10)), (11, 0x20), (12, 0x30)])
    func jumpTable(_ value: UInt64, _ offset: Int32) throws {
        // lea eax, [rsi-10]; cmp eax, 1; ja default; lea rdx, [rip+table]; movslq rax, [rdx+rax*4];
        // add rax, rdx; notrack jmp rax
        let code: [UInt8] = [
            0x8d, 0x46, 0xf6, 0x83, 0xf8, 0x01, 0x77, 0x18,
            0x48, 0x8d, 0x15, 0xf1, 0x0f, 0, 0, 0x48, 0x63, 0x04, 0x82, 0x48, 0x01, 0xd0, 0x3e, 0xff, 0xe0,
            0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
            0x8b, 0x47, 0x30, 0xc3, 0x8b, 0x47, 0x10, 0xc3, 0x8b, 0x47, 0x20, 0xc3,
        ]
        func entry(_ target: Int) -> [UInt8] {
            let distance = UInt32(bitPattern: Int32(0x1000 + target - 0x2000))
            return (0..<4).map { UInt8(truncatingIfNeeded: distance >> UInt32($0 * 8)) }
        }
        let events = try run(code, data: entry(36) + entry(40), parameters: [1: .constant(value)])
        #expect(fields(events) == [Field(root: 0, offsets: [offset], width: 4)])
    }

    @Test("An endless loop ends") func endlessLoopsEnd() throws {
        // loop: nop; jmp loop, behind the entry
        #expect(try run([0x90, 0x90, 0xeb, 0xfd]).isEmpty)
        // loop: jne loop; je loop; jmp loop, with ever new stack depths
        _ = try run([0x53, 0x75, 0xfd, 0x74, 0xfb, 0xeb, 0xf9])
        // mov rdi, [rdi]; jmp -5: ever deeper paths
        _ = try run([0x48, 0x8b, 0x3f, 0x75, 0xfb, 0xc3])
    }

    @Test("Arbitrary bytes are decoded, or are the end") func arbitraryBytesDecodeOrEnd() throws {
        var generator = SplitMix(seed: 7)
        for _ in 0..<400 {
            let code = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = try run(code)
            let start = CodeImage.codeAddress
            _ = SiteChooser(code: try CodeImage.reader(code))
                .choose(start..<start + 200, parameters: [0, 1, 2], needsReturn: true)
        }
    }

    @Test("What a library exports it calls through a stub: it is followed there also where tail jumps are not")
    func stubs() throws {
        // sub rsp, 8; call stub; add rsp, 8; ret
        let caller: [UInt8] = [0x48, 0x83, 0xec, 8, 0xe8, 7, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xc3, 0xcc, 0xcc]
        // jmp [rip+slot], alone and behind endbr64
        for start in [[], [0xf3, 0x0f, 0x1e, 0xfa]] as [[UInt8]] {
            let slot = UInt32(CodeImage.dataAddress - CodeImage.codeAddress) - UInt32(caller.count + start.count + 6)
            let stub = start + [0xff, 0x25] + (0..<4).map { UInt8(truncatingIfNeeded: slot >> ($0 * 8)) }
            // test byte [rdi+8], 16; ret
            let function = CodeImage.codeAddress + UInt64(caller.count + stub.count)
            let code = caller + stub + [0xf6, 0x47, 8, 16, 0xc3]
            let data = (0..<8).map { UInt8(truncatingIfNeeded: function >> ($0 * 8)) }
            let reader = CodeReader(
                try ELFFile(
                    bytes: CodeImage.bytes(
                        type: 2, (CodeImage.codeAddress, flags: 5, code), (CodeImage.dataAddress, flags: 4, data))))
            #expect(reader.behindStub(CodeImage.codeAddress + UInt64(caller.count)) == function)
            #expect(reader.behindStub(function) == function)
            var interpreter = AbstractInterpreter(code: reader)
            interpreter.followsTailJumps = false
            let tested = Event.tested(Field(root: 0, offsets: [8], width: 1), 16)
            #expect(interpreter.runFollowingCalls(CodeImage.codeAddress, depth: 1).contains(tested))
            #expect(!interpreter.runFollowingCalls(CodeImage.codeAddress, depth: 0).contains(tested))
        }
    }
}
