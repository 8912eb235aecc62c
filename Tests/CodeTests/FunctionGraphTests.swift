import TestSupport
import Testing

@testable import Code

@Suite("The ways through a function") struct FunctionGraphTests {
    @Test("A jump through a table leads wherever the table does")
    func jumpTable() throws {
        // lea rdx,[rip+table]; movsxd rax,[rdx+4*rdi]; add rax,rdx; jmp rax; A: ret; B: push rbx; pop rbx; ret
        let body: [UInt8] = [
            0x48, 0x8d, 0x15, 0xf9, 0x0f, 0, 0, 0x48, 0x63, 0x04, 0xba, 0x48, 0x01, 0xd0, 0xff, 0xe0, 0xc3, 0x53, 0x5b,
            0xc3,
        ]
        // From the table to A and to B, and then to no instruction.
        let table: [UInt8] = [0x10, 0xf0, 0xff, 0xff, 0x11, 0xf0, 0xff, 0xff, 0, 0, 0, 0]
        let start = CodeImage.codeAddress
        let reader = try CodeImage.reader(body, data: table)
        let graph = FunctionGraph(reader, start..<start + UInt64(body.count))
        let jump = try #require(graph.index(of: start + 14))
        #expect(graph.successors[jump].map { Int($0) } == [16, 17].compactMap { graph.index(of: start + $0) })
        let reached = graph.reached(from: [0], avoiding: [])
        #expect(reached.allSatisfy { $0 })
        let without = graph.reached(from: [0], avoiding: [jump])
        #expect(without.count { $0 } == jump)
    }
}
