import CEvents
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// Where a BIO keeps its descriptor, held against the library's own functions.
@Suite(
    "Places of facts in OpenSSL's transports",
    .enabled(if: Machine.has(Machine.libcrypto, Machine.compiler, "/usr/include/openssl/bio.h")))
struct TransportFinderTests {
    @Test("The descriptor, kind and next of real BIOs stand where libcrypto's code says")
    func fieldsOfABIOStandWhereTheCodeSays() throws {
        let analysis = try OpenSSL.analyse(ELFFile(path: Machine.libcrypto))
        let layout = try #require(analysis.transport)
        let program = try Machine.compile(Self.source, ["-O1", "-lcrypto"])
        let places = [layout.kinds, layout.kind, layout.name, layout.descriptor, layout.next].map { String($0) }
        let lines = try Tool.run(program, places).split(separator: "\n").map(String.init)
        #expect(lines == ["505 socket 4242", "50c socket connect -1", "401 memory buffer", "200 own filter next 505"])
        #expect(layout.hasDescriptor & 0x505 != 0)
        #expect(layout.hasDescriptor & 0x401 == 0)
        #expect(layout.isFilter & 0x200 != 0)
        #expect(layout.isFilter & 0x505 == 0)
        for name in ["socket", "socket connect", "memory buffer"] { #expect(layout.own.contains(name)) }
    }

    @Test("A file without BIOs has no layout, and a profile without one knows no transport")
    func aFileWithoutBIOsHasNoLayout() throws {
        let analysis = try OpenSSL.analyse(ELFFile(path: Machine.libssl))
        #expect(analysis.transport == nil)
        #expect(analysis.facts[.transport] != nil)
        let plan = analysis.plan
        func profile(_ layout: TransportLayout?) -> tlswatch_profile {
            tlswatch_profile(
                plan: plan, facts: analysis.facts, transport: layout, states: SessionRules.openSSL.states, sites: [])
        }
        #expect(profile(nil).transport.known == 0)
        let known = profile(try OpenSSL.analyse(ELFFile(path: Machine.libcrypto)).transport)
        #expect(known.transport.known == 1)
        #expect(known.transport_reads != 0)
        // "socket", little-endian, as the kernel compares it.
        #expect(known.transport.own.0 == 0x0000_7465_6b63_6f73)
    }

    /// Reads BIOs at the places given.
    private static let source = #"""
        #include <openssl/bio.h>
        #include <stdio.h>
        #include <stdlib.h>

        static char *pointer(void *base, int offset) { return *(char **)((char *)base + offset); }

        int main(int argc, char **argv)
        {
            int kinds = atoi(argv[1]), kind = atoi(argv[2]), name = atoi(argv[3]), descriptor = atoi(argv[4]);
            int next = atoi(argv[5]);
            BIO *socket = BIO_new_socket(4242, BIO_NOCLOSE), *connect = BIO_new_connect("127.0.0.1:1");
            BIO *memory = BIO_new(BIO_s_mem());
            BIO *filter = BIO_new(BIO_meth_new(BIO_TYPE_FILTER, "own filter"));
            BIO *all[] = { socket, connect, memory };
            for (int i = 0; i < 3; i++) {
                char *table = pointer(all[i], kinds);
                printf("%x %s", *(int *)(table + kind), pointer(table, name));
                if (*(int *)(table + kind) & 0x100)
                    printf(" %d", *(int *)((char *)all[i] + descriptor));
                printf("\n");
            }
            BIO_push(filter, socket);
            char *table = pointer(filter, kinds), *behind = pointer(filter, next);
            printf("%x %s next %x\n", *(int *)(table + kind), pointer(table, name),
                   *(int *)(pointer(behind, kinds) + kind));
            return 0;
        }
        """#
}
