import Foundation
import HandshakeProbe
import Handshakes
import Testing

@testable import tlswatch

/// docs/sessions.md and docs/sessions.schema.json list the fields that are written, and no others. `make docs` writes them
/// anew.
@Suite("Sessions as documented") struct SessionsDocumentTests {
    private static let rewrites = ProcessInfo.processInfo.environment["TLSWATCH_WRITE_DOCS"] == "1"

    @Test(
        "The documents are the table's",
        arguments: [
            ("docs/sessions.md", SessionDocuments.document), ("docs/sessions.schema.json", SessionDocuments.schema),
        ] as [(String, @Sendable (String) -> String?)])
    func documents(_ path: String, _ write: @Sendable (String) -> String?) throws {
        let wanted = try #require(write(SettingDocuments.text(path)))
        if Self.rewrites {
            try wanted.write(to: SettingDocuments.root.appending(path: path), atomically: true, encoding: .utf8)
        }
        #expect(try SettingDocuments.text(path) == wanted, "\(path) is not what the table has: `make docs`")
    }

    private func bare() -> Handshake {
        Handshake(
            wallTime: 1_767_323_045_678_901_234, start: 1, end: 11, pid: 7, tid: 8, comm: "nginx", stack: "openssl",
            library: "/libssl.so.3", role: .server, outcome: .completed, duration: 10, calls: 2)
    }

    /// One with every fact, whatever can occur together.
    private func full() -> Handshake {
        var handshake = bare()
        handshake.thread = "worker"
        handshake.exe = "/usr/sbin/nginx"
        handshake.container = "0123456789ab"
        handshake.unit = "nginx.service"
        handshake.pod = "0b54a9e4-1cf6-4a1b-8f6e-aa00bb11cc22"
        handshake.libraryVersion = "3.0.19"
        handshake.reason = "unknown_ca"
        handshake.alert = 48
        handshake.alertDirection = .sent
        handshake.libraryReason = "certificate_verify_failed"
        handshake.endConfidence = .exact
        handshake.alpnOffered = ["h2", "http/1.1"]
        handshake.parts = HandshakeParts(of: 10, cpu: 3, runqueue: 1, unread: 2)
        handshake.cause = .peer
        handshake.rtt = 410_000
        handshake.retransmits = 0
        handshake.tlsVersion = "TLSv1.3"
        handshake.cipher = "TLS_AES_256_GCM_SHA384"
        handshake.group = "x25519"
        handshake.alpn = "h2"
        handshake.sni = "a.example"
        handshake.resumed = false
        handshake.earlyData = .accepted
        handshake.helloRetryRequest = false
        handshake.clientCertificateRequested = true
        handshake.clientCertificateGiven = true
        handshake.transport = .quic
        handshake.tcpConnect = 1
        handshake.firstRecordDelay = 2
        handshake.keyExchange = 3
        handshake.keyExchangeCompute = 1
        handshake.keyExchangeSucceeded = true
        handshake.alpnNegotiation = 2
        handshake.finished = 9
        handshake.local = "[::1]:443"
        handshake.remote = "[::1]:51514"
        return handshake
    }

    /// One of which as little is known as can be: seen by the wire alone, of a process that sent nothing.
    private func least() -> Handshake {
        var handshake = Handshake(
            wallTime: 1, start: 1, end: 11, pid: 0, tid: 0, comm: "", stack: "wire", library: "", role: .server,
            outcome: .abandoned, duration: 10, calls: 0)
        handshake.observedBy = .wire
        return handshake
    }

    private func keys(_ handshake: Handshake) -> [String] {
        var bytes: [UInt8] = []
        JSONLine.append(handshake, to: &bytes)
        // No text in these has a quote.
        return String(decoding: bytes, as: UTF8.self).matches(of: /[{,]"([a-z_]+)":/).map { String($0.output.1) }
    }

    private func rows() throws -> [(key: String, isAlwaysThere: Bool)] {
        let text = try SettingDocuments.text("docs/sessions.md")
        let begin = try #require(text.range(of: SessionDocuments.begin)).upperBound
        let end = try #require(text.range(of: SessionDocuments.end)).lowerBound
        return text[begin..<end].split(separator: "\n").filter { $0.hasPrefix("| `") }.map { line in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            return (cells[0].replacing("`", with: ""), cells.last == "never")
        }
    }

    /// As far as a stack's parts of the time are known.
    private func timed(_ parts: HandshakeParts, observedBy observer: Observer = .library) -> Handshake {
        var handshake = bare()
        handshake.observedBy = observer
        handshake.parts = parts
        return handshake
    }

    @Test("What the schema requires of a field's company, sessions of every kind have")
    func fieldsHaveTheirCompany() throws {
        let text = try SettingDocuments.text("docs/sessions.schema.json")
        let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let always = try #require(schema["dependentRequired"] as? [String: [String]])
        let rules = try #require(schema["allOf"] as? [[String: Any]])
        let conditional = rules.compactMap { rule in
            (rule["then"] as? [String: Any])?["dependentRequired"] as? [String: [String]]
        }
        let ofLibraries = try #require(conditional.first)
        let samples: [(name: String, handshake: Handshake, rules: [[String: [String]]])] = [
            ("all", full(), [always, ofLibraries]), ("none", bare(), [always, ofLibraries]),
            ("packets, no process", least(), [always]),
            ("packets", timed(HandshakeParts(peer: 4, of: 10), observedBy: .wire), [always]),
            ("Go", timed(HandshakeParts(of: 10, busy: 3, unread: 2)), [always, ofLibraries]),
            ("no socket", timed(HandshakeParts(of: 10, cpu: 3, runqueue: 1, unread: nil)), [always, ofLibraries]),
            ("no run queue", timed(HandshakeParts(of: 10, cpu: 3, runqueue: nil, unread: nil)), [always, ofLibraries]),
        ]
        for (name, handshake, rules) in samples {
            let keys = Set(keys(handshake))
            for (field, company) in rules.joined() where keys.contains(field) {
                #expect(keys.isSuperset(of: company), "\(name): \(field) without some of \(company)")
            }
        }
    }

    @Test("The example of this test leaves no fact out")
    func theExampleLeavesNoFactOut() {
        for child in Mirror(reflecting: full()).children {
            #expect("\(child.value)" != "nil", "\(child.label ?? "")")
        }
    }

    @Test("A line is the same to the byte whatever made it")
    func line() {
        var handshake = full()
        handshake.comm = "a\"b\\c\n\u{7f}é"
        var bytes: [UInt8] = []
        JSONLine.append(handshake, to: &bytes)
        JSONLine.append(bare(), to: &bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 3 && lines[2].isEmpty)
        let full =
            #"{"time":"2026-01-02T03:04:05.678901234Z","pid":7,"tid":8,"comm":"a\"b\\c\u000a\u007fé","thread":"worker","#
            + #""exe":"/usr/sbin/nginx","container":"0123456789ab","unit":"nginx.service","#
            + #""pod":"0b54a9e4-1cf6-4a1b-8f6e-aa00bb11cc22","stack":"openssl","observed_by":"library","#
            + #""library":"/libssl.so.3","library_version":"3.0.19","role":"server","outcome":"completed","reason":"unknown_ca","alert":48,"#
            + #""alert_direction":"sent","library_reason":"certificate_verify_failed","end_confidence":"exact","duration_ns":10,"busy_ns":4,"#
            + #""wait_ns":6,"calls":2,"cpu_ns":3,"runqueue_ns":1,"unread_ns":2,"peer_ns":4,"cause":"peer","rtt_ns":410000,"#
            + #""retransmits":0,"tls_version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","group":"x25519","#
            + #""alpn":"h2","alpn_offered":"h2,http/1.1","sni":"a.example","resumed":false,"early_data":"accepted","hello_retry_request":false,"#
            + #""client_certificate_requested":true,"client_certificate_given":true,"transport":"quic","#
            + #""tcp_connect_ns":1,"first_record_delay_ns":2,"key_exchange_ns":3,"key_exchange_compute_ns":1,"#
            + #""alpn_negotiation_ns":2,"finished_ns":9,"alpn_share":0.2,"local":"[::1]:443","remote":"[::1]:51514","#
            + #""socket_confidence":"unknown"}"#
        #expect(lines[0] == full)
        let bare =
            #"{"time":"2026-01-02T03:04:05.678901234Z","pid":7,"tid":8,"comm":"nginx","stack":"openssl","#
            + #""observed_by":"library","library":"/libssl.so.3","role":"server","outcome":"completed","duration_ns":10,"#
            + #""calls":2,"socket_confidence":"unknown"}"#
        #expect(lines[1] == bare)
    }

    @Test("The document lists every field in the order in which they are written, and says which are always there")
    func theDocumentListsEveryField() throws {
        let rows = try rows()
        #expect(rows.map(\.key) == keys(full()))
        #expect(rows.filter(\.isAlwaysThere).map(\.key) == keys(least()))
    }

    @Test("The schema has the same fields, each with a description, and requires those that are always there")
    func theSchemaListsEveryField() throws {
        let text = try SettingDocuments.text("docs/sessions.schema.json")
        let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let properties = try #require(schema["properties"] as? [String: [String: Any]])
        #expect(Set(properties.keys) == Set(keys(full())))
        #expect(schema["required"] as? [String] == keys(least()))
        #expect(schema["additionalProperties"] as? Bool == false)
        for (key, property) in properties {
            #expect((property["description"] as? String)?.isEmpty == false, "\(key)")
            #expect(property["type"] != nil || property["enum"] != nil, "\(key)")
        }
        for (key, values) in [
            ("role", Role.allCases.map(\.rawValue)), ("outcome", Outcome.allCases.map(\.rawValue)),
            ("cause", HandshakeCause.allCases.map(\.rawValue)),
            ("socket_confidence", [SocketConfidence.exact, .inferred, .unknown].map(\.rawValue)),
        ] { #expect(properties[key]?["enum"] as? [String] == values, "\(key)") }
    }
}
