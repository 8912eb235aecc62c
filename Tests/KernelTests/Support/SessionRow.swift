import Foundation
import TestSupport

/// One line of `--format json`. Everything is optional here, so that a missing fact is a failed
/// expectation with a name, not a parse error.
struct SessionRow: Codable, Equatable, Sendable {
    var time: String?
    var pid: Int?
    var tid: Int?
    var comm: String?
    var thread: String?
    var exe: String?
    var stack: String?
    var observedBy: String?
    var endConfidence: String?
    var alpnOffered: String?
    var library: String?
    var libraryVersion: String?
    var role: String?
    var outcome: String?
    var reason: String?
    var alert: Int?
    var alertDirection: String?
    var libraryReason: String?
    var duration: Int?
    var busy: Int?
    var wait: Int?
    var calls: Int?
    var cpu: Int?
    var runqueue: Int?
    var unread: Int?
    var peer: Int?
    var cause: String?
    var rtt: Int?
    var retransmits: Int?
    var tlsVersion: String?
    var cipher: String?
    var group: String?
    var alpn: String?
    var sni: String?
    var resumed: Bool?
    var earlyData: String?
    var helloRetryRequest: Bool?
    var clientCertificateRequested: Bool?
    var clientCertificateGiven: Bool?
    var transport: String?
    var tcpConnect: Int?
    var firstRecordDelay: Int?
    var keyExchange: Int?
    var keyExchangeCompute: Int?
    var alpnNegotiation: Int?
    var finished: Int?
    var alpnShare: Double?
    var local: String?
    var remote: String?
    var socketConfidence: String?

    enum CodingKeys: String, CodingKey {
        case time, pid, tid, comm, thread, exe, stack, library
        case libraryVersion = "library_version"
        case observedBy = "observed_by"
        case endConfidence = "end_confidence"
        case alpnOffered = "alpn_offered"
        case role, outcome, reason, alert
        case alertDirection = "alert_direction"
        case libraryReason = "library_reason"
        case duration = "duration_ns"
        case busy = "busy_ns"
        case wait = "wait_ns"
        case calls, cause, retransmits
        case cpu = "cpu_ns"
        case runqueue = "runqueue_ns"
        case unread = "unread_ns"
        case peer = "peer_ns"
        case rtt = "rtt_ns"
        case tlsVersion = "tls_version"
        case cipher, group, alpn, sni, resumed, transport
        case earlyData = "early_data"
        case helloRetryRequest = "hello_retry_request"
        case clientCertificateRequested = "client_certificate_requested"
        case clientCertificateGiven = "client_certificate_given"
        case finished = "finished_ns"
        case tcpConnect = "tcp_connect_ns"
        case firstRecordDelay = "first_record_delay_ns"
        case keyExchange = "key_exchange_ns"
        case keyExchangeCompute = "key_exchange_compute_ns"
        case alpnNegotiation = "alpn_negotiation_ns"
        case alpnShare = "alpn_share"
        case local, remote
        case socketConfidence = "socket_confidence"
    }

    var isServer: Bool { role == "server" }
    var isClient: Bool { role == "client" }
    var isCompleted: Bool { outcome == "completed" }

    /// The alert and who sent it: `48 sent`.
    var alertText: String { alert.map { "\($0) \(alertDirection ?? "-")" } ?? "none" }
    /// How it ended.
    var ending: [String] { [outcome ?? "-", reason ?? "-", alertText] }

    /// An address's.
    static func port(_ address: String?) -> Int? {
        address.flatMap { $0.split(separator: ":").last }.flatMap { Int($0) }
    }

    /// Every line must be one object: anything else on standard output breaks whoever reads it.
    static func parse(_ lines: [String]) throws -> [SessionRow] {
        let decoder = JSONDecoder()
        return try lines.map { line in
            do {
                return try decoder.decode(SessionRow.self, from: Data(line.utf8))
            } catch {
                throw HarnessError("not a session: \(line): \(error)")
            }
        }
    }
}

extension [SessionRow] {
    /// As they began.
    var inOrder: [SessionRow] { sorted { ($0.time ?? "") < ($1.time ?? "") } }
    /// A process's, as they began.
    func of(_ pid: some BinaryInteger) -> [SessionRow] { filter { $0.pid == Int(pid) }.inOrder }
}
