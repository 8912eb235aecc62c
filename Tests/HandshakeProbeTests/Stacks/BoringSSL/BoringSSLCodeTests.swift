import Code
import TestSupport
import Testing

@testable import HandshakeProbe

/// What is taken for BoringSSL's calls and tables in code and data made by hand, and what is not.
@Suite("BoringSSL's shapes") struct BoringSSLCodeTests {
    private static let start = CodeImage.codeAddress

    /// `call` at a place in the code, to another one.
    private static func call(at place: Int, to target: Int) -> [UInt8] {
        let distance = UInt32(truncatingIfNeeded: target - place - 5)
        return [0xe8] + (0..<4).map { UInt8(truncatingIfNeeded: distance >> (8 * $0)) }
    }

    // MARK: SSL_do_handshake

    /// Behind a `ret`, which is the state machine, functions of 128 bytes.
    private struct Handshake {
        /// push rbx; sub rsp, 16; mov rbx, rdi
        var begin: [UInt8] = [0x53, 0x48, 0x83, 0xec, 0x10, 0x48, 0x89, 0xfb]
        /// mov rax, [rdi+0x30]; mov rdi, [rax+0x118]
        var load: [UInt8] = [0x48, 0x8b, 0x47, 0x30, 0x48, 0x8b, 0xb8, 0x18, 1, 0, 0]
        /// lea rsi, [rsp+8]
        var flag: [UInt8] = [0x48, 0x8d, 0x74, 0x24, 8]
        /// cmp qword [rbx+0x40], 0
        var behind: [UInt8] = [0x48, 0x83, 0x7b, 0x40, 0]
        /// je; add rsp, 16; pop rbx; ret
        var end: [UInt8] = [0x74, 0x02, 0x90, 0x90, 0x48, 0x83, 0xc4, 0x10, 0x5b, 0xc3]
        /// The call, where it is not a direct one.
        var other: [UInt8]?

        var callAt: Int { begin.count + load.count + flag.count }

        func bytes(at place: Int) -> [UInt8] {
            begin + load + flag + (other ?? BoringSSLCodeTests.call(at: place + callAt, to: 0)) + behind + end
        }
    }

    private static let size = 128

    private static func calls(_ functions: [Handshake], more: [UInt8] = []) throws -> HandshakeCalls {
        var code: [UInt8] = [0xc3] + Array(repeating: 0x90, count: size - 1)
        for function in functions {
            let body = function.bytes(at: code.count)
            code += body + Array(repeating: 0x90, count: size - body.count)
        }
        // What calls them, which is how their beginnings are known.
        for index in functions.indices { code += call(at: code.count, to: size * (index + 1)) }
        let reader = try CodeImage.reader(code + more)
        return try HandshakeCalls(
            reader, CodeMarks(reader.file, errors: [HandshakeCalls.notSet]), named: start + UInt64(size))
    }

    @Test("The call of the state machine, the jump behind it, the connection and the result") func handshake() throws {
        let plain = Handshake()
        let found = try Self.calls([plain])
        let copy = try #require(found.copies.first)
        let function = Self.start + UInt64(Self.size)
        #expect(copy.function == function && copy.call == function + UInt64(plain.callAt))
        #expect(copy.exit == copy.call + 10)
        #expect(copy.object == .rbx && copy.result == .result)
        #expect(found.stateMachine == Self.start && found.state == 0x30 && found.handshake == 0x118)
        #expect(found.copies.count == 1 && found.unread == 0)
        // mov ebp, eax; xor eax, eax: it is kept elsewhere.
        var kept = plain
        kept.behind = [0x89, 0xc5, 0x31, 0xc0]
        #expect(try Self.calls([kept]).copies.first?.result == .rbp)
    }

    @Test(
        "Code of another shape is none",
        arguments: [
            "the result is overwritten", "a call comes before the jump", "it returns before the jump",
            "the jump is far",
            "the flag is not on the stack", "the handshake is not the connection's", "the connection is not kept",
            "the call is indirect", "the call has a prefix", "there are two calls",
        ])
    func refused(_ why: String) throws {
        var code = Handshake()
        switch why {
        // xor eax, eax
        case "the result is overwritten": code.behind = [0x31, 0xc0]
        case "a call comes before the jump": code.behind = [0xe8, 0, 0, 0, 0]
        case "it returns before the jump": code.behind = [0xc3]
        case "the jump is far": code.behind = Array(repeating: 0x90, count: 20)
        // lea rsi, [rbx+8]
        case "the flag is not on the stack": code.flag = [0x48, 0x8d, 0x73, 8]
        // mov rdi, [rdi+0x118]
        case "the handshake is not the connection's": code.load = [0x48, 0x8b, 0xbf, 0x18, 1, 0, 0]
        // mov rbx, [rsp]
        case "the connection is not kept": code.behind = [0x48, 0x8b, 0x1c, 0x24]
        // call rax
        case "the call is indirect": code.other = [0xff, 0xd0]
        case "the call has a prefix": code.other = [0x2e] + Self.call(at: Self.size + code.callAt + 1, to: 0)
        case "there are two calls":
            let second = Handshake()
            // je; mov rdi, rbx, and the same again.
            code.behind += [0x74, 0x02, 0x90, 0x90, 0x48, 0x89, 0xdf] + second.load + second.flag
            let place = Self.size + code.callAt + 5 + code.behind.count
            code.behind += Self.call(at: place, to: 0) + second.behind
        default: Issue.record("unknown")
        }
        let error = #expect(throws: AnalysisError.self) { try Self.calls([code]) }
        #expect(error?.description.contains("no SSL_do_handshake of a known shape") == true)
    }

    @Test("Whoever else calls the state machine is a copy, or is told as not read") func copies() throws {
        let plain = Handshake()
        let two = try Self.calls([plain, plain])
        #expect(two.copies.map(\.function) == [1, 2].map { Self.start + UInt64(Self.size * $0) })
        #expect(two.unread == 0)
        // Of another connection: mov rax, [rdi+0x38]
        var other = plain
        other.load[3] = 0x38
        var broken = plain
        broken.behind = [0xc3]
        for third in [other, broken] {
            let found = try Self.calls([plain, third])
            #expect(found.copies.count == 1 && found.unread == 1)
        }
        // A call's bytes inside another instruction: movabs rax, …
        var hidden = plain
        let place = Self.size + plain.bytes(at: 0).count + 2
        hidden.end += [0x48, 0xb8] + Self.call(at: place, to: 0) + [0, 0, 0]
        let found = try Self.calls([hidden])
        #expect(found.copies.count == 1 && found.unread == 1)
    }

    @Test("Copies that are known by their events and do not agree are believed in nothing") func disagreement() throws {
        var other = Handshake()
        other.load[3] = 0x38
        // add esi, SSL_CB_CONNECT_EXIT
        other.end += [0x81, 0xc6, 2, 0x10, 0, 0]
        let error = #expect(throws: AnalysisError.self) { try Self.calls([Handshake(), other]) }
        #expect(error?.description.contains("do not agree") == true)
        other.load[3] = 0x30
        #expect(try Self.calls([Handshake(), other]).copies.count == 2)
        // Or by the error that they report: mov edx, SSL_R_CONNECTION_TYPE_NOT_SET; of libssl: mov edi, 16.
        var reporting = Handshake()
        reporting.load[3] = 0x38
        reporting.end += [0xba, 134, 0, 0, 0]
        #expect(try Self.calls([Handshake(), reporting]).unread == 1)
        reporting.end += [0xbf, 16, 0, 0, 0]
        #expect(throws: AnalysisError.self) { try Self.calls([Handshake(), reporting]) }
    }

    // MARK: key agreement

    private struct Agreement {
        /// push rbx; test rax, rax; je
        var lead: [UInt8] = [0x53, 0x48, 0x85, 0xc0, 0x74, 0x40]
        /// mov rsi, rbx; lea rdx, [rsp]; lea rcx, [rsp+8]; mov r8, rax
        var parameters: [UInt8] = [
            0x48, 0x89, 0xde, 0x48, 0x8d, 0x14, 0x24, 0x48, 0x8d, 0x4c, 0x24, 8, 0x49, 0x89, 0xc0,
        ]
        /// call [rax+0x28]
        var call: [UInt8] = [0xff, 0x50, 0x28]
        /// test al, al; je; ret
        var end: [UInt8] = [0x84, 0xc0, 0x74, 0x20, 0xc3]

        var bytes: [UInt8] { lead + parameters + call + end }
        var beginAt: Int { lead.count - 2 }
        var exitAt: Int { bytes.count - 3 }
    }

    private static func sites(_ agreement: Agreement, near: [UInt64]? = nil) throws -> [AgreementCalls.Site] {
        // Something calls it.
        let code = call(at: 0, to: 16) + Array(repeating: 0xc3, count: 11) + agreement.bytes
        let reader = try CodeImage.reader(code)
        return AgreementCalls(code: reader, marks: CodeMarks(reader.file, errors: [])).sites(near: near ?? [start])
    }

    /// mov r9, rax
    private static let sixth: [UInt8] = [0x49, 0x89, 0xc1]

    @Test("A call of one of the two functions, between two jumps") func agreements() throws {
        let decapsulation = Agreement()
        func site(_ agreement: Agreement) -> [AgreementCalls.Site] {
            let function = Self.start + 16
            return [
                AgreementCalls.Site(
                    begin: function + UInt64(agreement.beginAt), exit: function + UInt64(agreement.exitAt))
            ]
        }
        #expect(try Self.sites(decapsulation) == site(decapsulation))
        var encapsulation = decapsulation
        encapsulation.call[2] = 0x20
        encapsulation.parameters += Self.sixth
        #expect(try Self.sites(encapsulation) == site(encapsulation))
    }

    @Test(
        "Other calls are none",
        arguments: [
            "another function", "a parameter too many", "a parameter too few", "one is set before another call",
            "no jump before", "a call before the jump behind", "a jump leads in between", "libssl is elsewhere",
            "functions of libssl are all over",
        ])
    func notAgreement(_ why: String) throws {
        var code = Agreement()
        var near: [UInt64]?
        switch why {
        case "another function": code.call[2] = 0x30
        case "a parameter too many": code.parameters += Self.sixth
        case "a parameter too few": code.parameters.removeLast(3)
        // Behind the first parameter's, before the others'.
        case "one is set before another call":
            code.parameters = Array(code.parameters.prefix(3)) + [0xff, 0x53, 8] + code.parameters.dropFirst(3)
        case "no jump before": code.lead = [0x53]
        case "a call before the jump behind": code.end = [0xff, 0x53, 8] + code.end
        // jmp to the parameters, from behind
        case "a jump leads in between":
            let distance = code.lead.count - code.bytes.count - 2
            code.end += [0xeb, UInt8(truncatingIfNeeded: distance)]
        case "libssl is elsewhere": near = [Self.start + (1 << 20)]
        case "functions of libssl are all over": near = [Self.start, Self.start + (8 << 20)]
        default: Issue.record("unknown")
        }
        #expect(try Self.sites(code, near: near).isEmpty)
    }

    // MARK: tables

    private static let data: UInt64 = 0x80_0000
    private static let code: UInt64 = 0x40_0000

    private static func words(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
    }

    private static func file(_ data: [UInt64], codeSize: Int = 1 << 12) throws -> ELFFile {
        try ELFFile(
            bytes: CodeImage.bytes(
                type: 2, (code, flags: 5, Array(repeating: 0x90, count: codeSize)),
                (Self.data, flags: 6, words(data))))
    }

    /// A protocol's table, and the one that names it with callbacks for certificates.
    private static func methods(flag: UInt64 = 0, version: UInt64 = 0, functions: Int = 20, at place: Int) -> [UInt64] {
        let address = data + UInt64(8 * place)
        let callbacks = address + UInt64(8 * (functions + 4))
        return [flag] + (0..<UInt64(functions)).map { code + 16 * $0 } + [version, address, callbacks, code]
    }

    private static func tables(_ data: [UInt64], confirmed: (UInt64) -> Bool = { _ in true }) throws -> [MethodTable] {
        MethodTable.find(try file(data), near: Self.data, confirmed: confirmed)
    }

    @Test("TLS's functions, and DTLS's where there is no doubt") func methodTables() throws {
        let stream = Self.methods(at: 0)
        let found = try Self.tables(stream)
        #expect(found.map(\.address) == [Self.data] && !found[0].isDatagram)
        // In the order of the functions: 0x10 frees, 0x10 and 0x18 behind the flush install keys.
        #expect(found[0].free == Self.code + 16)
        #expect(found[0].setReadState(flush: 0x78) == Self.code + 16 * 16)
        #expect(found[0].setWriteState(flush: 0x78) == Self.code + 16 * 17)
        let both = stream + Self.methods(flag: 1, at: stream.count)
        #expect(try Self.tables(both).map(\.isDatagram) == [false, true])
        let three = both + Self.methods(flag: 1, at: both.count)
        #expect(try Self.tables(three).map(\.isDatagram) == [false])
        // The function that sends alerts is the tenth.
        #expect(try Self.tables(stream) { $0 == Self.code + 16 * 9 }.count == 1)
    }

    @Test("Tables of another shape, and two of TLS, are none") func noMethodTables() throws {
        let stream = Self.methods(at: 0)
        #expect(try Self.tables(stream + Self.methods(at: stream.count)).isEmpty)
        #expect(try Self.tables(Self.methods(flag: 1, at: 0)).isEmpty)
        #expect(try Self.tables(Self.methods(flag: 2, at: 0)).isEmpty)
        #expect(try Self.tables(Self.methods(version: 0x0300, at: 0)).isEmpty)
        #expect(try Self.tables(Self.methods(functions: 15, at: 0)).isEmpty)
        #expect(try Self.tables(stream) { _ in false }.isEmpty)
        var data = stream
        data[3] = Self.data
        #expect(try Self.tables(data).isEmpty, "a pointer to data among the functions")
        data = stream
        data[data.count - 2] = Self.code
        #expect(try Self.tables(data).isEmpty, "callbacks that stand elsewhere")
        data = stream
        data[data.count - 1] = Self.data
        #expect(try Self.tables(data).isEmpty, "callbacks that are none")
    }

    private static let extensions: [UInt64] = [
        0, 65037, 23, 0xff01, 10, 11, 35, 16, 5, 13, 13172, 18, 30032, 14, 51, 45, 42, 43,
    ]
    private static let large = 1 << 17

    private static func rows(_ numbers: [UInt64], before: [UInt64] = [], codeSize: Int = large) throws
        -> ExtensionRows?
    {
        let table = numbers.flatMap { [$0, code, code + 16, code + 32, code + 48] }
        return ExtensionRows.find(try file(before + table, codeSize: codeSize))
    }

    @Test("The table of extensions, from the server name's row to the last") func extensionRows() throws {
        let found = try #require(try Self.rows(Self.extensions))
        #expect(found.address == Self.data && found.rows.count == Self.extensions.count)
        #expect(found.rows[16] == Self.data + 40 * 7)
        // Another table right before it, and one behind it, with rows of the same shape.
        let row: [UInt64] = [7, Self.code, Self.code, Self.code, Self.code]
        #expect(try Self.rows(Self.extensions, before: row)?.address == Self.data + 40)
        #expect(try Self.rows(Self.extensions + [0, 1, 2])?.rows.count == Self.extensions.count)
        let file = try Self.file(
            Self.extensions.flatMap { [$0, Self.code, Self.code + 16, Self.code + 32, Self.code + 48] })
        #expect(found.function(file, 16, .addServerHello) == Self.code + 48)
        #expect(found.functions(file).count == 4 * Self.extensions.count)
    }

    @Test("Tables that lack a row, are short, or are in a small file, are none") func noExtensionRows() throws {
        // Those that every release has, but for next protocol negotiation, by which it is found.
        for number in [5, 10, 13, 16, 23, 35, 43, 51, 0xff01] as [UInt64] {
            #expect(try Self.rows(Self.extensions.filter { $0 != number }) == nil, "\(number)")
        }
        #expect(try Self.rows(Array(Self.extensions.dropFirst())) == nil)
        #expect(try Self.rows([0, 23, 0xff01, 10, 35, 16, 5, 13, 13172, 51, 43]) == nil)
        #expect(try Self.rows(Self.extensions, codeSize: Self.large - 1) == nil)
        // A number of more than two bytes is none.
        #expect(try Self.rows(Self.extensions.map { $0 == 10 ? 0x1_000a : $0 }) == nil)
    }

    // MARK: transports

    /// mov edi, [rdi+offset]; call; ret
    private static func reader(_ offset: UInt8) -> [UInt8] { [0x8b, 0x7f, offset, 0xe8, 0, 0, 0, 0, 0xc3] }

    private static func transport(
        number: UInt64 = 0x505, name: String = "socket", functions: [UInt64]? = nil, offsets: [UInt8] = [0x18, 0x18]
    ) throws -> TransportLayout? {
        let body = offsets.flatMap { reader($0) + Array(repeating: 0xc3, count: 7) }
        let table: [UInt64] = [number, data + 64] + (functions ?? [code, code + 16])
        let kinds = words(table + Array(repeating: 0, count: 8 - table.count)) + Array(name.utf8) + [0]
        let file = try ELFFile(bytes: CodeImage.bytes(type: 2, (code, flags: 5, body), (data, flags: 6, kinds)))
        return TransportKinds(CodeReader(file)).layout()
    }

    @Test("A socket's descriptor is what its functions hand to the system, both of them") func descriptors() throws {
        let found = try #require(try Self.transport())
        #expect(found.descriptor == 0x18 && found.hasDescriptor != 0 && found.own == ["socket"])
        // Another word stands before them, since 2024.
        let later = try Self.transport(functions: [0, Self.code, Self.code + 16])
        #expect(later?.descriptor == 0x18)
        let doubtful = try #require(try Self.transport(offsets: [0x18, 0x20]))
        #expect(doubtful.hasDescriptor == 0 && doubtful.own == ["socket"])
    }

    @Test("Tables of another name, number or shape are none") func otherKinds() throws {
        #expect(try Self.transport(name: "sockets") == nil)
        #expect(try Self.transport(name: "") == nil)
        #expect(try Self.transport(number: 0x506) == nil)
        #expect(try Self.transport(number: 0x401) == nil)
        #expect(try Self.transport(functions: [Self.code]) == nil)
        #expect(try Self.transport(functions: [Self.data, Self.data]) == nil)
    }
}
