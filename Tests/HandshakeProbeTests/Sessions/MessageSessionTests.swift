import CEvents
import Handshakes
import TestSupport
import Testing

@testable import HandshakeProbe

/// Handshakes of which a library shows its messages, and no call.
@Suite("Sessions by their messages") struct MessageSessionTests: MessageStream {
    /// A client's TLS 1.3 handshake: its ClientHello is made on an object that is not the connection's later on.
    private func client(
        _ table: inout SessionTable, _ number: UInt8, at time: UInt64, object: UInt64, thread: UInt32 = 7
    ) {
        table.messageSeen(record(time, .messageSent, Message.clientHello(number), object: 0x10, thread: thread))
        answer(&table, number, at: time + 50, object: object, thread: thread)
    }

    private func answer(
        _ table: inout SessionTable, _ number: UInt8, at time: UInt64, object: UInt64, thread: UInt32 = 7
    ) {
        table.messageSeen(
            record(
                time, .messageReceived, Message.serverHello(), answers: number, object: object, thread: thread)
        )
        table.messageSeen(
            record(time + 20, .messageSent, [], object: object, thread: thread, envelope: Self.changeCipherSpec))
        table.messageSeen(
            record(time + 30, .messageReceived, Message.encryptedExtensions(), object: object, thread: thread))
        table.messageSeen(record(time + 40, .messageReceived, Message.finished, object: object, thread: thread))
        table.stepped(ended(time + 50, .completed, thread: thread))
    }

    @Test("A client's handshake has all that its messages show, whatever object its ClientHello was made on")
    func clientHandshake() throws {
        var table = messageTable()
        client(&table, 1, at: 100, object: 0x2000)
        let finished = table.takeFinished()
        let handshake = try #require(finished.first)
        #expect(finished.count == 1 && table.inFlight == 0)
        #expect(handshake.role == .client && handshake.outcome == .completed && handshake.stack == "rustls")
        #expect(handshake.start == 100 && handshake.duration == 100)
        #expect(handshake.sni == "a.example" && handshake.alpn == "h2" && handshake.tlsVersion == "TLSv1.3")
        #expect(handshake.group == "x25519" && handshake.cipher == "TLS_AES_128_GCM_SHA256")
        #expect(handshake.resumed == false && handshake.helloRetryRequest == false)
        #expect(handshake.keyExchange == 20 && handshake.alpnNegotiation == 80)
        #expect(handshake.clientCertificateRequested == false && handshake.clientCertificateGiven == nil)
        // No call is seen: neither how many, nor where the time went.
        #expect(handshake.calls == 0 && handshake.parts == .unknown)
    }

    @Test(
        "Clients of one process that wait at the same time are told apart by their randoms, on whatever thread they go on"
    )
    func clientsAtOnce() {
        var table = messageTable()
        for number in UInt8(1)...3 {
            table.messageSeen(
                record(UInt64(number), .messageSent, Message.clientHello(number, name: "n\(number)"), object: 0x10))
        }
        #expect(table.inFlight == 3)
        answer(&table, 3, at: 100, object: 0x3000, thread: 9)
        answer(&table, 1, at: 200, object: 0x1000, thread: 8)
        answer(&table, 2, at: 300, object: 0x2000, thread: 9)
        let finished = table.takeFinished()
        #expect(finished.map(\.sni) == ["n3", "n1", "n2"])
        #expect(finished.map(\.start) == [3, 1, 2])
        // While it is not known where states have their random, the session id tells, if it is one client's alone.
        for (number, session) in [(UInt8(5), UInt8(50)), (6, 60), (7, 60)] {
            table.messageSeen(
                record(
                    350, .messageSent, Message.clientHello(number, name: "n\(number)", session: session), object: 0x10))
        }
        for (session, object) in [(UInt8(60), UInt64(0x6000)), (50, 0x7000)] {
            table.messageSeen(record(360, .messageReceived, Message.serverHello(session: session), object: object))
            table.stepped(ended(370, .completed))
        }
        #expect(table.takeFinished().map(\.sni) == ["n5"])
        #expect(table.inFlight == 2)
        table.expire(now: 370 + 2 * Self.timeout)
        #expect(table.takeFinished().map(\.outcome) == [.timeout, .timeout])
        // A state without a random that is waited for is nobody's.
        table.messageSeen(record(400, .messageSent, Message.clientHello(4), object: 0x10))
        table.messageSeen(record(410, .messageReceived, Message.serverHello(), answers: 5, object: 0x4000))
        table.stepped(ended(420, .completed))
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
    }

    @Test("A server's handshake, with a client's certificate, or the refusal to give one", arguments: [0, 3])
    func serverHandshake(_ certificates: Int) throws {
        var table = messageTable()
        table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
        table.messageSeen(record(130, .messageSent, Message.serverHello()))
        table.messageSeen(record(140, .messageSent, [], envelope: Self.changeCipherSpec))
        let flight = Message.encryptedExtensions() + Message.certificateRequest + Message.certificate(9, isTLS13: true)
        table.messageSeen(record(150, .messageSent, flight))
        table.messageSeen(record(160, .messageReceived, Message.certificate(certificates, isTLS13: true)))
        table.messageSeen(record(170, .messageReceived, Message.finished))
        table.stepped(ended(180, .completed))
        let handshake = try #require(table.takeFinished().first)
        #expect(handshake.role == .server && handshake.keyExchange == 40 && handshake.duration == 80)
        #expect(handshake.alpn == "h2" && handshake.alpnNegotiation == nil)
        #expect(handshake.clientCertificateRequested == true)
        #expect(handshake.clientCertificateGiven == (certificates > 0))
        // What comes after the handshake is none of it.
        table.messageSeen(record(190, .messageSent, Message.framed(4, [UInt8](repeating: 0, count: 60))))
        table.messageSeen(record(200, .messageSent, [], envelope: Self.alert(0)))
        table.stepped(ended(210, .failed, object: 0x1000, error: 10))
        #expect(table.takeFinished().isEmpty && table.inFlight == 0)
    }

    @Test("A HelloRetryRequest is part of the handshake, on either side")
    func retry() {
        var table = messageTable()
        for (side, received) in [(UInt64(0x1000), true), (0x2000, false)] {
            let (mine, theirs): (HookKind, HookKind) =
                received ? (.messageReceived, .messageSent) : (.messageSent, .messageReceived)
            table.messageSeen(record(100, mine, Message.clientHello(1), object: received ? side : 0x10))
            table.messageSeen(
                record(
                    110, theirs, Message.serverHello(isRetry: true), answers: received ? nil : 1, object: side))
            table.messageSeen(record(115, .messageSent, [], object: side, envelope: Self.changeCipherSpec))
            table.messageSeen(record(120, mine, Message.clientHello(1), object: side))
            table.messageSeen(record(130, theirs, Message.serverHello(), object: side))
            table.messageSeen(record(140, theirs, Message.encryptedExtensions(nil), object: side))
            table.messageSeen(record(150, .messageReceived, Message.finished, object: side))
            table.stepped(ended(160, .completed))
        }
        let finished = table.takeFinished()
        #expect(finished.map(\.helloRetryRequest) == [true, true])
        #expect(finished.map(\.duration) == [60, 60])
        #expect(finished.allSatisfy { $0.alpn == nil && $0.alpnWasRead })
        // The ChangeCipherSpec came with the first flight: it tells nothing of the keys.
        #expect(finished.allSatisfy { $0.keyExchange == nil })
    }

    @Test("TLS 1.2: what the ServerHello and the messages behind it show; without a certificate it was resumed")
    func oldVersion() {
        var table = messageTable()
        table.messageSeen(record(100, .messageSent, Message.clientHello(1), object: 0x10))
        table.messageSeen(
            record(150, .messageReceived, Message.oldServerHello("http/1.1"), answers: 1))
        table.messageSeen(record(151, .messageReceived, Message.certificate(40, isTLS13: false)))
        table.messageSeen(record(152, .messageReceived, Message.serverKeyExchange))
        table.messageSeen(record(155, .messageReceived, Message.serverHelloDone))
        table.messageSeen(record(165, .messageSent, [], envelope: Self.changeCipherSpec))
        table.messageSeen(record(180, .messageReceived, Message.finished))
        table.stepped(ended(190, .completed))
        table.messageSeen(record(200, .messageReceived, Message.clientHello(2)))
        table.messageSeen(record(210, .messageSent, Message.oldServerHello()))
        table.messageSeen(record(220, .messageReceived, Message.finished))
        table.stepped(ended(230, .completed))
        let finished = table.takeFinished()
        #expect(finished.map(\.tlsVersion) == ["TLSv1.2", "TLSv1.2"])
        #expect(finished.map(\.resumed) == [false, true])
        #expect(finished.map(\.group) == ["secp256r1", nil])
        #expect(finished.map(\.alpn) == ["http/1.1", "h2"])
        #expect(finished.map(\.keyExchange) == [10, nil])
        #expect(finished[0].alpnNegotiation == 50)
    }

    @Test("Early data is accepted or refused by EncryptedExtensions", arguments: [true, false])
    func earlyData(_ isAccepted: Bool) throws {
        var table = messageTable()
        table.messageSeen(record(100, .messageReceived, Message.clientHello(1, early: true)))
        table.messageSeen(record(110, .messageSent, Message.serverHello(accepts: true)))
        table.messageSeen(record(120, .messageSent, Message.encryptedExtensions(early: isAccepted)))
        table.messageSeen(record(130, .messageReceived, Message.finished))
        table.stepped(ended(140, .completed))
        let handshake = try #require(table.takeFinished().first)
        #expect(handshake.earlyData == (isAccepted ? .accepted : .rejected))
        #expect(handshake.resumed == true)
    }

    @Test("A failure has the alert that was sent before it, or that came with it")
    func failures() {
        var table = messageTable()
        // No common protocol: sent, and the library's own word.
        table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
        table.messageSeen(record(110, .messageSent, [], envelope: Self.alert(33)))
        table.stepped(ended(120, .failed, object: 0x1000, error: 18))
        // A warning is no alert that ends it; the peer's comes with the error.
        table.messageSeen(record(200, .messageReceived, Message.clientHello(2)))
        table.messageSeen(record(205, .messageSent, [], envelope: Self.alert(23, level: 0)))
        table.messageSeen(record(210, .messageSent, Message.serverHello()))
        table.stepped(ended(220, .failed, object: 0x1000, error: 10 | 14 << 8))
        // Neither.
        table.messageSeen(record(300, .messageReceived, Message.clientHello(3)))
        table.stepped(ended(310, .failed, object: 0x1000, error: 9))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed, .failed, .failed])
        #expect(finished.map(\.reason) == ["no_application_protocol", "unknown_ca", "peer_misbehaved"])
        #expect(finished.map(\.alert) == [120, 48, nil])
        #expect(finished.map(\.alertDirection) == [.sent, .received, nil])
        #expect(finished.map(\.libraryReason) == [nil, nil, nil])
        #expect(finished.allSatisfy { $0.sni == "a.example" && $0.alpn == nil })
    }

    @Test("What is sent is told by its number, which differs between releases and between their compilers")
    func payloads() {
        func sent(_ first: UInt64, _ second: UInt64, variant: Int? = nil, _ series: Int = 23) -> SentMessage? {
            RustlsPayload.sent(SentEnvelope(first: first, second: second, variant: variant), series: series)
        }
        #expect(sent(1 << 63 | 3, 0) == .changeCipherSpec)
        #expect(sent(1 << 63 | 2, 0) == nil, "several messages")
        #expect(sent(1 << 63, 1 | 14 << 16) == .fatalAlert(48))
        #expect(sent(1 << 63 | 1, 1 | 17 << 16) == .fatalAlert(51))
        #expect(sent(1 << 63, 0 | 14 << 16) == nil, "a warning")
        #expect(sent(1 << 63, 1 | 35 << 16) == nil, "of no name")
        #expect(sent(0x130, 1 | 14 << 16) == nil)
        // 0.22.
        #expect(sent(1 << 63 | 2, 0, 22) == .changeCipherSpec)
        #expect(sent(1 << 63 | 3, 0, 22) == nil, "application data")
        #expect(sent(1 << 63, 1 | 14 << 16, 22) == .fatalAlert(48))
        #expect(sent(1 << 63 | 1, 1 | 14 << 16, 22) == nil)
        // With the number elsewhere.
        #expect(sent(1 | 14 << 16, 0, variant: 0, 21) == .fatalAlert(48))
        #expect(sent(0 | 14 << 16, 0, variant: 0, 21) == nil, "a warning")
        #expect(sent(1 | 14 << 16, 0, variant: 1, 21) == nil, "a handshake message")
        #expect(sent(1 | 14 << 16, 0, variant: 2, 21) == .changeCipherSpec)
        #expect(sent(1 << 63, 1 | 14 << 16, variant: 3, 21) == nil, "application data")
    }

    @Test(
        "Each release's errors have its own numbers",
        arguments: [
            ("0.21.0", 9, 5, 15), ("0.21.10", 9, 5, 16), ("0.22.4", 9, 5, 15), ("0.23.5", 9, 5, 15),
            ("0.23.10", 10, 6, 16), ("0.23.46", 10, 6, 16),
        ])
    func releases(_ version: String, received: Int32, decrypt: Int32, waiting: Int64) throws {
        #expect(try #require(RustlsRelease(version)).notComplete == waiting)
        var table = messageTable(release: version)
        for error in [received | 14 << 8, decrypt] {
            table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
            table.stepped(ended(110, .failed, object: 0x1000, error: error))
        }
        let finished = table.takeFinished()
        #expect(finished.map(\.reason) == ["unknown_ca", "decrypt_error"])
        #expect(finished.map(\.alertDirection) == [.received, nil])
    }

    @Test("An alert is told by the number that its site has found; what else is sent alike is none")
    func variants() {
        var table = messageTable(release: "0.21.10")
        for variant in UInt16(1)...2 {
            table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
            table.messageSeen(record(110, .messageSent, [], envelope: (1 | 33 << 16, 0), variant: variant))
            table.stepped(ended(120, .failed, object: 0x1000, error: 18))
        }
        let finished = table.takeFinished()
        #expect(finished.map(\.alert) == [120, nil])
        #expect(finished.map(\.reason) == ["no_application_protocol", "no_application_protocol"])
    }

    @Test("Who has sent a fatal alert has failed at that moment, where the library keeps no error")
    func alertAlone() {
        var table = messageTable(release: "0.21.10")
        for (object, level) in [(UInt64(0x1000), UInt64(1)), (0x2000, 0)] {
            table.messageSeen(record(100, .messageReceived, Message.clientHello(1), object: object))
            table.messageSeen(
                record(150, .messageSent, [], object: object, envelope: (level | 2 << 16, 0), variant: 1))
        }
        table.expire(now: 200)
        #expect(table.takeFinished().isEmpty, "its error may still come")
        table.expire(now: 150 + 2 * SessionTable.dropGrace)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed])
        #expect(finished.map(\.reason) == ["bad_record_mac"])
        #expect(finished.map(\.alertDirection) == [.sent] && finished.map(\.end) == [150])
        #expect(table.inFlight == 1, "a warning is none")
    }

    @Test("Releases that are not observed are none")
    func unknownReleases() {
        for text in ["0.20.9", "0.24.0", "1.23.1", "0.23", "x.23.4", ""] {
            #expect(RustlsRelease(text) == nil, "\(text)")
        }
        #expect(RustlsFailure(alert: -1, reason: 10 | 14 << 8, nil).told == FailureReason(reason: "unknown"))
    }

    @Test("A client that is refused before its ServerHello is told by the state that goes with the failure")
    func failureBeforeTheAnswer() {
        var table = messageTable()
        for number in UInt8(1)...2 {
            table.messageSeen(
                record(100, .messageSent, Message.clientHello(number, name: "n\(number)"), object: 0x10))
        }
        table.messageSeen(record(150, .stateDropped, [], answers: 2, object: 0, thread: 9))
        // Another thread's failure is another's.
        table.stepped(ended(155, .failed, object: 0x2000, thread: 8, error: 10 | 6 << 8))
        #expect(table.takeFinished().isEmpty)
        table.stepped(ended(160, .failed, object: 0x2000, thread: 9, error: 10 | 6 << 8))
        let finished = table.takeFinished()
        #expect(finished.map(\.sni) == ["n2"])
        #expect(finished.map(\.reason) == ["handshake_failure"])
        #expect(finished.map(\.duration) == [60])
        // The other one is given up: at the moment at which its state went, and no error came of it.
        table.messageSeen(record(200, .stateDropped, [], answers: 1, object: 0))
        table.expire(now: 300)
        #expect(table.takeFinished().isEmpty)
        table.expire(now: 200 + 2 * SessionTable.dropGrace)
        let given = table.takeFinished()
        #expect(given.map(\.outcome) == [.abandoned])
        #expect(given.map(\.end) == [200])
        #expect(table.inFlight == 0)
    }

    @Test("A ClientHello on an object with a handshake ends that one; without events it times out")
    func reusedObject() {
        var table = messageTable()
        table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
        table.messageSeen(record(200, .messageReceived, Message.clientHello(2)))
        table.expire(now: 300 + Self.timeout)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned, .timeout])
        #expect(finished.map(\.start) == [100, 200])
    }

    @Test("A completion or a failure of a thread that has handled no message is nobody's")
    func strangers() {
        var table = messageTable()
        table.messageSeen(record(100, .messageReceived, Message.clientHello(1)))
        table.stepped(ended(110, .completed, thread: 8))
        table.stepped(ended(110, .failed, object: 0x5000, thread: 7, error: 9))
        table.messageSeen(record(120, .messageReceived, Message.serverHello(), answers: 3, object: 0x5000))
        table.messageSeen(record(120, .stateDropped, [], object: 0x5000))
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
    }

    @Test("What is no ClientHello counts against the library")
    func implausible() {
        var table = messageTable()
        let noHello = Message.framed(1, [9, 9] + Message.random(1))
        #expect(table.messageSeen(record(100, .messageReceived, noHello)) == .implausible)
        #expect(table.health[1].implausible == 1)
    }

    @Test("Bytes and records of any kind neither trap nor make sessions that do not end")
    func anything() {
        var generator = SplitMix(seed: 23)
        var table = messageTable()
        let hooks: [HookKind] = [.messageReceived, .messageSent, .stateDropped, .call, .completed]
        let whole = [
            Message.clientHello(1), Message.serverHello(), Message.oldServerHello(), Message.encryptedExtensions(),
            Message.certificateRequest, Message.certificate(3, isTLS13: true), Message.serverKeyExchange,
            Message.finished,
        ]
        for time in UInt64(1)...6_000 {
            var message = whole[Int.random(in: 0..<whole.count, using: &generator)]
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                let index = Int.random(in: 0..<message.count, using: &generator)
                message[index] = UInt8.random(in: 0...255, using: &generator)
            }
            message = Array(message.prefix(Int.random(in: 0...message.count, using: &generator)))
            let hook = hooks[Int.random(in: 0..<hooks.count, using: &generator)]
            let object = UInt64.random(in: 1...4, using: &generator) << 12
            let envelope = (UInt64.random(in: 0...3, using: &generator) | 1 << 63, UInt64(message.count))
            table.messageSeen(
                record(time, hook, message, answers: UInt8(time & 7), object: object, envelope: envelope))
            if time % 11 == 0 {
                table.stepped(
                    ended(
                        time, time % 2 == 0 ? .completed : .failed, object: object,
                        error: Int32.random(in: .min ... .max, using: &generator)))
            }
        }
        for handshake in table.takeFinished() {
            #expect(handshake.end >= handshake.start)
            #expect((handshake.sni?.utf8.count ?? 0) <= 1024)
        }
        table.expire(now: 1 << 62)
        table.expire(now: 1 << 62)
        #expect(table.inFlight == 0)
    }
}
