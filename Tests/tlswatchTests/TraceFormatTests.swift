import Foundation
import TestSupport
import Testing

@testable import Handshakes
@testable import tlswatch

@Suite("Sessions as a trace") struct TraceFormatTests {
    private func session(
        _ start: UInt64, _ end: UInt64, pid: UInt32 = 7, outcome: Outcome = .completed, comm: String = "curl"
    ) -> Handshake {
        Handshake(
            wallTime: 5, start: start, end: end, pid: pid, tid: pid, comm: comm, stack: "openssl", library: "/l",
            role: .client, outcome: outcome, duration: end - start, calls: 2)
    }

    private struct Event {
        var name, phase: String
        var process, lane: Int
        /// Nanoseconds.
        var begin, length: Int
        var arguments: [String: Any]

        var end: Int { begin + length }

        init(_ object: [String: Any]) throws {
            name = try #require(object["name"] as? String)
            phase = try #require(object["ph"] as? String)
            process = try #require(object["pid"] as? Int)
            lane = object["tid"] as? Int ?? 0
            begin = Self.nanoseconds(object["ts"])
            length = Self.nanoseconds(object["dur"])
            arguments = object["args"] as? [String: Any] ?? [:]
        }

        /// Of microseconds, as the format has them.
        private static func nanoseconds(_ value: Any?) -> Int {
            (value as? Double).map { Int(($0 * 1_000).rounded()) } ?? -1
        }
    }

    /// What a JSON parser makes of the output.
    private func events(_ handshakes: [Handshake]) throws -> [Event] {
        let directory = try TemporaryDirectory()
        let file = try OutputFile(path: directory.file("trace.json"))
        var printer = SessionPrinter(SessionSelection(format: .trace), file: file, limit: nil)
        try printer.begin()
        // As they come from a recording: some at a time.
        for handshake in handshakes { try printer.print([handshake]) }
        try printer.finish(inFlight: 0, lost: 0)
        let text = try directory.text("trace.json")
        let objects = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        return try objects.map(Event.init)
    }

    /// In each lane of each process, two slices lie in each other or do not touch.
    private func expectNested(_ events: [Event]) {
        let slices = events.filter { $0.phase == "X" }
        for (_, lane) in Dictionary(grouping: slices, by: { [$0.process, $0.lane] }) {
            for (index, one) in lane.enumerated() {
                for other in lane[..<index] {
                    let apart = one.end <= other.begin || other.end <= one.begin
                    let inside =
                        one.begin >= other.begin && one.end <= other.end
                        || other.begin >= one.begin && other.end <= one.end
                    #expect(apart || inside, "\(one) \(other)")
                }
            }
        }
    }

    @Test("A session is a slice with its fields, its parts lie inside it, its connect before it")
    func oneSession() throws {
        var handshake = session(10_000_001, 13_000_004)
        handshake.sni = "a \"b\".example"
        handshake.tcpConnect = 900_000
        handshake.timeline.connecting = 9_000_000
        handshake.timeline.established = 9_900_000
        handshake.keyExchange = 1_500_001
        handshake.timeline.keyExchangeBegin = 11_000_000
        handshake.timeline.keyExchangeEnd = 12_500_001
        let events = try events([handshake])
        #expect(
            events.map(\.name) == [
                "process_name", "thread_name", "TCP connect", "client a \"b\".example", "key exchange", "finish",
            ])
        #expect(events[0].arguments["name"] as? String == "curl")
        let slices = events.filter { $0.phase == "X" }
        // Each is as long as the session's field says.
        #expect(slices.map(\.begin) == [9_000_000, 10_000_001, 11_000_000, 12_500_001])
        #expect(slices.map(\.length) == [900_000, 3_000_003, 1_500_001, 500_003])
        #expect(Set(slices.map(\.lane)).count == 1)
        expectNested(events)
        var line: [UInt8] = []
        JSONLine.append(handshake, to: &line)
        let fields = try #require(JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
        let both = try [slices[1].arguments, fields].map {
            try JSONSerialization.data(withJSONObject: $0, options: .sortedKeys)
        }
        #expect(both[0] == both[1])
        #expect(slices[1].arguments["duration_ns"] as? Int == 3_000_003)
    }

    @Test("A server's finish ends where the client's Finished was verified; one that failed has none")
    func finish() throws {
        var server = session(1_000, 9_000)
        server.role = .server
        server.timeline.keyExchangeBegin = 2_000
        server.timeline.keyExchangeEnd = 3_000
        server.timeline.finished = 8_000
        var failed = server
        failed.outcome = .failed
        failed.timeline.finished = nil
        failed.start += 10_000
        failed.end += 10_000
        let slices = try events([server, failed]).filter { $0.phase == "X" }
        #expect(slices.map(\.name) == ["server", "key exchange", "finish", "server failed"])
        #expect(slices[2].begin == 3_000 && slices[2].length == 5_000)
    }

    @Test("A connect that overlaps the handshake is beside it; one inside it is its part")
    func overlappingConnect() throws {
        var early = session(1_000, 9_000)
        early.timeline.connecting = 500
        early.timeline.established = 2_000
        var inside = session(11_000, 19_000)
        inside.timeline.connecting = 12_000
        inside.timeline.established = 13_000
        let events = try events([early, inside])
        expectNested(events)
        let connects = events.filter { $0.name == "TCP connect" }
        let sessions = events.filter { $0.name == "client" }
        #expect(connects.map(\.begin) == [500, 12_000] && connects.map(\.length) == [1_500, 1_000])
        #expect(connects[0].lane != sessions[0].lane)
        #expect(connects[1].lane == sessions[1].lane)
    }

    @Test("Without a session it is an empty array")
    func nothing() throws {
        #expect(try events([]).isEmpty)
    }

    @Test("A process that is called otherwise now, and one that is not known, are named")
    func names() throws {
        var unknown = session(5_000, 6_000, pid: 0)
        unknown.observedBy = .wire
        let events = try events([
            session(1_000, 2_000, comm: "sh"), session(3_000, 4_000, comm: "curl"),
            session(5_000, 6_000, comm: "curl"), unknown,
        ])
        let names = events.filter { $0.name == "process_name" }
        #expect(names.map { $0.arguments["name"] as? String } == ["sh", "curl", "unknown process"])
        #expect(names.map(\.process) == [7, 7, 0])
    }

    @Test(
        "Whatever overlaps, no slice of a lane cuts another, and every duration is its field's",
        arguments: [1, 2, 3] as [UInt64])
    func random(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var handshakes: [Handshake] = []
        for _ in 0..<400 {
            let start = UInt64.random(in: 100_000...2_000_000, using: &random)
            var handshake = session(
                start, start + UInt64.random(in: 0...200_000, using: &random),
                pid: UInt32.random(in: 1...3, using: &random))
            func moment() -> UInt64 { UInt64.random(in: 0...2_300_000, using: &random) }
            if Bool.random(using: &random) {
                handshake.timeline.connecting = moment()
                handshake.timeline.established = moment()
            }
            if Bool.random(using: &random) {
                handshake.timeline.keyExchangeBegin = UInt64.random(in: start...handshake.end, using: &random)
                handshake.timeline.keyExchangeEnd = moment()
            }
            if Bool.random(using: &random) { handshake.timeline.finished = moment() }
            handshakes.append(handshake)
        }
        // As they are told, by their ends; and in no order at all.
        for order in [handshakes.sorted { $0.end < $1.end }, handshakes] {
            let events = try events(order)
            expectNested(events)
            let sessions = events.filter { $0.phase == "X" && !$0.arguments.isEmpty }
            #expect(sessions.count == order.count)
            for (slice, handshake) in zip(sessions, order) {
                #expect(slice.begin == Int(handshake.start) && slice.length == Int(handshake.duration))
                #expect(slice.process == Int(handshake.pid))
            }
        }
    }

    @Test("By hundreds of thousands of sessions, no more is kept than what is in use")
    func streams() {
        var trace = TraceFormat()
        var output: [UInt8] = []
        var largest = 0
        for number in 0..<20_000 as Range<UInt64> {
            output.removeAll(keepingCapacity: true)
            trace.append(session(number * 1_000, number * 1_000 + 2_500), to: &output)
            largest = max(largest, output.count)
        }
        #expect(largest < 2_000)
        #expect(trace.lanes(of: 7) == 3)
    }
}
