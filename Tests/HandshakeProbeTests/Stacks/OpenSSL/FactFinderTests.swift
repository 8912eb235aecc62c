import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// The derived places, checked on real connections: a C program makes a handshake with itself, and
/// reads the facts at the places as well as through the API.
@Suite(
    "Places of facts in OpenSSL's objects",
    .enabled(if: Machine.has(Machine.libssl, Machine.compiler, "/usr/include/openssl/ssl.h")))
struct FactFinderTests {
    /// What a file without symbols is asked for must agree with what the getters say.
    @Test("The state machine's function leads to the same places") func theStateMachineTellsTheSame() throws {
        let file = try ELFFile(path: Machine.libssl)
        let code = CodeReader(file)
        let symbols = file.symbols(named: SymbolNames.all)
        let methods = try MethodTables.byName(code, symbols)
        let functions = try HandshakeFunctions(code, symbols, methods)
        let finder = FactFinder(
            code: code, symbols: symbols, methods: methods, stateMachine: functions.stateMachine)
        let named = finder.derive().paths
        let (version, role) = finder.stateMachineFields()
        #expect(Array(version) == named[.version]?.offsets)
        #expect(Array(role) == named[.role]?.offsets)
        let nameless = FactFinder(code: code, symbols: [:], methods: methods, stateMachine: functions.stateMachine)
            .derive().paths
        for fact in [Fact.version, .role, .flowState, .handState] { #expect(nameless[fact] == named[fact]) }
    }

    @Test("TLS 1.2 and 1.3", arguments: ["771", "772"])
    func factsOfARealHandshake(_ version: String) throws {
        let facts = try OpenSSL.analyse(ELFFile(path: Machine.libssl)).facts
        let program = try Machine.compile(Self.source, ["-O1", "-lssl", "-lcrypto"])
        var arguments = [version]
        // The flags tell QUIC, which 3.0 has not.
        let wanted = OpenSSL.facts.enumerated().filter { $0.element != .flags || facts[$0.element] != nil }
        for (number, fact) in wanted {
            let path = try #require(facts[fact], "\(fact)")
            arguments.append("\(number) \(path.size):" + path.offsets.map(String.init).joined(separator: ","))
        }
        let lines = try Tool.run(program, arguments).split(separator: "\n").map(String.init)
        let api = lines.filter { $0.hasPrefix("api ") }.map { $0.dropFirst(4) }
        let memory = lines.filter { $0.hasPrefix("memory ") }.map { $0.dropFirst(7) }
        #expect(memory.count == 2 * wanted.count)
        // Each side in the order of the facts; what was not asked for is left out.
        let asked = Set(memory.map { $0.prefix { $0 != " " } })
        #expect(memory == api.filter { asked.contains($0.prefix { $0 != " " }) })
    }

    /// Prints, for the client and the server, each fact by the API and from memory.
    private static let source = #"""
        #include <openssl/ssl.h>
        #include <openssl/x509.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        static int choose(SSL *s, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                          unsigned int inlen, void *arg)
        {
            int result = SSL_select_next_proto((unsigned char **)out, outlen, (const unsigned char *)"\x02h2", 3, in,
                                               inlen);
            return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
        }

        static int accept_all(int ok, X509_STORE_CTX *store) { return 1; }

        static void memory(SSL *s, char **paths)
        {
            for (; *paths; paths++) {
                char *cursor = *paths;
                int fact = strtol(cursor, &cursor, 10);
                int size = strtol(cursor, &cursor, 10);
                char *address = (char *)s;
                while (*cursor == ':' || *cursor == ',') {
                    long offset = strtol(cursor + 1, &cursor, 10);
                    address += offset;
                    if (*cursor == ',' && address) {
                        address = *(char **)address;
                        if (!address) break;
                    }
                }
                unsigned long value = 0;
                if (!address) printf("memory %d none\n", fact);
                else if (fact == 23) printf("memory %d %lx\n", fact, (unsigned long)address);
                else if (size == 0) printf("memory %d %.*s\n", fact, fact == 20 ? 2 : 64, address);
                else { memcpy(&value, address, size); printf("memory %d %lx\n", fact, value); }
            }
        }

        static void api(SSL *s, unsigned long sessionGroup)
        {
            const unsigned char *alpn; unsigned int length;
            int nid = SSL_get_negotiated_group(s);
            /* P-256 is forced below; before TLS 1.3 only the session keeps it. */
            int tls13 = SSL_version(s) == TLS1_3_VERSION;
            unsigned long group = tls13 && nid == NID_X9_62_prime256v1 ? 0x17 : 0;
            const char *kept = SSL_SESSION_get0_hostname(SSL_get_session(s));
            SSL_get0_alpn_selected(s, &alpn, &length);
            printf("api 0 %x\napi 1 %x\napi 2 4\napi 3 %x\napi 4 %x\napi 5 %lx\n", SSL_version(s), SSL_is_server(s),
                   SSL_get_state(s), SSL_session_reused(s),
                   (unsigned long)SSL_CIPHER_get_id(SSL_get_current_cipher(s)));
            printf("api 6 %lx\napi 7 %lx\napi 8 %x\n", group, sessionGroup, length);
            /* Early data, HelloRetryRequest: none. A client was asked for its certificate; nobody renegotiates. */
            printf("api 9 %x\napi 10 0\napi 12 %x\napi 13 %x\napi 14 %x\n", SSL_get_early_data_status(s),
                   SSL_get_verify_mode(s), (unsigned)(unsigned long)SSL_get0_peer_certificate(s),
                   !SSL_is_server(s));
            printf("api 15 2\napi 16 0\napi 17 %x\napi 18 %x\n", SSL_want(s), SSL_get_shutdown(s));
            printf("api 19 %lx\n", SSL_get_verify_result(s));
            printf("api 20 %.*s\n", (int)length, alpn);
            printf("api 21 %s\napi 22 %s\n", SSL_get_servername(s, 0), kept ? kept : "none");
            /* What it reads through; the ClientHello is gone when the handshake is over. */
            printf("api 23 %lx\napi 24 none\n", (unsigned long)SSL_get_rbio(s));
            unsigned random[8];
            SSL_get_client_random(s, (unsigned char *)random, sizeof(random));
            printf("api 25 %x\napi 26 %x\n", random[6], random[7]);
            /* Of TLS 1.3 alone: whether keys were agreed on. */
            printf("api 27 %x\n", tls13);
        }

        int main(int argc, char **argv)
        {
            int version = atoi(argv[1]);
            EVP_PKEY *key = EVP_EC_gen("P-256");
            X509 *cert = X509_new();
            X509_gmtime_adj(X509_getm_notBefore(cert), 0);
            X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
            X509_set_pubkey(cert, key);
            X509_sign(cert, key, EVP_sha256());
            SSL_CTX *sc = SSL_CTX_new(TLS_server_method()), *cc = SSL_CTX_new(TLS_client_method());
            SSL_CTX_use_certificate(sc, cert);
            SSL_CTX_use_PrivateKey(sc, key);
            SSL_CTX_set_verify(sc, SSL_VERIFY_PEER, accept_all);
            SSL_CTX_use_certificate(cc, cert);
            SSL_CTX_use_PrivateKey(cc, key);
            SSL_CTX_set_alpn_select_cb(sc, choose, 0);
            SSL_CTX_set_max_proto_version(cc, version);
            SSL_CTX_set_alpn_protos(cc, (const unsigned char *)"\x02h2", 3);
            SSL_CTX_set1_groups_list(cc, "P-256");
            SSL *server = SSL_new(sc), *client = SSL_new(cc);
            BIO *a, *b;
            BIO_new_bio_pair(&a, 0, &b, 0);
            SSL_set_bio(server, a, a);
            SSL_set_bio(client, b, b);
            SSL_set_accept_state(server);
            SSL_set_connect_state(client);
            SSL_set_tlsext_host_name(client, "a.example");
            for (int i = 0; i < 20 && (!SSL_is_init_finished(server) || !SSL_is_init_finished(client)); i++) {
                SSL_do_handshake(client);
                SSL_do_handshake(server);
            }
            if (!SSL_is_init_finished(server) || !SSL_is_init_finished(client)) return 1;
            SSL_up_ref(client);
            SSL_up_ref(server);
            SSL_set_shutdown(server, SSL_RECEIVED_SHUTDOWN);
            api(client, 0x17); memory(client, argv + 2);
            api(server, 0x17); memory(server, argv + 2);
            return 0;
        }
        """#
}
