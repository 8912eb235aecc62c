import HandshakeProbe
import Handshakes

/// What the status page is tried on: a busy edge host, one just started, one that sees nothing, one with hostile peers.
enum StatusFixtures {
    static let libssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    static let now: UInt64 = 86_400_000_000_000
    static let wallTime: Int64 = 1_767_323_045_678_901_234

    static var edge: StatusSnapshot {
        StatusSnapshot(
            wallTime: wallTime, uptime: 273_912, window: 60, incomplete: false,
            figures: [
                figures(.client, sessions: 214, p50: 6_420_000, p90: 18_300_000, p99: 41_700_000, rate: 4, seed: 7),
                figures(.server, sessions: 1_482, p50: 1_830_000, p90: 4_270_000, p99: 23_900_000, rate: 25, seed: 3),
            ],
            ended: [
                ended(.client, .completed, nil, 48_211), ended(.client, .failed, "certificate_expired", 37),
                ended(.client, .failed, "unknown_ca", 12), ended(.client, .abandoned, "process_exited", 4),
                ended(.client, .timeout, "idle", 2),
                ended(.server, .completed, nil, 6_204_118), ended(.server, .failed, "peer_closed", 20_417),
                ended(.server, .failed, "protocol_version", 3_904), ended(.server, .failed, "certificate_unknown", 871),
                ended(.server, .failed, "no_application_protocol", 212), ended(.server, .failed, "unknown_ca", 64),
                ended(.server, .abandoned, "socket_closed", 1_133), ended(.server, .timeout, "idle", 418),
            ],
            inFlight: 19, slowest: slowest,
            libraries: [
                .init(
                    stack: "openssl", path: libssl, version: "3.0.19", processes: 31, unobserved: nil, detail: nil),
                .init(
                    stack: "openssl", path: "/opt/haproxy/lib/libssl.so.3", version: "3.5.4", processes: 2,
                    unobserved: nil, detail: nil),
                .init(
                    stack: "openssl", path: "/usr/bin/node", version: "3.0.15+quic", processes: 4, unobserved: nil,
                    detail: nil),
                .init(
                    stack: "unknown", path: "/srv/app/libcrypto_bundle.so", version: nil, processes: 1,
                    unobserved: "no_cheap_site",
                    detail: "state_machine: every place with the arguments at hand is single-stepped"),
            ],
            observedProcesses: 37, unobservedProcesses: ["permission": 3, "no_cheap_site": 1], lost: 0)
    }

    /// Observation began 21 s ago and has lost events: one role, few facts.
    static var incomplete: StatusSnapshot {
        var status = edge
        status.uptime = 21
        status.incomplete = true
        status.lost = 1_207
        status.figures[0] = .init(
            role: .client, sessions: 0, p50: nil, p90: nil, p99: nil,
            points: Array(repeating: .init(completed: 0, p50: nil, p90: nil, p99: nil), count: 60))
        for index in 0..<39 { status.figures[1].points[index] = .init(completed: 0, p50: nil, p90: nil, p99: nil) }
        status.figures[1].points[46] = .init(completed: 0, p50: nil, p90: nil, p99: nil)
        status.ended =
            status.ended.filter { $0.role == .server && $0.count < 5_000 } + [
                ended(.server, .completed, nil, 466), ended(.server, .abandoned, "events_lost", 88),
            ]
        status.slowest = Array(slowest.filter { $0.role == .server }.suffix(2))
        return status
    }

    static var empty: StatusSnapshot {
        StatusSnapshot(
            wallTime: wallTime, uptime: 42, window: 60, incomplete: false,
            figures: Role.allCases.map {
                .init(
                    role: $0, sessions: 0, p50: nil, p90: nil, p99: nil,
                    points: Array(repeating: .init(completed: 0, p50: nil, p90: nil, p99: nil), count: 60))
            },
            ended: [], inFlight: 0, slowest: [],
            libraries: [
                .init(stack: "openssl", path: libssl, version: "3.0.19", processes: 0, unobserved: nil, detail: nil)
            ],
            observedProcesses: 0, unobservedProcesses: ["permission": 14], lost: 0)
    }

    /// Every text that a stranger can choose is `text`.
    static func hostile(_ text: String) -> StatusSnapshot {
        var status = edge
        status.ended.append(ended(.server, .failed, text, 5))
        status.libraries.append(
            .init(stack: text, path: text, version: text, processes: 1, unobserved: text, detail: text))
        status.libraries.append(
            .init(stack: text, path: text, version: text, processes: 1, unobserved: nil, detail: text))
        status.unobservedProcesses[text] = 1
        for index in status.slowest.indices {
            status.slowest[index].comm = text
            status.slowest[index].exe = text
            status.slowest[index].stack = text
            status.slowest[index].library = text
            status.slowest[index].libraryVersion = text
            status.slowest[index].tlsVersion = text
            status.slowest[index].cipher = text
            status.slowest[index].group = text
            status.slowest[index].alpn = text
            status.slowest[index].sni = text
            status.slowest[index].local = text
            status.slowest[index].remote = text
        }
        return status
    }

    /// A window's quantiles that drift about the final ones, and a peak that passes.
    static func figures(
        _ role: Role, sessions: UInt64, p50: UInt64, p90: UInt64, p99: UInt64, rate: UInt64, seed: UInt64,
        seconds: Int = 60
    ) -> StatusSnapshot.Figures {
        var state = seed
        func random() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 40) / Double(1 << 24)
        }
        var drift = (1.0, 1.0, 1.0)
        var points: [StatusSnapshot.Point] = []
        for second in (0..<seconds).reversed() {
            drift.0 = 1 + (drift.0 - 1) * 0.8 + (random() - 0.5) * 0.05
            drift.1 = 1 + (drift.1 - 1) * 0.8 + (random() - 0.5) * 0.16
            drift.2 = 1 + (drift.2 - 1) * 0.8 + (random() - 0.5) * 0.3
            let peak = (18..<31).contains(second) ? 2.6 : 1
            points.append(
                .init(
                    completed: UInt64(Double(rate) * (0.4 + 1.2 * random())), p50: UInt64(Double(p50) * drift.0),
                    p90: UInt64(Double(p90) * drift.1 * (1 + (peak - 1) / 4)),
                    p99: UInt64(Double(p99) * drift.2 * peak)))
        }
        points[seconds - 1] = .init(completed: rate / 3, p50: p50, p90: p90, p99: p99)
        return .init(role: role, sessions: sessions, p50: p50, p90: p90, p99: p99, points: points)
    }

    static func ended(_ role: Role, _ outcome: Outcome, _ reason: String?, _ count: UInt64) -> StatusSnapshot.Ended {
        .init(role: role, outcome: outcome, reason: reason, count: count)
    }
}
