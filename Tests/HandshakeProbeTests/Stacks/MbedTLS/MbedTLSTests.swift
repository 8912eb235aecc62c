import CEvents
import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

/// What is read out of Mbed TLS's code: of the distribution's 2.28, and of 2.28, 3.5 and 3.6 inside Python packages.
@Suite("Mbed TLS's code", .enabled(if: Machine.has(Machine.libmbedtls))) struct MbedTLSTests {
    enum Build: String, CaseIterable {
        case distribution, wheel, inside35, inside36

        var path: String {
            get throws {
                switch self {
                case .distribution: return Machine.libmbedtls
                case .wheel:
                    let folder = TestCache.directory + "/python-mbedtls/python_mbedtls.libs"
                    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
                    return folder + "/" + (try #require(names.first { $0.hasPrefix("libmbedtls-") }))
                case .inside35: return TestCache.directory + "/python-pynng-0.8.1/pynng/_nng.abi3.so"
                case .inside36: return TestCache.directory + "/python-pynng-0.9.0/pynng/_nng.abi3.so"
                }
            }
        }

        var isModern: Bool { self == .inside35 || self == .inside36 }
    }

    private static func analysis(_ build: Build) throws -> LibraryAnalysis {
        try MbedTLS.analyse(ELFFile(path: build.path))
    }

    @Test(
        "Every build: all that is looked for is found, at instructions that the kernel emulates",
        arguments: Build.allCases)
    func analysis(_ build: Build) throws {
        let analysis = try Self.analysis(build)
        #expect(analysis.notes.isEmpty, "\(analysis.notes)")
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(analysis.plan.omitted.isEmpty)
        var counts: [HookKind: Int] = [:]
        for site in analysis.sites { counts[site.hook, default: 0] += 1 }
        // Before 3.0 each role has a step of its own; and the function that works through them all.
        #expect(counts[.call] == (build.isModern ? 2 : 3), "\(counts)")
        let failures = analysis.sites.filter { $0.hook == .callExit && $0.flags == .step }
        #expect(build.isModern ? failures.count == 1 : failures.count > 10, "\(failures.count)")
        #expect(analysis.sites.count { $0.hook == .callExit && $0.flags == .inside } == 1)
        let wrapUps = analysis.sites.filter { $0.hook == .callExit && $0.flags.isEmpty }.map(\.symbol)
        #expect(wrapUps == Array(MbedTLS.wrapUps.prefix(build == .inside36 ? 2 : 1)))
        #expect(counts[.alertSent] == 1 && counts[.objectFree] == 1, "\(counts)")
        #expect(counts[.keyChange] == (build == .inside36 ? 6 : 4), "\(counts)")
        #expect(counts[.masterSecret] ?? 0 >= 2 && counts[.alpnSelect] ?? 0 >= 2, "\(counts)")
        #expect(analysis.finished == (build.isModern ? [27, 28, 29] : [16]))
        #expect(analysis.descriptor == OwnDescriptor(offset: 0x48, shape: .behind))
        let version: [Build: String] = [.inside35: "3.5.1", .inside36: "3.6.3"]
        #expect(analysis.version == version[build])
    }

    @Test("The sites do what they stand for", arguments: Build.allCases)
    func sites(_ build: Build) throws {
        let file = try ELFFile(path: build.path)
        let code = CodeReader(file)
        let analysis = try Self.analysis(build)
        for site in analysis.sites {
            let address = try #require(file.address(ofFileOffset: site.fileOffset))
            #expect(SiteChooser.isEmulated(try #require(code.instruction(at: address), "\(site)")), "\(site)")
        }
        // What comes back to the object is in a register that the calls before it have left alone.
        for site in analysis.sites where site.hook == .call || (site.hook == .callExit && site.argument != nil) {
            let object = try #require(site.object)
            #expect(!Register.clobbered.contains(Int(object.register)), "\(site)")
        }
        // One hit for each failure: nothing but failures comes to it.
        let places = TestedCalls(code).of("mbedtls_ssl_read_record").compactMap(\.failure)
        #expect(places.count >= 8 && places.count(where: \.isOnlyFailure) >= places.count - 2)
    }

    @Test("The facts are those of every build", arguments: Build.allCases)
    func facts(_ build: Build) throws {
        let facts = try Self.analysis(build).facts
        #expect(
            Set(facts.keys) == [
                .state, .role, MbedTLSFact.session, MbedTLSFact.version, MbedTLSFact.cipher, MbedTLSFact.resumed,
                MbedTLSFact.alert, MbedTLSFact.hasProtocol, MbedTLSFact.datagrams, .alpn, .sni,
            ])
        #expect(facts[.role]?.offsets.count == 2 && facts[MbedTLSFact.cipher]?.offsets.count == 2)
        // The session that is made stands behind the one that there was.
        let session = try #require(facts[MbedTLSFact.session]?.offsets.first)
        #expect(facts[MbedTLSFact.cipher]?.offsets.first == session + 8)
    }

    /// Sets fields of a context at the places given and asks the library's getters, or the other way round.
    @Test("Facts are where the library's own functions read and write them")
    func factsAgreeWithTheLibrary() throws {
        let analysis = try Self.analysis(.distribution)
        func offset(_ fact: Fact, _ index: Int = 0) throws -> String {
            String(try #require(analysis.facts[fact]).offsets[index])
        }
        let program = try Machine.compile(
            Self.source, ["-Wall", "-Wextra", "-Werror", "-lmbedtls", "-lmbedx509", "-lmbedcrypto"])
        let said = try Tool.run(
            program,
            [
                offset(.state), offset(.role), offset(.role, 1), offset(MbedTLSFact.session),
                offset(MbedTLSFact.version), offset(MbedTLSFact.cipher), offset(MbedTLSFact.cipher, 1), offset(.alpn),
                offset(.sni), String(#require(analysis.descriptor).offset), offset(MbedTLSFact.datagrams, 1),
                offset(MbedTLSFact.alert), offset(MbedTLSFact.resumed), offset(MbedTLSFact.resumed, 1),
            ])
        #expect(
            said == """
                state 1
                role 1 0
                version TLSv1.2
                cipher TLS-RSA-WITH-AES-128-CBC-SHA
                alpn 1
                name a.example
                descriptor 1
                datagrams 1
                alert -30592
                negotiated 1
                resumed 1

                """)
    }

    private static let source = #"""
        #define MBEDTLS_ALLOW_PRIVATE_ACCESS
        #include <mbedtls/net_sockets.h>
        #include <mbedtls/ssl.h>
        #include <mbedtls/ssl_internal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        static int offset[32];

        #define AT(base, index, type) (*(type *)((char *)(base) + offset[index]))

        int main(int argc, char **argv)
        {
            static mbedtls_ssl_config server, client;
            static mbedtls_ssl_context ssl;
            static mbedtls_ssl_session session;
            mbedtls_net_context net = { .fd = 42 };

            for (int i = 1; i < argc; i++)
                offset[i - 1] = atoi(argv[i]);
            mbedtls_ssl_config_defaults(&server, 1, MBEDTLS_SSL_TRANSPORT_DATAGRAM, 0);
            mbedtls_ssl_config_defaults(&client, 0, MBEDTLS_SSL_TRANSPORT_STREAM, 0);
            mbedtls_ssl_setup(&ssl, &client);
            mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
            /* A step from the first state leads to the next. */
            mbedtls_ssl_handshake_step(&ssl);
            printf("state %d\n", AT(&ssl, 0, int));
            printf("role %d %d\n", AT(&server, 2, char), AT(AT(&ssl, 1, char *), 2, char));
            AT(&ssl, 4, int) = 3;
            printf("version %s\n", mbedtls_ssl_get_version(&ssl));
            AT(&session, 6, int) = MBEDTLS_TLS_RSA_WITH_AES_128_CBC_SHA;
            AT(&ssl, 3, void *) = &session;
            printf("cipher %s\n", mbedtls_ssl_get_ciphersuite(&ssl));
            AT(&ssl, 7, const char *) = "h2";
            printf("alpn %d\n", !strcmp(mbedtls_ssl_get_alpn_protocol(&ssl), "h2"));
            mbedtls_ssl_set_hostname(&ssl, "a.example");
            printf("name %s\n", AT(&ssl, 8, char *));
            printf("descriptor %d\n", *AT(&ssl, 9, int *) == 42);
            printf("datagrams %d\n", AT(&server, 10, char));
            /* A fatal alert. */
            unsigned char *message = AT(&ssl, 11, unsigned char *);
            ssl.in_msgtype = MBEDTLS_SSL_MSG_ALERT;
            ssl.in_msglen = 2;
            message[0] = 2;
            message[1] = 48;
            printf("alert %d\n", mbedtls_ssl_handle_message_type(&ssl));
            printf("negotiated %d\n", AT(&ssl, 5, void *) == (void *)ssl.session_negotiate);
            AT(AT(&ssl, 12, char *), 13, unsigned char) = 1;
            printf("resumed %d\n", ssl.handshake->resume);
            return 0;
        }
        """#

    @Test("A library whose bytes were changed gives an analysis or an error", arguments: [Build.distribution, .wheel])
    func damagedFiles(_ build: Build) throws {
        let original = try Machine.bytes(build.path)
        var random = SplitMix(seed: 7)
        for round in 0..<24 {
            var bytes = original
            for _ in 0..<(round < 12 ? 40 : 4000) {
                bytes[Int.random(in: 64..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let damaged = try? ELFFile(bytes: bytes), MbedTLS.recognises(damaged) else { continue }
            if let analysis = try? MbedTLS.analyse(damaged) {
                #expect(
                    analysis.sites.allSatisfy {
                        damaged.address(ofFileOffset: $0.fileOffset).map(damaged.isCode) == true
                    })
            }
        }
    }

    @Test("The names of errors are those of the headers")
    func errorNames() throws {
        var count = 0
        for name in ["ssl", "net_sockets", "x509", "pk", "ecp", "dhm", "rsa"] {
            let header = try String(contentsOfFile: "/usr/include/mbedtls/\(name).h", encoding: .utf8)
            for match in header.matches(of: /#define\s+MBEDTLS_ERR_(?:SSL_)?([A-Z0-9_]+)\s+-0x([0-9A-Fa-f]+)/) {
                guard let number = Int32(match.2, radix: 16), let told = MbedTLSReasons.name(-number) else { continue }
                #expect(told == match.1.lowercased())
                count += 1
            }
        }
        #expect(count > 110, "\(count)")
        #expect(MbedTLSReasons.name(-0x7380) == "no_cipher_chosen")
        #expect(MbedTLSReasons.name(-0x7300 + MbedTLSState.modern) == "decode_error")
        // A module's error with its cause below it.
        #expect(MbedTLSReasons.name(-0x7200 - 0x12) == "invalid_record")
        #expect(MbedTLSReasons.name(0) == nil && MbedTLSReasons.name(-0x0001) == nil)
    }
}
