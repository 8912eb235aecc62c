import CEvents
import Code
import TestSupport
import Testing

@testable import HandshakeProbe

/// Which instructions are taken for a handshake's sites in code of the shape that Go's compiler gives it, and which are not.
@Suite("Sites in Go's code") struct GoSiteTests {
    private typealias Handshake = GoHandshakeCode
    private typealias Program = GoProgramCode

    private static let start = Program.address(0)

    @Test("The jump before the call and the one behind it, with the connection, its error and its context")
    func found() throws {
        let program = Program()
        let analysis = try program.analysis()
        let call = try #require(analysis.sites.first { $0.hook == .call })
        #expect(call.address == Self.start + 2)
        #expect(call.object == .memory(.rsp, offset: 0x20))
        let exit = try #require(analysis.sites.first { $0.hook == .callExit })
        #expect(exit.address == Self.start + UInt64(program.handshake.exitAt))
        #expect(exit.object == ObjectPlace(register: 1))
        #expect(exit.argument == .result && exit.argument2 == .rbx)
        #expect(exit.argument3 == .memory(.rsp, offset: 0x18))
        #expect(analysis.sites.count == 2)
    }

    @Test("A register that is used for something else is not where the connection is, nor a context that is made there")
    func otherRegisters() throws {
        var program = Program()
        // mov rcx, [rsi], once the error is stored; mov rbx, [rdi+8]
        program.handshake.store += [0x48, 0x8b, 0x0e]
        program.handshake.context = [0x48, 0x8b, 0x5f, 0x08]
        let exit = try #require(try program.analysis().sites.first { $0.hook == .callExit })
        #expect(exit.object == .memory(.rsp, offset: 0x20))
        #expect(exit.argument3 == nil)
    }

    @Test("The last jump before the call may be around a part of what comes before it") func entryAround() throws {
        var program = Program()
        // To behind the first load.
        program.handshake.lead = [0x85, 0xc0, 0x75, 0x05]
        #expect(try program.places(.call) == [Self.start + 2])
    }

    @Test(
        "Code of another shape is refused",
        arguments: [
            ("another field is called", "0 calls") as (String, String), ("two calls", "2 calls"),
            ("the function is loaded far before", "0 calls"), ("half of the function is loaded", "0 calls"),
            ("a jump leads behind the call", "behind"), ("a jump leads to the exit", "behind"),
            ("nothing is stored", "behind"), ("the error is stored elsewhere", "behind"),
            ("something else is stored", "behind"), ("half of the error is stored", "behind"),
            ("a call comes before the jump", "behind"), ("it returns before the jump", "behind"),
            ("the error is overwritten", "behind"),
            ("its second half is overwritten", "behind"), ("it is stored in something else", "behind"),
            ("the jump is far behind", "behind"), ("no jump stands before", "before"),
            ("the jump is far before", "before"), ("a jump leads past the one before", "before"),
            ("the jump before has a prefix", "emulates"), ("the jump behind has a prefix", "emulates"),
        ])
    func refused(_ why: String, _ says: String) throws {
        var code = Handshake()
        let nop: [UInt8] = [0x90]
        /// `jmp` back from the end to a place in it.
        func back(_ place: Int) -> [UInt8] { [0xc3, 0xeb, UInt8(truncatingIfNeeded: place - code.bytes.count - 2)] }
        switch why {
        case "another field is called": code.load[8] = 0x20
        case "two calls": code.load += code.context + code.call + code.load
        case "the function is loaded far before": code.load += Array(repeating: 0x90, count: 11)
        case "half of the function is loaded": code.load[5] = 0x40
        case "a jump leads behind the call": code.tail = back(code.exitAt - code.test.count)
        case "a jump leads to the exit": code.tail = back(code.exitAt)
        case "nothing is stored": code.store = nop
        case "the error is stored elsewhere": code.store[3] = 0x30
        case "something else is stored": code.store[2] = 0x59
        case "half of the error is stored": code.store[0] = 0x40
        case "a call comes before the jump": code.test = [0xe8, 0, 0, 0, 0]
        case "it returns before the jump": code.test = [0xc3]
        // xor eax, eax; xor ebx, ebx
        case "the error is overwritten": code.test = [0x31, 0xc0]
        case "its second half is overwritten": code.test = [0x31, 0xdb]
        // mov rcx, [rsi]
        case "it is stored in something else": code.reload += [0x48, 0x8b, 0x0e]
        case "the jump is far behind": code.test += Array(repeating: 0x90, count: 10)
        case "no jump stands before": code.lead = nop
        case "the jump is far before": code.lead += Array(repeating: 0x90, count: 45)
        case "a jump leads past the one before": code.tail = back(code.loadAt)
        case "the jump before has a prefix": code.lead = [0x85, 0xc0, 0x2e, 0x75, 0x40]
        case "the jump behind has a prefix": code.exit = [0x2e, 0x75, 0x10]
        default: Issue.record("unknown")
        }
        let program = Program(handshake: code)
        let error = #expect(throws: AnalysisError.self) { try program.analysis() }
        #expect(error?.description.contains(says) == true, "\(String(describing: error))")
    }

    @Test(
        "A Conn without what a handshake is told by is not observed",
        arguments: ["conn", "isClient", "handshakeFn", "handshakeErr", "isHandshakeComplete"])
    func otherFields(_ missing: String) throws {
        var program = Program()
        program.connection.removeAll { $0.name == missing }
        let error = #expect(throws: AnalysisError.self) { try program.analysis() }
        #expect(error?.description.contains("fields") == true)
    }

    @Test("Without a version there is a note, and the rest") func withoutVersion() throws {
        var program = Program()
        program.connection.removeAll { $0.name == "vers" }
        let analysis = try program.analysis()
        #expect(analysis.observesSessions)
        #expect(analysis.notes.contains { $0.hasPrefix("no version") })
    }

    @Test("Of QUIC's forks every connection is QUIC's") func forksOfQUIC() throws {
        let fact = Fact(4, "QUIC")
        for package in ["github.com/quic-go/qtls-go1-20", "github.com/marten-seemann/qtls-go1-18"] {
            #expect(try Program(package: package).analysis().facts[fact]?.offsets == [0])
        }
        for package in [GoToolchain.tls, "github.com/refraction-networking/utls"] {
            #expect(try Program(package: package).analysis().facts[fact] == nil)
        }
        var later = Program()
        later.connection.insert(("quic", 0x20), at: 3)
        #expect(try later.analysis().facts[fact]?.offsets == [0x20])
    }

    // MARK: a client's connection of a type of its own

    private static func outer(_ handshake: Handshake, wrapper: Bool = true) -> Program {
        var program = Program()
        program.structures = [(GoToolchain.tls, "UConn", [("Conn", 8), ("last", 16)], 64)]
        program.functions = [
            ("(*UConn).handshakeContext", { _, _ in handshake.bytes }),
            ("(*UConn).clientHandshake", { _, _ in [0xc3] }),
            (
                "(*UConn).clientHandshake-fm",
                { program, at in wrapper ? program.call("(*UConn).clientHandshake", at: at) + [0xc3] : [0xc3] }
            ),
        ]
        return program
    }

    @Test("A client's own type of connection has sites of its own, at the connection inside it") func outer() throws {
        var handshake = Handshake()
        // mov rcx, [rsp+0x20]; mov rdx, [rcx+8]; mov [rdx+0x28], rax
        handshake.reload += [0x48, 0x8b, 0x51, 0x08]
        handshake.store = [0x48, 0x89, 0x42, 0x28]
        let program = Self.outer(handshake)
        let analysis = try program.analysis()
        let calls = analysis.sites.filter { $0.hook == .call }
        try #require(calls.count == 2)
        #expect(calls[1].address == program.address(of: "(*UConn).clientHandshake-fm"))
        #expect(calls[1].object == .memory(.result, offset: 8))
        let exits = analysis.sites.filter { $0.hook == .callExit }
        try #require(exits.count == 2)
        #expect(exits[1].address == program.address(of: "(*UConn).handshakeContext") + UInt64(handshake.exitAt))
        #expect(exits[1].object == ObjectPlace(register: 2))
        #expect(!analysis.notes.contains { $0.contains("UConn") })
    }

    @Test("Where its code is of another shape there is a note, and the other's sites alone") func otherOuter() throws {
        var inner = Handshake()
        inner.reload += [0x48, 0x8b, 0x51, 0x08]
        inner.store = [0x48, 0x89, 0x42, 0x28]
        var overwritten = inner
        // mov rdx, [rsi], before the error is stored and behind it.
        overwritten.reload += [0x48, 0x8b, 0x16]
        var lost = inner
        lost.store += [0x48, 0x8b, 0x16]
        // Its beginning is known, its end is not.
        var prefixed = inner
        prefixed.exit = [0x2e, 0x75, 0x10]
        for program in [
            // Stored in what the stack has.
            Self.outer(Handshake()), Self.outer(overwritten), Self.outer(lost), Self.outer(prefixed),
            Self.outer(inner, wrapper: false),
        ] {
            let analysis = try program.analysis()
            #expect(analysis.sites.count { $0.hook == .call } == 1)
            #expect(analysis.sites.count { $0.hook == .callExit } == 1)
            #expect(analysis.notes.contains { $0.hasPrefix("handshakes of its UConn are not observed") })
        }
    }

    // MARK: several packages

    @Test("Each package with a handshake is observed, and of one that is not it is said why") func packages() throws {
        let fork = "example.org/tls"
        var synthetic = SyntheticGo()
        synthetic.functionSize = 256
        synthetic.functions = [fork, GoToolchain.tls, "example.com/none"].map { $0 + Go.method }
        for name in synthetic.functions { synthetic.code[name] = Handshake().bytes }
        synthetic.structures = [(fork, "Conn", Program.fields, 128), (GoToolchain.tls, "Conn", Program.fields, 128)]
        let analysis = try Go.analyse(ELFFile(bytes: synthetic.bytes()))
        // Go's own first.
        #expect(analysis.sites.first?.address == Program.address(1) + 2)
        #expect(analysis.forks.count == 1)
        #expect(analysis.forks.first?.sites.first?.address == Program.address(0) + 2)
        #expect(analysis.notes.contains { $0.hasPrefix("handshakes of example.com/none are not observed") })
        #expect(analysis.notes.contains { $0.hasPrefix("\(fork): ") })
        // The fork alone.
        synthetic.structures.removeLast()
        let alone = try Go.analyse(ELFFile(bytes: synthetic.bytes()))
        #expect(alone.sites.first?.address == Program.address(0) + 2)
        #expect(alone.notes.contains { $0.hasPrefix("handshakes of crypto/tls are not observed") })
    }
}
