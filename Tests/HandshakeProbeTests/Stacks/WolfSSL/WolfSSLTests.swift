import CCapstone
import CEvents
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe
@testable import Kernel

/// What is read out of wolfSSL's code, held against the library itself.
@Suite("wolfSSL's code", .enabled(if: Machine.has(Machine.libwolfssl))) struct WolfSSLTests {
    private static let functions = [
        "wolfSSL_accept", "wolfSSL_connect", "wolfSSL_accept_TLSv13", "wolfSSL_connect_TLSv13",
    ]

    @Test("The distribution's library: every site, all of them emulated, and every fact")
    func distribution() throws {
        let analysis = try WolfSSL.analyse(ELFFile(path: Machine.libwolfssl))
        #expect(analysis.notes.isEmpty)
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(Set(analysis.sites.map(\.hook)) == [.call, .callExit, .objectFree, .keyChange])
        #expect(analysis.sites.filter { $0.hook == .call }.map(\.symbol) == Self.functions)
        #expect(analysis.sites.filter { $0.hook == .call }.allSatisfy { $0.flags == .joins })
        let done = analysis.sites.filter { $0.hook == .callExit && $0.argument == nil }
        #expect(done.map(\.symbol) == Self.functions.map { $0 + " done" })
        #expect(analysis.sites.count <= Int(TLSWATCH_SITES))
        #expect(analysis.plan.omitted.isEmpty && analysis.randomPlan.omitted.isEmpty)
        #expect(analysis.descriptor?.shape == .number)
        let said = try Tool.run(Machine.compile(Self.source, ["-lwolfssl"]), ["version"])
        #expect(analysis.version.map { said == $0 + "\n" } == true, "\(said)")
    }

    /// From where a call begins every way that returns passes one site, and no way two.
    @Test("Each way out of a call passes one site", arguments: Self.functions)
    func waysOut(_ name: String) throws {
        let file = try ELFFile(path: Machine.libwolfssl)
        let code = CodeReader(file)
        let sites = try WolfSSL.analyse(file).sites.filter { $0.symbol.split(separator: " ").first ?? "" == name }
        func address(_ site: ProbeSite) throws -> UInt64 { try #require(file.address(ofFileOffset: site.fileOffset)) }
        let begin = try address(try #require(sites.first { $0.hook == .call }))
        let exits = try Dictionary(
            uniqueKeysWithValues: sites.filter { $0.hook == .callExit }.map { (try address($0), $0.flags) })
        let graph = FunctionGraph(code, try #require(file.functionExtent(containing: begin)))
        let body = graph.instructions
        // Where the table of states leads that there are not.
        let unknown = try #require(
            body.indices.first { body[$0].condition == 7 && body[$0 - 1].kind == TLSWATCH_OP_CMP }.flatMap {
                body[$0].directTarget
            })
        // By place and number of sites passed: 2 stands for more.
        var seen = Set<[Int]>()
        var waiting = [[try #require(graph.index(of: begin)), 0]]
        var returns: [Int] = []
        while let next = waiting.popLast() {
            guard seen.insert(next).inserted else { continue }
            let (index, passed) = (next[0], next[1])
            let instruction = body[index]
            if instruction.kind == TLSWATCH_OP_RET { returns.append(passed) }
            let flags = exits[instruction.address]
            for following in graph.successors[index].map({ Int($0) }) {
                let target = body[following]
                if instruction.kind == TLSWATCH_OP_JCC, target.address == instruction.directTarget {
                    // Not taken: a state that there is not, what the application wants to stop at, the stack protector.
                    if instruction.condition == 7, body[index - 1].kind == TLSWATCH_OP_CMP { continue }
                    if target.kind == TLSWATCH_OP_MOV, target.second.isImmediate, target.second.value == 1 { continue }
                    if body[index - 1].second.opaque_address { continue }
                }
                if instruction.kind == TLSWATCH_OP_JMP, instruction.directTarget == nil, target.address == unknown {
                    continue
                }
                // A callback that fails what is complete comes out by the way of failures.
                if flags == [], instruction.kind == TLSWATCH_OP_JCC, instruction.condition == 4,
                    target.address == instruction.end
                {
                    continue
                }
                let isTaken = target.address == instruction.directTarget
                let counts =
                    flags == [] || flags == .taken(instruction.condition) && isTaken
                    || flags == .taken(instruction.condition ^ 1) && !isTaken
                waiting.append([following, min(2, passed + (flags != nil && counts ? 1 : 0))])
            }
        }
        #expect(!returns.isEmpty && Set(returns) == [1], "\(returns)")
    }

    @Test("Functions with bytes changed at random are refused, or have their sites inside them")
    func mutatedFunctions() throws {
        let original = try Machine.bytes(Machine.libwolfssl)
        let file = try ELFFile(bytes: original)
        let names = Self.functions + WolfSSLLayout.getters
        let extents = try names.map { name in
            let symbol = try #require(file.symbol(name))
            let extent = try #require(file.functionExtent(containing: symbol.address))
            return Int(
                try #require(file.fileOffset(ofAddress: extent.lowerBound)))..<Int(
                    try #require(file.fileOffset(ofAddress: extent.upperBound - 1)))
        }
        var generator = SplitMix(seed: 5)
        var refused = 0
        for round in 0..<60 {
            var bytes = original
            for _ in 0...round % 4 {
                let extent = extents[Int.random(in: 0..<extents.count, using: &generator)]
                bytes[Int.random(in: extent, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let mutated = try ELFFile(bytes: bytes)
            guard let analysis = try? WolfSSL.analyse(mutated) else {
                refused += 1
                continue
            }
            for site in analysis.sites where [.call, .callExit].contains(site.hook) {
                #expect(extents[..<Self.functions.count].contains { $0.contains(Int(site.fileOffset)) }, "\(site)")
                #expect(site.mode == .emulated, "\(site)")
            }
        }
        #expect((1..<60).contains(refused))
    }

    /// Sets fields of a connection at the places given and asks the library's getters, or the other way round.
    @Test("Facts are where the library's own functions read and write them")
    func factsAgreeWithTheLibrary() throws {
        let analysis = try WolfSSL.analyse(ELFFile(path: Machine.libwolfssl))
        func offset(_ fact: Fact, _ index: Int = 0) throws -> String {
            String(try #require(analysis.facts[fact]).offsets[index])
        }
        let element = try #require(analysis.facts[.alpn]?.element)
        #expect(element.value == 16 && analysis.facts[.sni]?.element?.value == 0)
        let server = try #require(analysis.server)
        let arguments = [
            try offset(WolfSSLFact.error), try offset(WolfSSLFact.handshake), try offset(WolfSSLFact.version),
            try offset(WolfSSLFact.cipher), try offset(WolfSSLFact.resumed),
            String(try #require(analysis.facts[WolfSSLFact.resumed]).bits), try offset(WolfSSLFact.group),
            try offset(WolfSSLFact.curve), try offset(WolfSSLFact.alertReceived), try offset(WolfSSLFact.levelSent),
            String(try #require(analysis.descriptor).offset), try offset(.role), String(server.mask),
            try offset(.random),
            try offset(.random, 1), try offset(WolfSSLFact.extensions), String(element.mark), String(element.next),
            try offset(.alpn, 1), try offset(.alpn, 2), try offset(WolfSSLFact.isNegotiated, 2), try offset(.sni, 2),
            try offset(WolfSSLFact.nameStatus, 2),
        ]
        let program = try Machine.compile(Self.source, ["-Wall", "-Wextra", "-Werror", "-lwolfssl"])
        let said = try Tool.run(program, arguments)
        #expect(
            said == """
                error 1 0
                finished 1
                version 0304
                cipher 1301
                resumed 1 0
                group SECP384R1 X25519
                alerts 70 2
                descriptor 4242
                role 1 0
                random 1
                alpn h2 1
                name a.example 1 0

                """)
    }

    private static let source = #"""
        #include <wolfssl/options.h>
        #include <wolfssl/ssl.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        static char *object;
        static int offset[32];

        #define AT(index, type) (*(type *)(object + offset[index]))

        static char *element(unsigned number)
        {
            for (char *at = AT(15, char *); at; at = *(char **)(at + offset[17]))
                if (*(unsigned *)(at + offset[16]) == number)
                    return *(char **)(at + offset[18]);
            return NULL;
        }

        int main(int argc, char **argv)
        {
            WOLFSSL_ALERT_HISTORY history;
            unsigned char random[32];
            unsigned short length;
            WOLFSSL *client, *server;
            char *text, *data, protocols[] = "h2,http/1.1";
            void *name;
            int had;

            if (!strcmp(argv[1], "version")) {
                puts(wolfSSL_lib_version());
                return 0;
            }
            for (int i = 1; i < argc; i++)
                offset[i - 1] = atoi(argv[i]);
            wolfSSL_Init();
            client = wolfSSL_new(wolfSSL_CTX_new(wolfTLS_client_method()));
            server = wolfSSL_new(wolfSSL_CTX_new(wolfTLSv1_3_server_method()));
            object = (char *)client;
            had = wolfSSL_want_read(client);
            AT(0, int) = -323;
            printf("error %d %d\n", wolfSSL_want_read(client), had);
            AT(1, char) = 16;
            printf("finished %d\n", wolfSSL_is_init_finished(client));
            memcpy(&AT(2, char), "\3\4", 2);
            printf("version %04x\n", wolfSSL_version(client));
            memcpy(&AT(3, char), "\x13\x01", 2);
            printf("cipher %04x\n", wolfSSL_get_current_cipher_suite(client));
            had = wolfSSL_session_reused(client);
            AT(4, char) |= offset[5];
            printf("resumed %d %d\n", wolfSSL_session_reused(client), had);
            AT(6, short) = 0;
            AT(7, int) = 210;
            printf("group %s ", wolfSSL_get_curve_name(client));
            AT(7, int) = 365;
            printf("%s\n", wolfSSL_get_curve_name(client));
            AT(8, int) = 70;
            AT(9, int) = 2;
            wolfSSL_get_alert_history(client, &history);
            printf("alerts %d %d\n", history.last_rx.code, history.last_tx.level);
            AT(10, int) = 4242;
            printf("descriptor %d\n", wolfSSL_get_fd(client));
            object = (char *)server;
            printf("role %d ", (AT(11, unsigned short) & offset[12]) == 0);
            object = (char *)client;
            printf("%d\n", (AT(11, unsigned short) & offset[12]) == 0);
            data = *(char **)(object + offset[13]) + offset[14];
            memset(data, 7, 8);
            wolfSSL_get_client_random(client, random, sizeof(random));
            printf("random %d\n", !memcmp(random + 24, data, 8) && random[0] != 7);
            wolfSSL_UseALPN(client, protocols, 2, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
            wolfSSL_UseSNI(client, WOLFSSL_SNI_HOST_NAME, "a.example", 9);
            data = element(16);
            data[offset[20]] = 1;
            wolfSSL_ALPN_GetProtocol(client, &text, &length);
            printf("alpn %s %d\n", text, text == *(char **)(data + offset[19]));
            data = element(0);
            had = wolfSSL_SNI_GetRequest(client, WOLFSSL_SNI_HOST_NAME, &name) != 0;
            data[offset[22]] = 2;
            wolfSSL_SNI_GetRequest(client, WOLFSSL_SNI_HOST_NAME, &name);
            printf("name %s %d %d\n", (char *)name, name == *(void **)(data + offset[21]), had);
            return 0;
        }
        """#
}
