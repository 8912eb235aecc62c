import Foundation
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    /// Programs of all stacks at once, servers and clients, completed and refused.
    @Suite("A host with programs of every stack") struct ZooTests {
        private static let completed = 68
        private static let refused = 6

        /// A process and what it has started.
        private func family(_ pid: Int) -> Set<Int> {
            let children = (try? procText("/proc/\(pid)/task/\(pid)/children")) ?? ""
            return children.split(separator: " ").compactMap { Int($0) }.reduce(into: [pid]) {
                $0.formUnion(family($1))
            }
        }

        /// The rows of one connection: the server's and the client's.
        private func ends(_ words: ZooWords, _ rows: [String: [SessionRow]]) -> (
            server: [SessionRow], client: [SessionRow]
        ) {
            let found = rows["127.0.0.1:\(words.local) 127.0.0.1:\(words.port)"] ?? []
            return (found.filter(\.isServer), found.filter(\.isClient))
        }

        private func expectFacts(_ row: SessionRow, _ said: ZooWords, _ stack: String, _ subject: String) {
            let text = Comment(rawValue: "\(subject): \(row) for \(said)")
            #expect(row.stack == stack && row.observedBy == (stack == "wire" ? "wire" : "library"), text)
            #expect(row.outcome == said.outcome && row.socketConfidence == "exact", text)
            guard said.outcome == "completed" else { return }
            #expect(row.tlsVersion == said.version && row.resumed == said.resumed, text)
            #expect(row.alpn == said.alpn, text)
            // Below TLS 1.3 OpenSSL has names of its own.
            if said.version == "TLSv1.3" { #expect(row.cipher == said.cipher, text) }
        }

        /// Whether `targets` names these as observed, by their stacks.
        private func expectTargets(_ servers: [ZooServer], _ families: [Set<Int>], _ clients: [ZooClient]) throws {
            struct Targets: Decodable {
                struct Library: Decodable {
                    struct Process: Decodable { var pid: Int }
                    var stack: String
                    var observable: Bool
                    var processes: [Process]
                }
                var libraries: [Library]
            }
            let told = try Tlswatch.run(["targets", "--format", "json"])
            let targets = try JSONDecoder().decode(Targets.self, from: Data(told.output.utf8))
            func isObserved(_ stack: String, _ pids: Set<Int>) -> Bool {
                targets.libraries.contains { library in
                    library.stack == stack && library.observable && library.processes.contains { pids.contains($0.pid) }
                }
            }
            for (server, family) in zip(servers, families) {
                #expect(isObserved(server.stack, family), "\(server.name)")
            }
            // Those that have their library before they begin.
            for client in clients where client.processes.allSatisfy({ $0.output.text.contains("loaded") }) {
                #expect(isObserved(client.stack, Set(client.processes.map { Int($0.pid) })), "\(client.name)")
            }
        }

        @Test(
            "Twenty programs at once: each handshake is told once at each end, by its stack, as the ends say themselves"
        )
        func everyStackAtOnce() throws {
            let zoo = try Zoo()
            let servers = try zoo.servers()
            let sink = try ChildProcess(
                "python3", [script("zoo_server.py"), zoo.certificates.certificate, zoo.certificates.key])
            defer { sink.stop(SIGTERM) }
            let sinkPort = try sink.announcedPort()
            let clients = try zoo.clients(of: sinkPort)
            let families = servers.map { family(Int($0.child.pid)) }
            let capture = try Capture(["--wire", "all"])
            try expectTargets(servers, families, clients)

            let askers = try servers.map { try zoo.ask($0, count: Self.completed, refused: Self.refused) }
            try zoo.begin()
            let pair = try ChildProcess(
                "java",
                ["-XX:TieredStopAtLevel=1", script("JavaHandshakes.java"), zoo.certificates.authority]
                    + [zoo.certificates.certificate, zoo.certificates.key, TestCertificates().authority])
            for asker in askers {
                let end = try asker.wait(within: .seconds(40))
                #expect(end.status == .exited(0), "\(end.errors)")
            }
            for client in clients {
                for process in client.processes { _ = try process.wait(within: .seconds(40)) }
            }

            let java = try pair.wait(within: .seconds(60))
            let asked = try askers.map { try ZooWords.of($0) }
            let heard = try ZooWords.of(sink)
            let spoken = try jsonLines(java.output, as: ZooJava.self)
            let expected = 2 * (asked.joined().count + heard.count + spoken.count)
            let ports = Set(servers.map(\.port) + [sinkPort] + spoken.map(\.port))
            func isOurs(_ row: SessionRow) -> Bool {
                [row.local, row.remote].contains { address in
                    address?.split(separator: ":").last.flatMap { Int($0) }.map(ports.contains) ?? false
                }
            }
            let all = try capture.finish(expecting: expected, within: .seconds(20)) { isOurs($0) }
            expectSane(all.filter { $0.observedBy == "library" })
            #expect(all.count == expected)
            #expect(expected > 2_000 && Set(all.map(\.stack)).count >= 8)
            let rows = Dictionary(grouping: all) { row in
                "\((row.isClient ? row.local : row.remote) ?? "-") \((row.isClient ? row.remote : row.local) ?? "-")"
            }

            for ((server, family), (asker, words)) in zip(zip(servers, families), zip(askers, asked)) {
                #expect(words.count == Self.completed + Self.refused)
                #expect(
                    words.prefix(Self.completed).allSatisfy { $0.outcome == "completed" }, "\(server.name): \(words)")
                for said in words {
                    let (own, peer) = ends(said, rows)
                    let text = Comment(rawValue: "\(server.name): \(own) \(peer) for \(said)")
                    #expect(own.count == 1 && peer.count == 1, text)
                    guard let own = own.first, let peer = peer.first else { continue }
                    let isLeft = !server.readsLast && own.outcome == "abandoned" && said.outcome == "failed"
                    if !isLeft { expectFacts(own, said, server.stack, server.name) }
                    expectFacts(peer, said, "openssl", server.name)
                    #expect(own.pid.map(family.contains) == true && peer.pid == Int(asker.pid), text)
                    #expect(own.cipher == peer.cipher, text)
                    if said.outcome == "completed" {
                        #expect(
                            own.group == (server.tellsGroup ? peer.group : nil)
                                && own.sni == (server.tellsName ? said.name : nil), text)
                    } else if !isLeft {
                        #expect([own.alertDirection, peer.alertDirection] == ["received", "sent"], text)
                        #expect([own.reason, peer.reason] == ["unknown_ca", "unknown_ca"], text)
                    }
                }
            }

            let pids = clients.map { Set($0.processes.map { Int($0.pid) }) }
            for (client, pids) in zip(clients, pids) {
                let own = all.filter { $0.isClient && $0.pid.map(pids.contains) == true }
                #expect(own.count { $0.isCompleted } == client.count, "\(client.name): \(own)")
            }
            for said in heard {
                let (peer, own) = ends(said, rows)
                let text = Comment(rawValue: "\(own) \(peer) for \(said)")
                #expect(own.count == 1 && peer.count == 1, text)
                guard let own = own.first, let peer = peer.first else { continue }
                let client = zip(clients, pids).first { own.pid.map($0.1.contains) == true }?.0
                expectFacts(peer, said, "openssl", client?.name ?? "-")
                // A client that refuses by TLS 1.3 has its own part behind it, or not.
                if said.outcome == "completed" { expectFacts(own, said, client?.stack ?? "-", client?.name ?? "-") }
                #expect(own.stack == client?.stack && own.sni == peer.sni && peer.pid == Int(sink.pid), text)
            }
            for said in spoken {
                let found = rows["127.0.0.1:\(said.local) 127.0.0.1:\(said.port)"] ?? []
                #expect(found.count == 2 && found.allSatisfy { $0.stack == "wire" && $0.comm == "java" }, "\(found)")
                #expect(found.first(where: \.isClient)?.outcome == said.client.outcome, "\(found)")
                #expect(found.first(where: \.isServer)?.outcome == said.server.outcome, "\(found)")
            }
        }

        /// What JavaHandshakes.java says of a connection.
        private struct ZooJava: Decodable {
            struct Side: Decodable { var outcome: String }
            var port: Int
            var local: Int
            var client: Side
            var server: Side
        }
    }
}
