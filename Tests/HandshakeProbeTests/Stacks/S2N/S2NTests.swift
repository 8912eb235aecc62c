import CCapstone
import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// What is read out of s2n's code, held against the library itself.
@Suite("s2n's code") struct S2NTests {
    private static let folder: String = {
        let environment = ProcessInfo.processInfo.environment
        return environment["TLSWATCH_TEST_CACHE"] ?? (environment["HOME"] ?? "") + "/.cache/tlswatch-tests"
    }()
    /// It tells its error where a call returns; the older one does not.
    private static let newest = folder + "/python-awscrt/_awscrt.abi3.so"
    private static let older = folder + "/python-awscrt-0.23.0/_awscrt.abi3.so"
    /// Linked into a module that exports nothing of it; what is not called is not there.
    private static let linked =
        folder + "/python-s3torchconnector/s3torchconnectorclient/_mountpoint_s3_client.cpython-311-x86_64-linux-gnu.so"

    private func open(_ path: String) throws -> ELFFile {
        try #require(FileManager.default.fileExists(atPath: path), "\(path): run `make deps`")
        return try ELFFile(path: path)
    }

    private static let facts: Set<Fact> = [
        .state, .detail, .role, S2NFact.readClosed, S2NFact.version, S2NFact.cipher, S2NFact.group, S2NFact.hybridGroup,
        S2NFact.pskType, S2NFact.alert, S2NFact.alertLength, S2NFact.quic, S2NFact.quicOfConfiguration,
        S2NFact.hasProtocol, S2NFact.hasName, .alpn, .sni,
    ]

    @Test("A module of AWS's: every fact, and sites that are emulated, a call's two ends among them")
    func module() throws {
        let analysis = try S2N.analyse(open(Self.newest))
        #expect(analysis.notes.isEmpty, "\(analysis.notes)")
        #expect(Set(analysis.facts.keys) == Self.facts)
        #expect(analysis.plan.omitted.isEmpty)
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(analysis.sites.map(\.hook) == [.call, .callExit, .callExit, .objectFree, .objectFree])
        #expect(analysis.waitResults == nil && analysis.descriptor != nil)
    }

    @Test("An older one, which does not look at its error: the connection tells, and a note says so")
    func olderModule() throws {
        let analysis = try S2N.analyse(open(Self.older))
        #expect(analysis.notes.count == 1 && analysis.notes.allSatisfy { $0.contains("no reasons of failures") })
        #expect(Set(analysis.facts.keys) == Self.facts)
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(analysis.sites.map(\.hook) == [.call, .callExit, .objectFree, .objectFree])
        #expect(analysis.waitResults == [] && analysis.descriptor != nil)
    }

    @Test("The names that are exported are enough")
    func stripped() throws {
        for path in [Self.newest, Self.older] {
            let whole = try S2N.analyse(open(path))
            let stripped = try S2N.analyse(ELFFile(bytes: Machine.bytesWithoutSections(path)))
            #expect(stripped.facts == whole.facts && stripped.sites == whole.sites && stripped.notes == whole.notes)
        }
    }

    @Test("Errors have the names that the library gives them")
    func errorNames() throws {
        let names = try S2N.analyse(open(Self.newest)).reasons
        #expect(names.count > 200)
        let folder = URL(fileURLWithPath: Self.newest).deletingLastPathComponent().path
        let source = """
            import _awscrt, ctypes
            s2n = ctypes.CDLL(_awscrt.__file__)
            s2n.s2n_strerror_name.restype = ctypes.c_char_p
            for error in (kind << 26 | number for kind in (5, 6, 7) for number in range(160)):
                name = s2n.s2n_strerror_name(error).decode()
                if name.startswith("S2N_ERR_"):
                    print(error, name[8:].lower())
            """
        let said = try Tool.run(
            "/usr/bin/env", ["PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", "-c", source])
        let lines = names.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined()
        #expect(said == lines)
        #expect(try S2N.analyse(open(Self.older)).reasons.isEmpty, "no error has its number there")
    }

    @Test("Linked into a module without exports: known by its texts, and observed as far as its linker has left names")
    func linkedIn() throws {
        let file = try open(Self.linked)
        #expect(!file.exportsAny(of: ["s2n_negotiate"]))
        let isRecognised = S2N.recognises(file)
        #expect(isRecognised)
        let analysis = try S2N.analyse(file)
        #expect(analysis.sites.map(\.hook) == [.call, .callExit, .objectFree, .objectFree])
        let missing = Self.facts.subtracting(analysis.facts.keys)
        #expect(missing == [S2NFact.cipher, S2NFact.group, S2NFact.hybridGroup], "\(missing)")
        // And the sockets, and the reasons.
        #expect(analysis.notes.count == missing.count + 2, "\(analysis.notes)")
        let stripped = try ELFFile(bytes: Machine.bytesWithoutSections(Self.linked))
        let isStillRecognised = S2N.recognises(stripped)
        #expect(isStillRecognised)
        #expect(throws: AnalysisError("its symbol tables have no function s2n_negotiate")) {
            try S2N.analyse(stripped)
        }
    }

    @Test("Ends are passed with the connection and the result in the registers that the sites say")
    func exits() throws {
        for path in [Self.newest, Self.older, Self.linked] {
            let file = try open(path)
            let code = CodeReader(file)
            let function = try #require(file.symbol("s2n_negotiate"))
            let call = try NegotiateCall(code, function.address)
            let extent = try #require(file.functionExtent(containing: function.address))
            let body = code.instructions(in: extent, limit: 4_000)
            #expect(call.tellsError == (path == Self.newest) && call.exits.count == (call.tellsError ? 2 : 1))
            let made = try #require(body.first { $0.directTarget == call.implementation })
            #expect(call.begin > function.address && call.begin < made.address)
            #expect(call.exits.allSatisfy { $0.address > made.address && extent.contains($0.address) })
            // What is returned in the end is in the first one's register.
            let ret = try #require(body.first { $0.kind == TLSWATCH_OP_RET })
            let move = try #require(
                body.last {
                    $0.address < ret.address && $0.kind == TLSWATCH_OP_MOV && Int($0.first.reg) == Register.rax
                })
            #expect(move.second.reg == call.exits[0].result.register && call.exits[0].result.offset == 0)
            guard call.tellsError else { continue }
            let asked = try #require(code.instruction(at: call.exits[1].address))
            #expect(asked.kind == TLSWATCH_OP_CALL && SiteChooser.isEmulated(asked))
            #expect(call.exits[1].result == ValuePlace(register: 7, offset: S2NState.errorBase))
        }
    }

    /// Writes fields of a connection at the places given and asks the library's functions, or the other way round.
    @Test("Facts are where the library's own functions read and write them")
    func factsAgreeWithTheLibrary() throws {
        for path in [Self.newest, Self.older] {
            let analysis = try S2N.analyse(open(path))
            let facts: [Fact] = [
                .state, .detail, S2NFact.version, S2NFact.pskType, S2NFact.alert, S2NFact.alertLength, S2NFact.quic,
                S2NFact.quicOfConfiguration, .alpn, .sni, .role, S2NFact.readClosed,
            ]
            let places = try facts.map { fact in
                let found = try #require(analysis.facts[fact])
                return "\(found.offsets[0])" + (found.bits == 0 ? "" : ":\(found.bits)")
            }
            let descriptor = try #require(analysis.descriptor)
            let kept = ["\(descriptor.offset):0", "\(descriptor.flag):\(descriptor.bits)"]
            let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
            let said = try Tool.run(
                "/usr/bin/env",
                ["PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", "-c", Self.source] + places + kept)
            #expect(
                said == """
                    message SERVER_HELLO
                    resumed False True False True
                    version 33
                    alert 70
                    quic 0 1 0 1
                    alpn h2
                    name a.example
                    role 1 0
                    closed 0
                    descriptor 0 1 1 4242 0

                    """)
        }
    }

    private static let source = #"""
        import ctypes, os, sys
        os.environ["S2N_DONT_MLOCK"] = "1"
        import _awscrt
        s2n = ctypes.CDLL(_awscrt.__file__)
        p = ctypes.c_void_p
        for name in ("connection_new", "config_new_minimal", "connection_get_last_message_name",
                     "get_application_protocol"):
            getattr(s2n, "s2n_" + name).restype = p
        s2n.s2n_init()
        (state, detail, version, psk, alert, length, quic, configured, alpn, sni, role, closed, own, flag) = (
            tuple(int(n) for n in word.split(":")) for word in sys.argv[1:])
        client, server = p(s2n.s2n_connection_new(1)), p(s2n.s2n_connection_new(0))

        def at(place, type=ctypes.c_int, connection=client):
            return ctypes.cast(connection.value + place[0], ctypes.POINTER(type))

        def text(address):
            return ctypes.string_at(address).decode()

        at(state)[0] = 1
        print("message", text(s2n.s2n_connection_get_last_message_name(client)))
        at(state)[0] = 0
        told = []
        for kind, number, key in ((3, 33, 0), (1, 33, 1), (1, 34, 1), (1, 34, 0)):
            at(detail)[0], at(version, ctypes.c_uint8)[0], at(psk)[0] = kind, number, key
            told.append(ctypes.c_bool(s2n.s2n_connection_is_session_resumed(client)).value)
        print("resumed", *told)
        at(version, ctypes.c_uint8)[0] = 33
        print("version", s2n.s2n_connection_get_actual_protocol_version(client))
        data = ctypes.cast(at(alert, p)[0], ctypes.POINTER(ctypes.c_uint8))
        data[0], data[1], at(length)[0] = 2, 70, 2
        print("alert", s2n.s2n_connection_get_alert(client))
        before = at(quic, ctypes.c_uint8)[0] & quic[1]
        s2n.s2n_connection_enable_quic(client)
        config = p(s2n.s2n_config_new_minimal())
        s2n.s2n_connection_set_config(server, config)
        read = lambda: at((0,), ctypes.c_uint8, p(at(configured, p, server)[0]))[0] & 2
        second = read()
        s2n.s2n_config_enable_quic(config)
        print("quic", before, int(at(quic, ctypes.c_uint8)[0] & quic[1] != 0), second, int(read() != 0))
        ctypes.memmove(client.value + alpn[0], b"h2\0", 3)
        print("alpn", text(s2n.s2n_get_application_protocol(client)))
        s2n.s2n_set_server_name(client, b"a.example")
        print("name", text(client.value + sni[0]))
        print("role", at(role)[0], at(role, connection=server)[0])
        print("closed", at(closed)[0])
        owns = lambda: int(at(flag, ctypes.c_uint8)[0] & flag[1] != 0)
        told = [owns()]
        s2n.s2n_connection_set_fd(client, 4242)
        told += [owns(), int(ctypes.cast(at(own, p)[0], ctypes.POINTER(ctypes.c_int))[0] == 4242)]
        told.append(ctypes.cast(at(own, p)[0], ctypes.POINTER(ctypes.c_int))[0])
        s2n.s2n_connection_set_recv_cb(client, p(1))
        print("descriptor", *told, owns())
        """#

    @Test("A library whose bytes were changed gives an analysis or an error", arguments: [3, 4])
    func damagedFiles(_ seed: UInt64) throws {
        let original = try Machine.bytes(Self.newest)
        let file = try ELFFile(bytes: original)
        var places: [Int] = []
        for name in ["s2n_negotiate", "s2n_connection_get_last_message_name", "s2n_connection_get_alert"] {
            let function = try #require(file.symbol(name))
            places.append(Int(try #require(file.fileOffset(ofAddress: function.address))))
        }
        var random = SplitMix(seed: seed)
        for _ in 0..<20 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                let place =
                    Bool.random(using: &random)
                    ? places[Int.random(in: 0..<places.count, using: &random)] + Int.random(in: 0..<200, using: &random)
                    : Int.random(in: 64..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            guard let damaged = try? ELFFile(bytes: bytes), S2N.recognises(damaged) else { continue }
            _ = try? S2N.analyse(damaged)
        }
    }
}
