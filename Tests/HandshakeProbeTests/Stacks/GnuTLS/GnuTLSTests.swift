import CCapstone
import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

/// What is read out of GnuTLS's code, held against the library itself.
@Suite("GnuTLS's code") struct GnuTLSTests {
    /// A build of PyPI's, without a stack protector.
    private static let bundled = ProcessInfo.processInfo.environment["HOME"].flatMap { home -> String? in
        let cache = ProcessInfo.processInfo.environment["TLSWATCH_TEST_CACHE"] ?? home + "/.cache/tlswatch-tests"
        let folder = cache + "/python-av/av.libs"
        return try? FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasPrefix("libgnutls-") }
            .map { folder + "/" + $0 }
    }

    private static let phases: [HookKind] = [.keyChange, .masterSecret, .alpnSelect, .newKeys]

    @Test("The distribution's library: every site, all of them emulated, and every fact")
    func distribution() throws {
        let analysis = try GnuTLS.analyse(ELFFile(path: Machine.libgnutls))
        #expect(analysis.notes.isEmpty)
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(
            Set(analysis.sites.map(\.hook)) == Set([.call, .callExit, .alertSent, .objectFree] + Self.phases))
        #expect(analysis.sites.count { $0.hook == .call } == 1)
        #expect(analysis.plan.omitted.isEmpty && analysis.randomPlan.omitted.isEmpty)
        // Key changes of TLS 1.3 and below with all phases, and two more of one direction each with "full".
        #expect(analysis.sites.count { $0.hook == .keyChange && $0.phases.contains(.on) } == 2)
        #expect(analysis.sites.count { $0.hook == .keyChange && $0.phases.contains(.full) } == 4)
        let said = try Tool.run("/usr/bin/gnutls-cli", ["--version"])
        #expect(analysis.version.map { said.contains(" \($0)\n") } == true, "\(said)")
    }

    @Test("A build without a stack protector: its exit is single-stepped, and said to be; the rest is as good")
    func withoutStackProtector() throws {
        let path = try #require(Self.bundled, "run `make deps`")
        let analysis = try GnuTLS.analyse(ELFFile(path: path))
        let dear = analysis.sites.filter { $0.mode == .singleStep }
        #expect(dear.map(\.hook) == [.callExit])
        #expect(analysis.notes.count == 1 && analysis.notes.allSatisfy { $0.contains("single-stepped") })
        #expect(analysis.version == "3.8.13")
        let debian = try GnuTLS.analyse(ELFFile(path: Machine.libgnutls))
        #expect(Set(analysis.facts.keys) == Set(debian.facts.keys))
        #expect(Set(analysis.sites.map(\.symbol)) == Set(debian.sites.map(\.symbol)))
        #expect(analysis.descriptor != nil)
    }

    @Test("The exit is passed with the session and the result in the registers that the site says")
    func exitsHoldSessionAndResult() throws {
        for path in [Machine.libgnutls, try #require(Self.bundled)] {
            let file = try ELFFile(path: path)
            let code = CodeReader(file)
            let function = try #require(file.symbol("gnutls_handshake"))
            let call = try HandshakeCall(code, function.address)
            let body = code.instructions(
                in: try #require(file.functionExtent(containing: function.address)), limit: 20_000)
            #expect(call.exits.count == body.count { $0.kind == TLSWATCH_OP_RET })
            for exit in call.exits {
                let ret = try #require(body.first { $0.address > exit.address && $0.kind == TLSWATCH_OP_RET })
                let tail = body.filter { (exit.address...ret.address).contains($0.address) }
                // From the site to the end the session's register is restored, and what it returns moved, in that order.
                let moves = tail.filter { $0.kind == TLSWATCH_OP_MOV && Int($0.first.reg) == Register.rax }
                #expect(moves.map(\.second.reg) == [exit.result.register])
                #expect(!tail[0].isReading(call.object.register))
            }
            // A session that goes on, and one that begins, pass the beginning.
            #expect(call.begin > function.address)
        }
    }

    /// Sets fields of a session at the places given and asks the library's getters, or the other way round.
    @Test("Facts are where the library's own functions read and write them")
    func factsAgreeWithTheLibrary() throws {
        let analysis = try GnuTLS.analyse(ELFFile(path: Machine.libgnutls))
        func offset(_ fact: Fact, _ index: Int = 0) throws -> String {
            String(try #require(analysis.facts[fact]).offsets[index])
        }
        let program = try Machine.compile(Self.source, ["-Wall", "-Wextra", "-Werror", "-lgnutls"])
        let arguments = [
            try offset(.role), try offset(GnuTLSFact.alert), try offset(GnuTLSFact.resumed),
            try offset(GnuTLSFact.flags), try offset(GnuTLSFact.alertReader), try offset(.random),
            String(try #require(analysis.descriptor).offset), try offset(.sni), try offset(.sni, 1),
            try offset(GnuTLSFact.hasName), try offset(GnuTLSFact.version), try offset(GnuTLSFact.version, 1),
            try offset(.state), try offset(GnuTLSFact.negotiated), try offset(.alpn), try offset(.alpn, 1),
            try offset(.alpnLength, 1), try offset(GnuTLSFact.hasProtocol),
        ]
        let said = try Tool.run(program, arguments)
        #expect(
            said == """
                role 1 2
                alert 77
                resumed 1
                asked 1
                reader 1
                random 24
                descriptor 4242
                name 9 a.example 1 0
                version 4
                state 0 0
                alpn h2

                """)
    }

    private static let source = #"""
        #include <gnutls/gnutls.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        static char *session;
        static int offset[32];

        #define AT(index, type) (*(type *)(session + offset[index]))

        static int read_alert(gnutls_session_t s, gnutls_record_encryption_level_t l, gnutls_alert_level_t a,
                              gnutls_alert_description_t d)
        {
            (void)s, (void)l, (void)a, (void)d;
            return 0;
        }

        int main(int argc, char **argv)
        {
            gnutls_session_t server, client;
            gnutls_datum_t random, chosen, offered = { (unsigned char *)"h2", 2 };

            for (int i = 1; i < argc; i++)
                offset[i - 1] = atoi(argv[i]);
            gnutls_init(&server, GNUTLS_SERVER);
            gnutls_init(&client, GNUTLS_CLIENT);
            gnutls_set_default_priority(client);
            session = (char *)server;
            printf("role %d ", AT(0, int));
            session = (char *)client;
            printf("%d\n", AT(0, int));
            AT(1, int) = 77;
            printf("alert %d\n", gnutls_alert_get(client));
            session = (char *)server;
            AT(2, char) = 1;
            printf("resumed %d\n", gnutls_session_is_resumed(server));
            AT(3, int) |= 4;
            printf("asked %d\n", gnutls_certificate_client_get_request_status(server));
            gnutls_alert_set_read_function(server, read_alert);
            printf("reader %d\n", AT(4, void *) == (void *)read_alert);
            gnutls_session_get_random(server, &random, NULL);
            printf("random %d\n", (int)(session + offset[5] - (char *)random.data));
            gnutls_transport_set_int2(server, 4242, 4343);
            printf("descriptor %d\n", (int)AT(6, long));
            gnutls_server_name_set(client, GNUTLS_NAME_DNS, "a.example", 9);
            session = (char *)client;
            char *name = AT(7, char *) + offset[8];
            printf("name %d %.9s %d ", name[-1], name, AT(9, char));
            session = (char *)server;
            printf("%d\n", AT(9, char));
            session = (char *)client;
            char *version = AT(10, char *);
            if (version)
                printf("version %d\n", *(int *)(version + offset[11]) == (int)gnutls_protocol_get_version(client) ? 4 : 0);
            printf("state %d %d\n", AT(12, int), AT(13, char));
            gnutls_alpn_set_protocols(client, &offered, 1, 0);
            if (AT(17, char)) {
                char *data = AT(14, char *);
                *(const char **)(data + offset[15]) = "h2x";
                *(int *)(data + offset[16]) = 2;
                gnutls_alpn_get_selected_protocol(client, &chosen);
                printf("alpn %.*s\n", chosen.size, chosen.data);
            }
            return 0;
        }
        """#

    @Test("A library whose bytes were changed gives an analysis or an error", arguments: [3, 4])
    func damagedFiles(_ seed: UInt64) throws {
        let original = try Machine.bytes(Machine.libgnutls)
        let file = try ELFFile(bytes: original)
        let function = try #require(file.symbol("gnutls_handshake"))
        let start = Int(try #require(file.fileOffset(ofAddress: function.address)))
        var random = SplitMix(seed: seed)
        for _ in 0..<30 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                let place =
                    Bool.random(using: &random)
                    ? start + Int.random(in: 0..<200, using: &random)
                    : Int.random(in: 64..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            guard let damaged = try? ELFFile(bytes: bytes), GnuTLS.recognises(damaged) else { continue }
            _ = try? GnuTLS.analyse(damaged)
        }
    }

    @Test("The names of errors are those of the header")
    func errorNames() throws {
        let header = try String(contentsOfFile: "/usr/include/gnutls/gnutls.h", encoding: .utf8)
        var count = 0
        for match in header.matches(of: /#define\s+GNUTLS_E_([A-Z0-9_]+)\s+(-\d+)/) {
            let code = try #require(Int32(match.2))
            // Some have a second name.
            if GnuTLSReasons.name(code) == match.1.lowercased() { count += 1 }
            #expect(GnuTLSReasons.name(code) != nil, "\(match.1)")
        }
        #expect(count > 180)
        #expect(GnuTLSReasons.name(0) == nil)
    }
}

extension Instruction {
    /// Whether it restores this register.
    fileprivate func isReading(_ register: UInt8) -> Bool { kind == TLSWATCH_OP_POP && first.reg == register }
}
