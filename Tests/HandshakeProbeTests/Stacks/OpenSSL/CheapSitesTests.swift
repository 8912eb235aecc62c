import CCapstone
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// Sites that a handshake passes as seldom as can be, on small functions of the shape of OpenSSL's.
@Suite("Sites that are hit once a handshake", .enabled(if: Machine.has(Machine.compiler)))
struct CheapSitesTests {
    private static func file(_ source: String) throws -> (code: CodeReader, symbols: [String: UInt64]) {
        let path = try Machine.compile(source, ["-shared", "-fPIC", "-nostdlib", "-O1", "-fno-stack-protector"])
        return (CodeReader(try ELFFile(path: path)), try Tool.symbols([path]))
    }

    private static func assembled(_ name: String, _ body: String) -> String {
        let text =
            ".text\n.globl \(name)\n.type \(name), @function\n\(name): .cfi_startproc\n\(body)\n.cfi_endproc\n"
            + ".size \(name), . - \(name)\nwork: ret\n"
        return "__asm__(" + text.split(separator: "\n").map { "\"\($0)\\n\"" }.joined(separator: "\n") + ");"
    }

    // MARK: the first keys

    /// change_cipher_state: handshake keys in one of two directions have a block of their own, in which `extra` stands.
    private static func change(before: String = "", extra: String = "", end: String = "") -> String {
        assembled(
            "change",
            """
            push %rbx; mov %rdi, %rbx; mov %esi, %r12d
            \(before)
            test $0x80, %r12b; je 2f
            mov %r12d, %eax; and $0x21, %eax; cmp $0x21, %eax; je 2f
            mov %r12d, %eax; and $0x12, %eax; cmp $0x12, %eax; je 2f
            1: call work
            \(extra)
            test %eax, %eax
            .globl first_keys
            first_keys: je 3f
            2: call work
            test %eax, %eax; je 3f
            \(end)
            mov $1, %eax; jmp 4f
            3: xor %eax, %eax
            4: pop %rbx; ret
            """)
    }

    private func site(_ source: String) throws -> (found: InnerSites.Site?, expected: UInt64) {
        let (code, symbols) = try Self.file(source)
        let function = try #require(symbols["change"])
        return (
            KeyChangeSites(code: code).firstKeys(in: function, .tls13), try #require(symbols["first_keys"])
        )
    }

    @Test("The jump in the block of the first handshake keys, where the object is in a register that calls leave alone")
    func theJumpOfTheFirstKeys() throws {
        let (found, expected) = try site(Self.change())
        #expect(found == InnerSites.Site(address: expected, object: ObjectPlace(.rbx)))
    }

    @Test("The stack protector's call, behind which another branch's code stands, is no way")
    func theStackProtectorIsNoWay() throws {
        let guarded = Self.change(before: "sub %fs:0x28, %rax; jne 5f; jmp 6f; 5: call work; jmp 2f; 6: nop")
        let (found, expected) = try site(guarded)
        #expect(found?.address == expected)
    }

    @Test(
        "Refused where the keys are installed past it, where it is come to twice, and where the object is lost",
        arguments: [
            ("a way around", change(before: "test %ecx, %ecx; jne 2f")),
            ("a loop", change(end: "test %ecx, %ecx; jne 1b")),
            ("the object is overwritten", change(before: "mov %rcx, %rbx")),
            ("every change comes to it", change(before: "jmp 1f")),
        ])
    func refused(_ why: String, _ source: String) throws {
        #expect(try site(source).found == nil, "\(why)")
    }

    // MARK: the ALPN decision

    private static func alpn(second: Bool) -> String {
        """
        struct context { char before[0x140]; int (*choose)(void *, const unsigned char **, unsigned char *, void *); void *argument; };
        struct connection { char before[0x30]; struct context *context; int offered; unsigned char chosen; };
        void SSL_CTX_set_alpn_select_cb(struct context *c, void *choose, void *argument)
        { c->choose = choose; c->argument = argument; }
        void accepted(struct connection *s);
        void refused(struct connection *s);
        int handle(struct connection *s)
        {
            const unsigned char *chosen;
            if (s->context->choose && s->offered) {
                if (s->context->choose(s, &chosen, &s->chosen, s->context->argument) == 0)
                    accepted(s);
                else
                    refused(s);
            }
            return s->offered;
        }
        \(second ? "void again(struct connection *s) { if (s->context->choose(s, 0, 0, 0)) refused(s); accepted(s); }" : "")
        """
    }

    @Test("Behind the one call through the callback's field of the context")
    func theDecisionIsBehindTheCallback() throws {
        let (code, symbols) = try Self.file(Self.alpn(second: false))
        let (setter, handle) = (
            try #require(symbols["SSL_CTX_set_alpn_select_cb"]), try #require(symbols["handle"])
        )
        let found = try #require(ALPNDecision(code: code).site(setter: setter, named: nil))
        let extent = try #require(code.file.functionExtent(containing: handle))
        let body = code.instructions(in: extent, limit: 200)
        let call = try #require(body.firstIndex { $0.kind == TLSWATCH_OP_CALL })
        #expect(body[(call + 1)...].contains { $0.address == found.address })
        #expect(SiteChooser.isEmulated(try #require(code.instruction(at: found.address))))
        // A register that the callback leaves alone.
        #expect([3, 5, 12, 13, 14, 15].contains(try #require(found.object).register))
        #expect(ALPNDecision(code: code).site(setter: setter, named: handle) == found)
    }

    @Test("Two such calls, or none: the place is not known")
    func otherCalls() throws {
        let (code, symbols) = try Self.file(Self.alpn(second: true))
        let setter = try #require(symbols["SSL_CTX_set_alpn_select_cb"])
        #expect(ALPNDecision(code: code).site(setter: setter, named: nil) == nil)
        #expect(ALPNDecision(code: code).site(setter: setter, named: setter) == nil)
        #expect(ALPNDecision(code: code).site(setter: try #require(symbols["handle"]), named: nil) == nil)
    }

    // MARK: the failed agreement

    private static func derive(_ end: String) -> String {
        assembled(
            "ssl_derive",
            """
            push %rbx; mov %rdi, %rbx
            xor %esi, %esi; call work; test %eax, %eax; jle 9f
            mov %rbp, %rsi; call work; test %eax, %eax; jle 8f
            xor %eax, %eax; jmp 7f
            \(end)
            """)
    }

    private func failure(_ source: String) throws -> (found: InnerSites.Site?, expected: UInt64?) {
        let (code, symbols) = try Self.file(source)
        let function = try #require(symbols["ssl_derive"])
        let extent = try #require(code.file.functionExtent(containing: function))
        let calls = code.instructions(in: extent, limit: 100).filter { $0.kind == TLSWATCH_OP_CALL }.map(\.address)
        let agreement = try #require(InnerSites(code: code).agreement(Array(calls.prefix(2)), in: extent))
        return (agreement.failure, symbols["failed"])
    }

    @Test("The first cheap instruction to which only a failed agreement leads")
    func theFailureHasAPlace() throws {
        let (found, expected) = try failure(
            Self.derive(".globl failed\n9: nopw 0(%rax)\n7: pop %rbx; ret\n8: mov $80, %edx\nfailed: call work; jmp 7b")
        )
        #expect(found == InnerSites.Site(address: try #require(expected), object: ObjectPlace(.rbx)))
    }

    @Test("Where success comes by as well there is none")
    func successComesBy() throws {
        #expect(try failure(Self.derive("9: nopw 0(%rax)\n7:\n8: call work; pop %rbx; ret")).found == nil)
    }
}
