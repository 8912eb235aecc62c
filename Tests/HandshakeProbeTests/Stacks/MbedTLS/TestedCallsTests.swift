import CCapstone
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// The guards of what is taken for a step's failure, on libraries made for it.
@Suite("Calls whose result is tested") struct TestedCallsTests {
    /// A library whose function `f` calls `g` as `body` says; its own are called by name.
    private static func calls(_ body: String) throws -> (code: CodeReader, calls: [TestedCalls.Call]) {
        let source = """
            int g(void *);
            void h(void *, int);
            __asm__(".text\\n.globl f\\n.type f,@function\\nf:\\n.cfi_startproc\\n\(body)\\n.cfi_endproc\\n.size f,.-f");
            int f(void *);
            int (*used)(void *) = f;
            """
        let path = try Machine.compile(source, ["-shared", "-fPIC"])
        let code = CodeReader(try ELFFile(path: path))
        return (code, TestedCalls(code).of("g"))
    }

    private static let failing = "7:\\ncall h@PLT\\npop %rbx\\nret"

    @Test("A call with its object, its test and what only failures come to") func found() throws {
        let (code, calls) = try Self.calls(
            "push %rbx\\nmov %rdi,%rbx\\nmov %rbx,%rdi\\ncall g@PLT\\nmov %eax,%ebp\\ntest %eax,%eax\\njne 7f\\npop %rbx\\nret\\n"
                + Self.failing)
        let call = try #require(calls.first)
        #expect(calls.count == 1 && call.object == .rbx)
        let failure = try #require(call.failure)
        #expect(failure.isOnlyFailure && failure.result == .rbp && failure.object == .rbx)
        #expect(code.instruction(at: failure.address)?.kind == TLSWATCH_OP_CALL)
    }

    @Test(
        "Without an object, without a test of the result, or where others come by: no failure of its own",
        arguments: [
            // The object is in a register that the call may change.
            ("mov %rsi,%rdi\\ncall g@PLT\\ntest %eax,%eax\\njne 7f\\nret\\n" + failing, 0),
            // Another register is tested.
            ("push %rbx\\nmov %rbx,%rdi\\ncall g@PLT\\ntest %ecx,%ecx\\njne 7f\\npop %rbx\\nret\\n" + failing, 0),
            // The result is overwritten before its test.
            (
                "push %rbx\\nmov %rbx,%rdi\\ncall g@PLT\\nmov $1,%eax\\ntest %eax,%eax\\njne 7f\\npop %rbx\\nret\\n"
                    + failing, 0
            ),
            // Success goes the same way.
            ("push %rbx\\nmov %rbx,%rdi\\ncall g@PLT\\ntest %eax,%eax\\njne 7f\\n" + failing, 1),
            // So does a jump from elsewhere.
            ("push %rbx\\nmov %rbx,%rdi\\ncall g@PLT\\ntest %eax,%eax\\njne 7f\\njmp 7f\\n" + failing, 1),
            // The object is gone by then.
            (
                "push %rbx\\nmov %rbx,%rdi\\ncall g@PLT\\ntest %eax,%eax\\njne 7f\\npop %rbx\\nret\\n7:\\npop %rbx\\ncall h@PLT\\nret",
                1
            ),
        ])
    func notAlone(_ body: String, _ count: Int) throws {
        let (_, calls) = try Self.calls(body)
        #expect(calls.count == count)
        // The jump itself stands for it, whose result tells.
        for call in calls { #expect(call.failure?.isOnlyFailure == false && call.failure?.address == call.jump) }
    }
}
