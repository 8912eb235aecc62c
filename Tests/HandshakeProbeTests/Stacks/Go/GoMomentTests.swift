import CEvents
import Code
import TestSupport
import Testing

@testable import HandshakeProbe

/// Where the moments inside a handshake are, in code of the shape that Go's compiler gives it.
@Suite("Moments in Go's code") struct GoMomentTests {
    private typealias Program = GoProgramCode

    private static let step = "(*clientHandshakeStateTLS13).establishHandshakeKeys"
    /// test rax, rax; jne
    private static let look: [UInt8] = [0x48, 0x85, 0xc0, 0x75, 0x10, 0xc3]

    /// A program in which `code` stands behind a call of the step.
    private static func stepping(_ code: [UInt8], times: Int = 1) -> Program {
        var program = Program(connection: Program.fields + Program.later)
        program.functions = [
            (step, { _, _ in [0xc3] }),
            (
                "f",
                { program, at in
                    (0..<times).reduce(into: []) { body, _ in
                        body += program.call(step, at: at + UInt64(body.count)) + code
                    }
                }
            ),
        ]
        return program
    }

    @Test("A step's moment is the jump behind its call, with what it has returned") func stepFound() throws {
        let program = Self.stepping(Self.look)
        let site = try #require(try program.analysis().sites.first { $0.hook == .keyChange })
        #expect(site.address == program.address(of: "f") + 8)
        #expect(site.argument == .result && site.object == nil)
        #expect(try !program.analysis().notes.contains { $0.hasPrefix("no moment") })
        // Of many, three.
        #expect(try Self.stepping(Self.look, times: 6).places(.keyChange).count == 3)
    }

    @Test(
        "A step whose result cannot be known at a jump has no moment, and a note",
        arguments: [
            // xor eax, eax before the jump; a call; a return; nothing but more code
            [0x31, 0xc0, 0x75, 0x10, 0xc3], [0xe8, 0, 0, 0, 0, 0x75, 0x10, 0xc3], [0xc3, 0x75, 0x10],
            Array(repeating: 0x90, count: 14) + [0x75, 0x10, 0xc3],
        ] as [[UInt8]])
    func stepRefused(_ code: [UInt8]) throws {
        let analysis = try Self.stepping(code).analysis()
        #expect(!analysis.sites.contains { $0.hook == .keyChange })
        #expect(analysis.notes.contains { $0.hasPrefix("no moment of \(Self.step)") })
    }

    @Test("A call's bytes inside another instruction are no call") func bytesOfACall() throws {
        var program = Program(connection: Program.fields + Program.later)
        program.functions = [
            (Self.step, { _, _ in [0xc3] }),
            // movabs rdx, …
            (
                "f",
                { program, at in [0x48, 0xba] + program.call(Self.step, at: at + 2) + [0, 0, 0] + Self.look }
            ),
        ]
        let analysis = try program.analysis()
        #expect(!analysis.sites.contains { $0.hook == .keyChange })
        #expect(analysis.notes.contains { $0.hasPrefix("no moment of \(Self.step)") })
    }

    private static let share = "(*ecdheKeyAgreement).processClientKeyExchange"
    /// cmp rsp, [r14+0x10]; jbe
    private static let check: [UInt8] = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x40]

    private static func using(_ code: [UInt8]) -> Program {
        var program = Program(connection: Program.fields + Program.later)
        program.functions = [(share, { _, _ in code })]
        return program
    }

    @Test("Where a share is used: behind the check of the stack, which may come twice") func shareFound() throws {
        // push rbp; mov, push; a jump; lea r12, [rsp-8], cmp r12, [r14+0x10] for a large frame
        let large: [UInt8] = [0x4c, 0x8d, 0x64, 0x24, 0xf8, 0x4d, 0x3b, 0x66, 0x10, 0x76, 0x40]
        for (code, offset) in [
            (Self.check + [0x55, 0xc3], 6), (Self.check + [0x48, 0x89, 0xc1, 0x55, 0xc3], 9),
            (Self.check + [0x48, 0x85, 0xc0, 0x74, 0x05, 0xc3], 9), (large + [0x55, 0xc3], 11),
        ] {
            let program = Self.using(code)
            #expect(try program.places(.masterSecret) == [program.address(of: Self.share) + UInt64(offset)])
        }
    }

    @Test(
        "A beginning of another shape has no moment, and a note",
        arguments: [
            // No check; one of something else; one without its jump; a return; a loop to what would be probed; only plain code
            [0x55, 0xc3], [0x48, 0x3b, 0x66, 0x10, 0x76, 0x40, 0x55, 0xc3], [0x49, 0x3b, 0x66, 0x10, 0x90, 0x55, 0xc3],
            check + [0xc3, 0x55], check + [0x55, 0xeb, 0xfd], check + [0xeb, 0x00, 0x55, 0xc3],
            check + (0..<30).flatMap { _ in [0x48, 0x89, 0xc1] as [UInt8] } + [0x55],
        ] as [[UInt8]])
    func shareRefused(_ code: [UInt8]) throws {
        let analysis = try Self.using(code).analysis()
        #expect(!analysis.sites.contains { $0.hook == .masterSecret })
        #expect(analysis.notes.contains { $0.hasPrefix("no moment of \(Self.share)") })
    }

    // MARK: groups, where the connection does not keep them

    private static let maker = "generateECDHEKey"
    private static let retry = "(*clientHandshakeStateTLS13).processHelloRetryRequest"

    private static func making(shares: Int, behindRetry: [UInt8] = look, hidden: Bool = false) -> Program {
        var program = Program()
        program.functions = [
            (maker, { _, _ in [0xc3] }), (retry, { _, _ in [0xc3] }),
            (
                "f",
                { program, at in
                    var body: [UInt8] = []
                    for _ in 0..<shares { body += program.call(maker, at: at + UInt64(body.count)) }
                    if hidden {
                        body += [0x48, 0xba] + program.call(maker, at: at + UInt64(body.count) + 2) + [0, 0, 0]
                    }
                    return body + program.call(retry, at: at + UInt64(body.count)) + behindRetry
                }
            ),
        ]
        return program
    }

    @Test("Each share that is made tells its group, and a second round that there was one") func groups() throws {
        let program = Self.making(shares: 2)
        let start = program.address(of: "f")
        #expect(try program.places(.group) == [start, start + 5])
        #expect(try program.places(.helloRetry) == [start + 18])
        // A Conn that keeps both needs none of it.
        var later = program
        later.connection += Program.later
        #expect(try later.places(.group).isEmpty)
        #expect(try later.places(.helloRetry).isEmpty)
    }

    @Test("Where not each of them is known, none is, and there is a note") func noGroups() throws {
        for program in [
            Self.making(shares: 0), Self.making(shares: 11), Self.making(shares: 2, behindRetry: [0xc3]),
            Self.making(shares: 2, hidden: true),
        ] {
            let analysis = try program.analysis()
            #expect(!analysis.sites.contains { $0.hook == .group || $0.hook == .helloRetry })
            #expect(analysis.notes.contains { $0.hasPrefix("no group") })
            #expect(analysis.observesSessions)
        }
    }
}
