import Code
import TestSupport
import Testing

@testable import HandshakeProbe

/// Functions in the shape of wolfSSL's, and such that are not quite: what is not clear is refused.
@Suite("The shape of wolfSSL's functions", .enabled(if: Machine.has(Machine.compiler)))
struct HandshakeFunctionTests {
    private static let name = "wolfSSL_accept"

    /// `replacing`, in the order given, gives a function of another shape.
    private static func find(_ replacing: [(String, String)] = []) throws -> (
        HandshakeFunction, label: (String) throws -> UInt64
    ) {
        var text = source
        for (old, new) in replacing {
            #expect(text.contains(old), "\(old)")
            text = text.replacing(old, with: new)
        }
        let path = try Machine.compile(
            "__asm__(R\"(\n\(text)\n)\");", ["-shared", "-nostdlib", "-fPIC", "-std=gnu11"])
        let file = try ELFFile(path: path)
        let function = try #require(file.symbol(name))
        let sibling = try #require(file.symbol("wolfSSL_accept_TLSv13"))
        let found = try HandshakeFunction(
            CodeReader(file), name, function.address, callback: 0xd8, isSibling: { $0 == sibling.address })
        return (found, { label in try #require(file.symbol(label)).address })
    }

    @Test("It begins behind what returns early, and ends where it is complete or before it returns")
    func shape() throws {
        let (function, label) = try Self.find()
        #expect(try function.begin == label("at_begin") && function.done == label("at_done"))
        #expect(try function.exits == [WaysOut.Exit(address: label("at_exit"))])
        #expect(function.object.register == 3 && function.state == 0x120)
    }

    @Test(
        "It begins behind the last place at which it may go over into another function before it goes on by its state")
    func siblings() throws {
        let (function, label) = try Self.find([("at_begun:", "at_begun:\n testb $8, 0x76(%rbx)\n jne 2f")])
        #expect(try function.begin == label("at_bound"))
    }

    @Test("A conditional jump to a return is a way out where it is taken, or where it is not")
    func jumps() throws {
        let (taken, label) = try Self.find([("js 8f", "js 9f")])
        #expect(try taken.exits.contains(WaysOut.Exit(address: label("at_result"), flags: .taken(8))))
        let (other, place) = try Self.find([("js 8f", "jns 3f\n jmp 9f")])
        #expect(try other.exits.contains(WaysOut.Exit(address: place("at_result") + 2)), "the jump behind it")
        // The application's wish to stop returns what a completion does.
        let (stopping, at) = try Self.find([("js 8f", "js 8f\n testb $1, 0x130(%rbx)\n jne 5f")])
        #expect(try stopping.exits == [WaysOut.Exit(address: at("at_exit"))])
    }

    @Test("Behind the stack protector's test every way out is one")
    func protector() throws {
        let guardText = "sub %fs:0x28, %rdx\n jne 7f\n"
        let (function, label) = try Self.find([
            ("8: call report\n", "8:\n"), ("9: mov $-1, %eax\n", "9: mov $-1, %eax\n\(guardText)at_guard:\n"),
            (" ret\nat_end:", " ret\n7: call report\nat_end:"),
        ])
        #expect(try function.exits.map(\.address) == [label("at_guard") - 2], "both failures pass it")
    }

    @Test(
        "What is not clear is refused, and why",
        arguments: [
            ("no register holds", [("work_begins:", "work_begins:\n mov %rsi, %rbx")]),
            ("no register holds", [("mov %rdi, %rbx", "nop")]),
            ("not one place tells", [("0xd8(%rbx)", "0xe8(%rbx)")]),
            ("not one place tells", [("movb $3, 0x120(%rbx)", "nop")]),
            ("not one place tells", [("je 4f\n", "js 4f\n")]),
            ("not one place tells", [("5: mov $1", "mov 0xd8(%rbx), %rax\n test %rax, %rax\n je 5f\n5: mov $1")]),
            ("it does not go on by its state", [("jmp *%rax", "nop")]),
            ("it goes on at", [("8: call report", "8: jmp report")]),
            // Nothing that all calls pass comes before what is done, or it is passed twice.
            ("is not clear", [("jne 1f\nat_begun:", "nop\nat_begun:"), (" ja 9f", " nop")]),
            ("is not clear", [("js 8f", "js at_first")]),
            // A way out on which the connection is not held any more.
            ("is not clear", [("js 8f", "jns 3f\n pop %rbx\n test %ecx, %ecx\n je 6f"), ("4: ", "6: ret\n4: ")]),
        ] as [(String, [(String, String)])])
    func refused(_ reason: String, _ replacing: [(String, String)]) throws {
        let error = #expect(throws: AnalysisError.self) { _ = try Self.find(replacing) }
        #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }

    @Test("Code that the file does not bound is not followed")
    func unbounded() throws {
        for (old, reason) in [(".cfi_startproc", "where wolfSSL_accept ends"), ("8: ", "are no instructions")] {
            let error = #expect(throws: AnalysisError.self) {
                _ = try Self.find(
                    old == "8: " ? [("8: call", ".byte 0x06\n8: call")] : [(old, ""), (".cfi_endproc", "")])
            }
            #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
        }
    }

    /// A state machine as `wolfSSL_accept` is one.
    private static let source = """
        .text
        .globl wolfSSL_accept, wolfSSL_accept_TLSv13, at_begin, at_done, at_exit, at_result, at_guard, at_first, at_bound
        .type wolfSSL_accept, @function
        .type wolfSSL_accept_TLSv13, @function
        .set at_guard, 0
        wolfSSL_accept:
        .cfi_startproc
         push %rbx
         mov %rdi, %rbx
         testb $8, 0x76(%rbx)
         jne 2f
         test %rbx, %rbx
        early:
         call prepare
         test %eax, %eax
         jne 0f
        work_begins:
        at_first:
         testb $1, 0x110(%rbx)
        at_begin:
         jne 1f
        at_begun:
         movb $1, 0x110(%rbx)
        1: movzbl 0x120(%rbx), %eax
         cmpb $1, 0x120(%rbx)
        at_bound:
         ja 9f
         lea states(%rip), %rdx
         movslq (%rdx,%rax,4), %rax
         add %rdx, %rax
         jmp *%rax
        state0:
         mov %rbx, %rdi
         call work
         mov %eax, 0x78(%rbx)
         test %eax, %eax
        at_result:
         js 8f
        3:
        state1:
         movb $3, 0x120(%rbx)
         mov 0xd8(%rbx), %rax
         test %rax, %rax
        at_done:
         je 4f
         mov %rbx, %rdi
         call *%rax
        4: movl $0, 0x78(%rbx)
        5: mov $1, %eax
        0: pop %rbx
         ret
        2: mov %rbx, %rdi
         pop %rbx
         jmp wolfSSL_accept_TLSv13
        at_exit:
        8: call report
        9: mov $-1, %eax
         pop %rbx
         ret
        at_end:
        .cfi_endproc
        .size wolfSSL_accept, . - wolfSSL_accept
        .local prepare, work, report
        prepare:
        .cfi_startproc
         ret
        .cfi_endproc
        work:
        .cfi_startproc
         ret
        .cfi_endproc
        report:
        .cfi_startproc
         ret
        .cfi_endproc
        wolfSSL_accept_TLSv13:
        .cfi_startproc
         ret
        .cfi_endproc
        .section .rodata
        .balign 4
        states:
         .long state0 - states, state1 - states
        """
}
