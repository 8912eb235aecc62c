import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Figures against clocks that are not ours: each test prints the two side by side.
    @Suite("Figures against other clocks") struct WitnessTests {
        @Test("A server's duration is what haproxy's own log says of the handshake")
        func haproxyLog() throws {
            let certificates = try TestCertificates()
            let haproxy = try Haproxy(certificates)
            let capture = try Capture()
            let count = 30
            _ = try Curl.get(count: count, port: haproxy.port, authority: certificates.authority)
            let rows = try capture.finish(expecting: count) { $0.pid == Int(haproxy.child.pid) }
            try #require(rows.count == count)
            let complete = eventually { haproxy.handshakeMilliseconds.count >= count }
            try #require(complete)
            let logged = haproxy.handshakeMilliseconds
            var differences: [Double] = []
            for row in rows {
                let figure = try #require(SessionRow.port(row.remote).flatMap { logged[$0] }, "\(row)")
                differences.append(Double(figure) - Double(row.duration ?? 0) / 1e6)
            }
            let middle = try #require(median(differences))
            print(
                "haproxy %Th - server duration, ms: median \(middle), \(differences.min() ?? 0) to \(differences.max() ?? 0)"
            )
            // Whole milliseconds of a clock that haproxy reads once a round of its loop.
            #expect(abs(middle) <= 2, "\(differences)")
        }

        /// Seconds by what the packet is, of one connection.
        private struct Packets {
            var syn: Double?
            var synAck: Double?
            var clientHello: Double?
            var serverHello: Double?
            /// The client's last packet of the handshake: the first application data that it sends (TLS 1.3).
            var finished: Double?
        }

        private func packets(_ lines: [String], port: Int) -> [Int: Packets] {
            lines.reduce(into: [:]) { connections, line in
                let fields = line.components(separatedBy: "\t")
                guard fields.count >= 6, let time = Double(fields[0]), let from = Int(fields[1]),
                    let to = Int(fields[2])
                else { return }
                let client = from == port ? to : from
                var packets = connections[client] ?? Packets()
                let types = fields[4].split(separator: ",")
                switch (fields[3], from == port) {
                case ("0x0002", false): packets.syn = packets.syn ?? time
                case ("0x0012", true): packets.synAck = packets.synAck ?? time
                default: break
                }
                if types.contains("1"), from != port { packets.clientHello = packets.clientHello ?? time }
                if types.contains("2"), from == port { packets.serverHello = packets.serverHello ?? time }
                if fields[5].contains("23"), from != port { packets.finished = packets.finished ?? time }
                connections[client] = packets
            }
        }

        @Test("TCP connect, first record and the handshake's span are what tshark sees on the wire")
        func timesAreThoseOnTheWire() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let directory = try TemporaryDirectory()
            let file = directory.file("packets.pcapng")
            let sniffer = try ChildProcess(
                "tshark", ["-i", "lo", "-f", "tcp port \(nginx.port)", "-w", file, "-q", "--no-promiscuous-mode"])
            try sniffer.waitForLine(in: sniffer.errors) { $0.contains("Capturing on") }
            let capture = try Capture()
            let count = 20
            // Until its filter is in place tshark sees nothing: the first connections show that it does.
            try #require(
                try eventually {
                    _ = try Curl.get(port: nginx.port, authority: certificates.authority)
                    return ((try? FileManager.default.attributesOfItem(atPath: file)[.size]) as? Int ?? 0) > 2000
                })
            let curls = try Curl.get(count: count, port: nginx.port, authority: certificates.authority)
            let ports = Set(curls.compactMap { SessionRow.port($0.local) })
            let rows = try capture.finish(expecting: 2 * count) {
                ports.contains(SessionRow.port($0.isClient ? $0.local : $0.remote) ?? 0)
            }
            sniffer.stop(SIGINT)
            let read = try ChildProcess.run(
                "tshark",
                [
                    "-r", file, "-d", "tcp.port==\(nginx.port),tls", "-T", "fields", "-e", "frame.time_epoch",
                    "-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "tcp.flags", "-e", "tls.handshake.type",
                    "-e", "tls.record.opaque_type",
                ])
            let seen = packets(read.output.components(separatedBy: "\n"), port: nginx.port)
            var connect: [Double] = []
            var first: [Double] = []
            var span: [Double] = []
            for row in rows where row.isClient {
                guard let client = SessionRow.port(row.local), let packets = seen[client], let syn = packets.syn,
                    let synAck = packets.synAck, let hello = packets.clientHello, let finished = packets.finished
                else { continue }
                connect.append(Double(row.tcpConnect ?? 0) / 1e3 - (synAck - syn) * 1e6)
                first.append(Double(row.firstRecordDelay ?? 0) / 1e3 - (hello - synAck) * 1e6)
                span.append(Double(row.duration ?? 0) / 1e3 - (finished - hello) * 1e6)
            }
            try #require(connect.count >= count / 2, "\(connect.count) connections of \(count) were seen whole")
            for (name, differences) in [("tcp_connect", connect), ("first_record_delay", first), ("duration", span)] {
                let middle = try #require(median(differences))
                print(
                    "client \(name) - packets, us: median \(middle), \(differences.min() ?? 0) to \(differences.max() ?? 0)"
                )
                // What lies between the library and the wire: system calls, and making the ClientHello.
                #expect(middle >= -300, "\(name): \(differences)")
                #expect(middle <= 1000, "\(name): \(differences)")
            }
        }

    }
}
