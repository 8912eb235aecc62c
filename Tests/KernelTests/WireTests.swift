import CEvents
import Foundation
import Handshakes
import Kernel
import TestSupport
import Testing

@testable import HandshakeProbe

extension KernelTests {
    @Suite("The wire", .serialized) struct WireKernelTests {
        /// What wire_connections.py says of a connection.
        private struct Connection: Decodable {
            struct Side: Decodable {
                var outcome: String
                var version: String?
                var cipher: String?
                var error: String?
            }
            var name: String
            var port: Int
            var client: Side
            var server: Side
        }

        private func isOn(_ port: Int) -> (Handshake) -> Bool {
            { handshake in
                let end = handshake.role == .server ? handshake.local : handshake.remote
                return end?.hasSuffix(":\(port)") == true
            }
        }

        /// Whether an outcome, as the wire tells it, is what the program says of its own side.
        private func expected(_ connection: Connection, _ role: Role) -> (outcome: Outcome, reason: String?)? {
            switch (connection.name, role) {
            case ("unknown-authority", _): (.failed, "unknown_ca")
            case ("no-shared-version", _): (.failed, "protocol_version")
            case ("not-tls", _): (.failed, "not_tls")
            case ("closed", .client): (.abandoned, "peer_closed")
            case ("closed", .server): (.abandoned, "closed")
            // No ClientHello, or none among the first segments.
            case ("plain", _), ("after-long-talk", _): nil
            default: (.completed, nil)
            }
        }

        @Test("Every handshake is seen once at each end, whatever comes before it, with its owner, facts and outcome")
        func connections() throws {
            let certificates = try TestCertificates()
            let observer = try WireObserver()
            let program = try ChildProcess(
                "python3",
                [script("wire_connections.py"), certificates.authority, certificates.certificate, certificates.key])
            let said = try jsonLines(program.wait().output, as: Connection.self)
            #expect(said.count == 20)
            let all = observer.finish(expecting: 2 * (said.count - 2)) { $0.pid == UInt32(program.pid) }
            // Of what is no handshake of these, nobody may be told to be the owner.
            let others = observer.handshakes.filter { row in
                row.pid != UInt32(program.pid) && said.contains { isOn($0.port)(row) }
            }
            #expect(others.isEmpty)
            for connection in said {
                for role in Role.allCases {
                    let found = all.filter { $0.role == role && isOn(connection.port)($0) }
                    guard let wanted = expected(connection, role) else {
                        #expect(found.isEmpty, "\(connection.name)")
                        continue
                    }
                    #expect(found.count == 1, "\(connection.name) \(role)")
                    guard let row = found.first else { continue }
                    #expect(row.outcome == wanted.outcome, "\(connection.name) \(role)")
                    #expect(row.reason == wanted.reason, "\(connection.name) \(role)")
                    #expect(row.stack == "wire" && row.observedBy == .wire && row.comm.hasPrefix("python3"))
                    #expect(row.endConfidence == .exact, "\(connection.name) \(role)")
                    #expect(row.socketConfidence == .exact)
                    #expect(row.duration > 0 && row.duration < 20_000_000_000)
                    let side = role == .client ? connection.client : connection.server
                    #expect(
                        (side.outcome == "completed") == (row.outcome == .completed) || connection.name == "not-tls"
                            || connection.name == "closed")
                    guard row.outcome == .completed else { continue }
                    #expect(row.tlsVersion == side.version, "\(connection.name) \(role)")
                    #expect(row.sni == "a.example", "\(connection.name) \(role)")
                    #expect(row.alpnOffered == ["http/1.1"])
                    #expect(row.alpn == (side.version == "TLSv1.2" ? "http/1.1" : nil))
                    #expect(row.group == "x25519", "\(connection.name) \(role)")
                    #expect(row.resumed == false)
                    #expect(row.clientCertificateRequested == false)
                    #expect(row.parts.busy == nil && row.parts.unread == nil && row.calls == 0)
                    #expect((row.rtt ?? 0) > 0 && row.retransmits == 0)
                    if side.version == "TLSv1.3" { #expect(row.cipher == side.cipher) }
                }
            }
            // Conservation, with the new program among the others.
            for program in KernelProgram.allCases {
                let counter = try #require(program.counters(among: observer.engine.counters()))
                let dropped = KernelDrop.allCases.reduce(UInt64(0)) { $0 + counter[$1.number] }
                #expect(counter.hits == counter.submitted + dropped, "\(program)")
            }
        }

        /// What wire_lossy_link.py says.
        private struct Link: Decodable {
            var server: Int
            var client: Int
            var carried: Int
            var changed: Int
            var done: [String]?
            var error: String?
        }

        @Test("On a link that loses, reorders and doubles packets no handshake is missed, and none is told otherwise")
        func lossyLink() throws {
            let certificates = try TestCertificates()
            let observer = try WireObserver()
            let program = try ChildProcess(
                "python3",
                [script("wire_lossy_link.py"), certificates.certificate, certificates.key, "30", "0.04", "0.1", "0.05"])
            let link = try #require(try jsonLines(program.wait(within: .seconds(90)).output, as: Link.self).first)
            let done = try #require(link.done, "\(link.error ?? "")")
            #expect(done.count == 30)
            #expect(link.changed > 20)
            let all = observer.finish(expecting: 2 * done.count) { row in
                row.remote?.hasPrefix("10.9.0.") == true
            }
            for address in done {
                let client = all.filter { $0.role == .client && $0.local == address }
                let server = all.filter { $0.role == .server && $0.remote == address }
                // A port may have been given twice.
                let connections = done.count { $0 == address }
                #expect(client.count == connections && server.count == connections, "\(address)")
                for row in client + server {
                    #expect(row.outcome == .completed, "\(row)")
                    #expect(row.endConfidence == .exact, "\(row)")
                    #expect(row.pid == UInt32(row.role == .client ? link.client : link.server), "\(row)")
                    // A fact whose bytes were overtaken is absent, and no other.
                    #expect(row.sni == nil || row.sni == "lossy.example")
                    #expect(row.tlsVersion == nil || row.tlsVersion == "TLSv1.3")
                }
            }
            #expect(all.count == 2 * done.count)
            // Holes are there, but few.
            #expect(all.count { $0.sni != nil } > done.count)
        }

        @Test("A handshake is counted once: by the library that has its socket, or by the wire alone")
        func oncePerHandshake() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--wire", "all"])
            let server = try OpenSSLServer(certificates)
            // Botan, which no library observation covers, against OpenSSL.
            let count = 5
            var clients: Set<Int> = []
            for _ in 0..<count {
                clients.insert(Int(try Botan.connect(port: server.port).pid))
            }
            let rows = try capture.finish(expecting: 2 * count) {
                $0.pid == Int(server.child.pid) || clients.contains($0.pid ?? -1)
            }
            let wire = rows.filter { $0.observedBy == "wire" }
            #expect(Set(wire.compactMap(\.pid)) == clients)
            #expect(wire.count == count)
            #expect(
                wire.allSatisfy {
                    $0.isClient && $0.isCompleted && $0.comm == Botan.comm && $0.stack == "wire" && $0.library == nil
                        && $0.calls == nil
                })
            let servers = rows.filter { $0.pid == Int(server.child.pid) }
            #expect(servers.count == count)
            #expect(servers.allSatisfy { $0.isServer && $0.isCompleted && $0.observedBy == "library" })
            // The same connections.
            #expect(Set(wire.compactMap(\.local)) == Set(servers.compactMap(\.remote)))
            #expect(Set(wire.compactMap(\.cipher)) == Set(servers.compactMap(\.cipher)))
        }

        @Test(
            "Library and wire agree on every handshake: the same connections, process, outcome, version, cipher, and times"
        )
        func sideBySide() throws {
            let certificates = try TestCertificates()
            let observer = try WireObserver()
            let capture = try Capture()
            let server = try OpenSSLServer(certificates)
            let count = 20
            _ = try Curl.get(count: count, port: server.port, authority: certificates.authority)
            let rows = try capture.finish(expecting: 2 * count, where: belongs(toPort: server.port))
            let wire = observer.finish(expecting: 2 * count, where: isOn(server.port))
            #expect(rows.count == 2 * count)
            #expect(wire.count == 2 * count)
            var shorter = 0
            for row in rows {
                let same = wire.filter {
                    $0.role.rawValue == row.role && $0.local == row.local && $0.remote == row.remote
                }
                #expect(same.count == 1, "\(row)")
                guard let seen = same.first else { continue }
                #expect(Int(seen.pid) == row.pid)
                #expect(seen.outcome.rawValue == row.outcome)
                #expect(seen.tlsVersion == row.tlsVersion)
                #expect(seen.cipher == row.cipher)
                #expect(seen.group == row.group)
                #expect(seen.resumed == row.resumed)
                #expect(seen.sni == row.sni)
                if row.isClient, Int(seen.duration) < row.duration ?? 0 { shorter += 1 }
            }
            // A client's library begins before its ClientHello leaves, and ends after its Finished has left.
            #expect(shorter == count)
        }

        @Test("With a command only its own handshakes are told, also those that packets show")
        func onlyTheCommandsOwn() throws {
            let certificates = try TestCertificates()
            let server = try OpenSSLServer(certificates)
            let result = try ChildProcess.run(
                Tlswatch.binary(),
                ["capture", "--format", "json", "--wire", "all", "--", "sh", "-c", "\"$@\" >&2; \"$@\" >&2", "sh"]
                    + Botan.command(port: server.port))
            #expect(result.status == .exited(0), "\(result.errors)")
            let rows = try SessionRow.parse(result.output.split(separator: "\n").map(String.init))
            // Neither the server's, nor its own without an owner.
            #expect(rows.count == 2, "\(result.output)")
            #expect(
                rows.allSatisfy { $0.comm == Botan.comm && $0.isClient && $0.isCompleted && $0.observedBy == "wire" })
        }

        /// Programs on packets at work on the root control group.
        private func attached() throws -> Int {
            let root = try #require(ControlGroups.root())
            return try #require(ControlGroups.programs(at: root))
        }

        @Test("With --wire off nothing is attached to packets, with all two programs are, and they go with the process")
        func attachments() throws {
            let before = try attached()
            let without = try Capture()
            #expect(try attached() == before)
            _ = try without.stop()
            let with = try Capture(["--wire", "all"])
            #expect(try attached() == before + 2)
            with.child.signal(SIGKILL)
            #expect(eventually { with.child.status != nil })
            #expect(try eventually { try attached() == before })
        }

        @Test("Without CAP_NET_ADMIN --wire is refused in one line that names it, and everything else works")
        func privilege() throws {
            let wrapper = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
            let refused = try ChildProcess.run(
                wrapper[0],
                Array(wrapper.dropFirst()) + [Tlswatch.binary(), "capture", "--wire", "all", "--duration", "100ms"])
            #expect(refused.status == .exited(77))
            #expect(refused.errors.contains("CAP_NET_ADMIN"), "\(refused.errors)")
            let usual = try ChildProcess.run(
                wrapper[0], Array(wrapper.dropFirst()) + [Tlswatch.binary(), "capture", "--duration", "100ms"])
            #expect(usual.status == .exited(0), "\(usual.errors)")
        }

        @Test(
            "unobserved looks at the control groups of programs without an observed library, and at no others' packets, whatever their load"
        )
        func unobservedGroups() throws {
            let certificates = try TestCertificates()
            let server = try OpenSSLServer(certificates)
            let root = try #require(ControlGroups.root())
            let group = root + "/tlswatch-test-\(getpid())"
            try FileManager.default.createDirectory(atPath: group, withIntermediateDirectories: false)
            let daemon = try Daemon(["--wire", "unobserved"])
            #expect(try daemon.metrics().sum("tlswatch_wire_cgroups") == 0)
            // A port of TLS in a network of its own; no library is mapped.
            let holder = """
                import socket, sys, time
                server = socket.create_server(("127.0.0.1", 443))
                print("holding", flush=True)
                time.sleep(120)
                """
            let program = try ChildProcess(
                "sh",
                [
                    "-c",
                    "echo $$ > \(group)/cgroup.procs && exec unshare -n sh -c 'ip link set lo up && exec python3 -c \"$0\"' \"$0\"",
                    holder,
                ])
            try program.waitForLine(in: program.output) { $0 == "holding" }
            #expect(try eventually { try daemon.metrics().sum("tlswatch_wire_cgroups") == 1 }, "\(program.situation)")
            #expect(ControlGroups.programs(at: group) == (try attached()) + 2)
            // The rest of the host, meanwhile: its packets come past none of the programs.
            let outside = try attached()
            _ = try Curl.get(count: 50, port: server.port, authority: certificates.authority)
            #expect(try attached() == outside)
            let counted = "tlswatch_handshakes_total"
            #expect(try eventually { try daemon.metrics().sum(counted, ["outcome": "completed"]) >= 100 })
            #expect(try daemon.metrics().sum("tlswatch_wire_packets_total") == 0)
            program.stop(SIGTERM)
            #expect(try eventually { try daemon.metrics().sum("tlswatch_wire_cgroups") == 0 })
            _ = eventually { unsafe rmdir(group) == 0 }
        }
    }
}
