import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// The ways in which OpenSSL's handshakes are made to fail (FailureTests, the scenarios of handshaker), of the other stacks, as far
    /// as the suites of each do not have them.
    @Suite("Handshakes of every stack that fail") struct StackFailureTests {
        private typealias Stack = StackPrograms.Stack

        private func told(_ row: SessionRow) -> String {
            [
                row.outcome, row.reason, row.alert.map { "\($0)" }, row.alertDirection, row.libraryReason,
            ].map { $0 ?? "-" }.joined(separator: " ")
        }

        /// By peer and stack: what is to be told, and what the program itself says of it.
        private static let clients: [(peer: String, expected: [(told: String, words: String)])] = [
            (
                "expired",
                [
                    ("failed bad_certificate 42 sent certificate_error", "uses expired certificate"),
                    ("failed certificate_expired 45 sent -", "SEC_ERROR_EXPIRED_CERTIFICATE"),
                    ("failed certificate_expired 45 sent asn_after_date", "sent=45"),
                    ("failed certificate_expired 45 sent x509_cert_verify_failed", "-9984 "),
                    ("failed protocol_error - - cert_expired", "S2N_ERR_CERT_EXPIRED"),
                ]
            ),
            (
                "another name",
                [
                    ("failed bad_certificate 42 sent certificate_error", "does not match the expected"),
                    ("failed bad_certificate 42 sent -", "SSL_ERROR_BAD_CERT_DOMAIN"),
                    ("failed bad_certificate 42 sent domain_name_mismatch", "sent=42"),
                    ("failed bad_certificate 42 sent x509_cert_verify_failed", "-9984 "),
                    ("failed protocol_error - - cert_invalid_hostname", "S2N_ERR_CERT_INVALID_HOSTNAME"),
                ]
            ),
            (
                "another group",
                [
                    ("failed handshake_failure 40 received -", "Received alert [40]"),
                    ("failed handshake_failure 40 received -", "SSL_ERROR_NO_CYPHER_OVERLAP"),
                    ("failed handshake_failure 40 received -", "received=40"),
                    ("failed handshake_failure 40 received -", "-30592 "),
                    ("failed handshake_failure 40 received -", "\"alert\": 40"),
                ]
            ),
            (
                "another version",
                [
                    ("failed protocol_version 70 received -", "Received alert [70]"),
                    ("failed protocol_version 70 received -", "SSL_ERROR_PROTOCOL_VERSION_ALERT"),
                    ("failed protocol_version 70 received -", "received=70"),
                    ("failed protocol_version 70 received -", "-30592 "),
                    ("failed protocol_version 70 received -", "\"alert\": 70"),
                ]
            ),
            (
                "close",
                [
                    ("failed peer_closed - - -", "was non-properly terminated"),
                    ("failed peer_closed - - -", "PR_END_OF_FILE_ERROR"), ("failed peer_closed - - -", "error=-308"),
                    ("failed peer_closed - - conn_eof", "-29312 "), ("failed peer_closed - - -", "S2N_ERR_CLOSED"),
                ]
            ),
            (
                "reset",
                [
                    ("failed connection_reset - - -", "Error in the pull function"),
                    // Between two of its calls, of which the second returns what it returns where it has to wait.
                    ("failed connection_reset - - -", "PR_CONNECT_RESET_ERROR"),
                    ("failed connection_reset - - -", "error=-308"),
                    ("failed connection_reset - - net_conn_reset", "-80 "),
                    ("failed connection_reset - - -", "S2N_ERR_IO"),
                ]
            ),
            (
                "http",
                [
                    ("failed unexpected_message 10 sent unexpected_packet", "An unexpected TLS packet was received"),
                    ("failed record_overflow 22 sent -", "SSL_ERROR_RX_RECORD_TOO_LONG"),
                    ("failed record_overflow 22 sent length_error", "sent=22"),
                    ("failed invalid_record - - -", "-29184 "),
                    // It takes it for the beginning of a long record.
                    ("failed peer_closed - - -", "S2N_ERR_CLOSED"),
                ]
            ),
        ]

        @Test("Clients: certificates, groups and versions that do not do, servers that close, reset, or have no TLS")
        func clients() throws {
            let certificates = try TestCertificates()
            let programs = try StackPrograms(certificates)
            let own = ["-cert", certificates.certificate, "-key", certificates.key]
            let openSSL: [String: OpenSSLServer] = [
                "expired": try OpenSSLServer(
                    nil, ["-www"] + certificates.other("expired", names: "DNS:a.example", days: -1)),
                "another name": try OpenSSLServer(nil, ["-www"] + certificates.other("other", names: "DNS:b.example")),
                // None of them has a curve of this kind.
                "another group": try OpenSSLServer(nil, own + ["-www", "-tls1_2", "-groups", "sect571r1"]),
                "another version": try OpenSSLServer(nil, own + ["-www", "-tls1_3"]),
            ]
            let capture = try Capture(programs.libraries.flatMap { ["--library", $0] })
            var ends: [(stack: Stack, peer: String, expected: (told: String, words: String), end: Finished)] = []
            for (peer, expected) in Self.clients {
                let odd = try openSSL[peer] == nil ? ChildProcess("python3", [script("odd_server.py"), peer]) : nil
                let port = try openSSL[peer]?.port ?? odd?.announcedPort() ?? 0
                for (stack, expected) in zip(Stack.allCases, expected) {
                    let client = try programs.client(stack, port: port, isOld: peer == "another version")
                    ends.append((stack, peer, expected, try client.wait()))
                }
                odd?.stop(SIGTERM)
            }
            let pids = Set(ends.map { Int($0.end.pid) })
            let all = try capture.finish(expecting: ends.count) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == ends.count)
            for (stack, peer, expected, end) in ends {
                let row = all.first { $0.pid == Int(end.pid) }
                let text = Comment(rawValue: "\(stack), \(peer): \(row as Any) for \(end.output) \(end.errors)")
                #expect((end.output + end.errors).contains(expected.words), text)
                #expect(row?.isClient == true && row?.stack == stack.rawValue, text)
                #expect(row.map(told) == expected.told, text)
                #expect(row?.cipher == nil && row?.alpn == nil && row?.resumed == nil, text)
                #expect(row?.socketConfidence == "exact", text)
            }
        }

        /// Against openssl's client that has another group alone, a page asked for without TLS, a reset behind the hello, a close.
        private static let servers: [[String]] = [
            [
                "failed handshake_failure 40 sent no_cipher_suites",
                "failed unexpected_message 10 sent unexpected_packet",
                "failed connection_reset - - -", "failed peer_closed - - -",
            ],
            [
                "failed handshake_failure 40 sent -", "failed peer_closed - - -", "failed connection_reset - - -",
                "failed peer_closed - - -",
            ],
            [
                // It goes on with a group that it was not offered.
                "failed illegal_parameter 47 received -", "failed parse_error - - -", "failed connection_reset - - -",
                "failed peer_closed - - -",
            ],
            [
                "failed handshake_failure 40 sent no_usable_ciphersuite", "failed bad_hs_client_hello - - -",
                "failed connection_reset - - net_conn_reset", "failed peer_closed - - conn_eof",
            ],
            [
                "failed protocol_error - - cipher_not_supported", "failed peer_closed - - -",
                "failed connection_reset - - -", "failed peer_closed - - -",
            ],
        ]

        @Test("Servers: a client with another group, one that asks without TLS, one that resets, one that closes")
        func servers() throws {
            let programs = try StackPrograms(try TestCertificates())
            let servers = try Stack.allCases.map { try programs.server($0, connections: 4) }
            let capture = try Capture(programs.libraries.flatMap { ["--library", $0] })
            for (stack, server) in zip(Stack.allCases, servers) {
                let group = try ChildProcess.run(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2", "-groups", "sect571r1",
                        "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384",
                    ])
                // s2n closes without a word.
                let words =
                    switch stack {
                    case .wolfssl: "wrong curve"
                    case .s2n: ""
                    default: "alert number 40"
                    }
                #expect(words.isEmpty || group.errors.contains(words), "\(stack): \(group.errors)")
                for how in ["http", "reset", "close"] {
                    let done = try ChildProcess.run("python3", [script("odd_client.py"), "\(server.port)", how])
                    try #require(done.output.contains("done"), "\(stack), \(how): \(done.errors)")
                }
            }
            let pids = Set(servers.map { Int($0.child.pid) })
            let all = try capture.finish(expecting: 20) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            for ((stack, server), expected) in zip(zip(Stack.allCases, servers), Self.servers) {
                let own = all.of(server.child.pid)
                var either = expected
                // Behind a failed write s2n looks for an alert, and may find the end.
                if stack == .s2n { either[2] = "failed peer_closed - - -" }
                #expect([expected, either].contains(own.map(told)), "\(stack): \(own)")
                #expect(own.allSatisfy { $0.isServer && $0.stack == stack.rawValue && $0.cipher == nil }, "\(own)")
            }
        }

        @Test("Ends of every stack whose peer says nothing more are timeouts, once")
        func timeouts() throws {
            let programs = try StackPrograms(try TestCertificates())
            let servers = try Stack.allCases.map { try programs.server($0, connections: 1) }
            let silent = try ChildProcess("python3", [script("odd_server.py"), "silent"])
            let port = try silent.announcedPort()
            let capture = try Capture(
                ["--handshake-timeout", "1s"] + programs.libraries.flatMap { ["--library", $0] })
            let clients = try Stack.allCases.map { try programs.client($0, port: port) }
            let peers = try servers.map {
                try ChildProcess("python3", [script("odd_client.py"), "\($0.port)", "hello"])
            }
            let pids = Set((clients + servers.map(\.child)).map { Int($0.pid) })
            try capture.await(10) { pids.contains($0.pid ?? -1) }
            // What comes of it later is no second session.
            for child in peers + clients { child.stop(SIGKILL) }
            let all = try capture.stop().filter { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == 10 && all.allSatisfy { $0.outcome == "timeout" && $0.reason == nil }, "\(all)")
            for stack in Stack.allCases {
                let own = all.filter { $0.stack == stack.rawValue }
                #expect(Set(own.map(\.role)) == ["client", "server"], "\(stack): \(own)")
                #expect(own.allSatisfy { $0.duration ?? 0 >= 1_000_000_000 }, "\(own)")
                #expect(own.allSatisfy { $0.socketConfidence == "exact" }, "\(own)")
            }
        }
    }
}
