import TestSupport
import Testing

@testable import Code

@Suite("Sites at the beginning of functions") struct SiteChooserTests {
    private func choose(_ code: [UInt8], parameters: [Int] = [0, 1], needsReturn: Bool = false) throws -> ChosenSite? {
        let start = CodeImage.codeAddress
        return SiteChooser(code: try CodeImage.reader(code))
            .choose(start..<start + UInt64(code.count), parameters: parameters, needsReturn: needsReturn)
    }

    private func offset(_ site: ChosenSite?) -> Int? { site.map { Int($0.address - CodeImage.codeAddress) } }

    @Test(
        "The kernel's list of emulated instructions",
        arguments: [
            ([0x53], true), ([0x41, 0x57], true), ([0xeb, 0x00], true), ([0xe9, 0, 0, 0, 0], true),
            ([0xe8, 0, 0, 0, 0], true), ([0x74, 0x00], true), ([0x0f, 0x85, 0, 0, 0, 0], true), ([0x90], true),
            ([0x0f, 0x1f, 0x44, 0, 0], false),  // nopl: five bytes
            ([0x66, 0x90], false), ([0xc3], false), ([0xf3, 0x0f, 0x1e, 0xfa], false),
            ([0x48, 0x83, 0xec, 0x08], false),
            ([0x66, 0x53], false), ([0xff, 0x37], false), ([0xff, 0xd0], false), ([0x6a, 0x01], false),
            ([0xf2, 0xe9, 0, 0, 0, 0], false),  // bnd jmp
        ] as [([UInt8], Bool)])
    func onlyEmulatedInstructionsCount(_ code: [UInt8], _ expected: Bool) throws {
        let instruction = try #require(try CodeImage.reader(code + [0xc3]).instruction(at: CodeImage.codeAddress))
        #expect(SiteChooser.isEmulated(instruction) == expected)
    }

    @Test("The site is the first push after the branch target") func firstPushAfterTheBranchTarget() throws {
        // endbr64; push rbp
        let site = try choose([0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3], needsReturn: true)
        #expect(site == ChosenSite(address: CodeImage.codeAddress + 4, mode: .emulated, note: nil))
    }

    @Test("A jump before the push will do as well") func theJumpBeforeThePush() throws {
        // test rdi, rdi; je +1; push rbx; ret
        #expect(offset(try choose([0x48, 0x85, 0xff, 0x74, 0x01, 0x53, 0xc3], needsReturn: true)) == 3)
    }

    @Test("A jump behind the first push costs less, as long as the parameters last and no loop leads back to it")
    func aJumpIsTakenBeforeAPush() throws {
        // push rbx; mov rbx, rdi; test rsi, rsi; je +1; nop; ret
        let code: [UInt8] = [0x53, 0x48, 0x89, 0xfb, 0x48, 0x85, 0xf6, 0x74, 0x01, 0x90, 0xc3]
        #expect(offset(try choose(code)) == 7)
        // The return address is at the top of the stack only before the push.
        #expect(offset(try choose(code, needsReturn: true)) == 0)
        // push rbx; xor edi, edi; je: the parameter is gone by then.
        #expect(offset(try choose([0x53, 0x31, 0xff, 0x74, 0x01, 0x90, 0xc3])) == 0)
        // push rbx; call; je: a call may change them.
        #expect(offset(try choose([0x53, 0xe8, 0, 0, 0, 0, 0x74, 0x01, 0x90, 0xc3])) == 0)
        // push rbx; test rsi, rsi; je back to itself's test: hit more than once.
        #expect(offset(try choose([0x53, 0x48, 0x85, 0xf6, 0x74, 0xfb, 0xc3])) == 0)
    }

    @Test("Refused where a parameter is no longer in its register") func refusesWhereAParameterIsGone() throws {
        // mov edi, 1; push rbx; ret
        let code: [UInt8] = [0xbf, 1, 0, 0, 0, 0x53, 0xc3]
        let site = try #require(try choose(code))
        #expect(site.mode == .singleStep)
        #expect(offset(site) == 0)
        #expect(site.note != nil)
        // Without that parameter the push is right.
        #expect(offset(try choose(code, parameters: [1])) == 5)
        // mov sil, 1: a part of the register counts. xchg rdi, rax. xor edi, edi.
        for clobber: [UInt8] in [[0x40, 0xb6, 1], [0x48, 0x97], [0x31, 0xff]] {
            #expect(try choose(clobber + [0x53, 0xc3])?.mode == .singleStep)
        }
    }

    @Test("Refused where the return address is no longer at the top of the stack")
    func refusesWhereTheReturnAddressMoved() throws {
        // sub rsp, 8; push rbx; ret
        let code: [UInt8] = [0x48, 0x83, 0xec, 0x08, 0x53, 0xc3]
        #expect(try choose(code, needsReturn: true)?.mode == .singleStep)
        #expect(offset(try choose(code, needsReturn: false)) == 4)
    }

    @Test("The nop of five bytes, which others patch, is refused") func refusesTheFiveByteNop() throws {
        // nopl; push rbx
        #expect(offset(try choose([0x0f, 0x1f, 0x44, 0, 0, 0x53, 0xc3])) == 5)
        // nopl; ret
        #expect(try choose([0x0f, 0x1f, 0x44, 0, 0, 0xc3])?.mode == .singleStep)
    }

    @Test("No site lies outside the function") func staysInsideTheFunction() throws {
        let start = CodeImage.codeAddress
        // mov eax, [rdi]; ret | push rbx of the next function
        let chooser = SiteChooser(code: try CodeImage.reader([0x8b, 0x07, 0xc3, 0x53, 0xc3]))
        #expect(chooser.choose(start..<start + 3, parameters: [0], needsReturn: false)?.mode == .singleStep)
        // mov eax, [rdi], cut before the push
        #expect(chooser.choose(start..<start + 2, parameters: [0], needsReturn: false)?.mode == .singleStep)
        #expect(chooser.choose(start..<start + 1, parameters: [0], needsReturn: false) == nil)
    }

    @Test("An instruction that a loop comes back to is refused") func refusesLoops() throws {
        // mov eax, [rdi]; loop: nop; jne loop; ret
        let site = try #require(try choose([0x8b, 0x07, 0x90, 0x75, 0xfd, 0xc3]))
        #expect(site.mode == .singleStep)
        #expect(offset(site) == 0)
        // loop: nop; jne loop; ret: no site at all is hit once
        #expect(try choose([0x90, 0x75, 0xfd, 0xc3]) == nil)
    }
}
