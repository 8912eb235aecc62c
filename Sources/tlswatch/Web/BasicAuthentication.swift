import CPassword
import Dispatch
import FoundationEssentials
import Synchronization

/// Names and passwords of HTTP's basic authentication (RFC 7617).
struct Credentials: Hashable, Sendable {
    var name: String
    /// As it came: passwords need not be text.
    var password: [UInt8]

    /// From the header `Authorization`; `nil` where that holds none.
    init?(authorization header: String?) {
        guard let header, header.prefix(6).lowercased() == "basic ",
            let decoded = Data(base64Encoded: String(header.dropFirst(6))),
            let colon = decoded.firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        name = String(decoding: decoded[..<colon], as: UTF8.self)
        password = Array(decoded[decoded.index(after: colon)...])
    }
}

/// A bcrypt hash of the usual kinds, checked for its form.
struct BcryptHash {
    /// The work's exponent, 4 to 31.
    let cost: Int

    /// `$2a$`, `$2b$` or `$2y$`, two digits of cost, `$`, 22 characters of salt and 31 of hash.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 60, ["$2a$", "$2b$", "$2y$"].contains(text.prefix(4)), bytes[6] == UInt8(ascii: "$"),
            let cost = Int(text.dropFirst(4).prefix(2)), (4...31).contains(cost),
            bytes[7...].allSatisfy({ byte in
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                    || UInt8(ascii: ".")...UInt8(ascii: "9") ~= byte
            })
        else { return nil }
        self.cost = cost
    }
}

/// Checks passwords one at a time, on a thread of its own, and remembers what came out, as the exporter-toolkit does:
/// a scraper's every request carries the same. For any thread.
final class BasicAuthentication: Sendable {
    enum Verdict: Sendable {
        case accepted, refused
        /// Too many wait already.
        case busy
    }

    private struct Question: Hashable {
        var credentials: Credentials
        var hash: String
        /// Whether the hash is that of this name.
        var isKnown: Bool
    }

    private struct State {
        // Apart, so that wrong ones do not push the right ones out.
        var accepted: Set<Question> = []
        var refused: Set<Question> = []
        var waiting = 0
        var hashed: UInt64 = 0
    }

    /// Answers remembered, of either kind.
    static let remembered = 100

    private let queue = DispatchQueue(label: "tlswatch.passwords", qos: .utility)
    private let state = Mutex(State())
    private let waitingLimit: Int

    init(waitingLimit: Int) { self.waitingLimit = waitingLimit }

    /// How often a password was hashed.
    var hashed: UInt64 { state.withLock { $0.hashed } }

    /// How many answers are remembered.
    var answers: Int { state.withLock { $0.accepted.count + $0.refused.count } }

    /// - Parameter users: bcrypt hashes by name; not empty.
    func check(_ credentials: Credentials, users: [String: String]) async -> Verdict {
        let known = users[credentials.name]
        // An unknown name takes as long as a known one: it is compared with somebody's hash.
        guard let hash = known ?? users.values.max(by: { $0.dropFirst(4).prefix(2) < $1.dropFirst(4).prefix(2) })
        else { return .refused }
        let question = Question(credentials: credentials, hash: hash, isKnown: known != nil)
        let quick: Verdict? = state.withLock { state in
            if let verdict = Self.remembered(question, state) { return verdict }
            guard state.waiting < waitingLimit else { return .busy }
            state.waiting += 1
            return nil
        }
        if let quick { return quick }
        return await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.answer(question)) }
        }
    }

    private func answer(_ question: Question) -> Verdict {
        // Another may have asked the same meanwhile.
        let quick = state.withLock { state in
            let verdict = Self.remembered(question, state)
            if verdict == nil { state.hashed += 1 }
            return verdict
        }
        // C's strings end at a zero byte: a password that holds one is not what it would be compared as.
        let matches = quick.map { $0 == .accepted } ?? matches(question)
        let accepted = question.isKnown && matches && !question.credentials.password.contains(0)
        state.withLock { state in
            state.waiting -= 1
            if accepted {
                Self.remember(question, in: &state.accepted)
            } else {
                Self.remember(question, in: &state.refused)
            }
        }
        return accepted ? .accepted : .refused
    }

    private func matches(_ question: Question) -> Bool {
        let password = question.credentials.password.map { CChar(bitPattern: $0) } + [0]
        return unsafe tlswatch_password_matches(password, question.hash)
    }

    private static func remembered(_ question: Question, _ state: State) -> Verdict? {
        if state.accepted.contains(question) { return .accepted }
        return state.refused.contains(question) ? .refused : nil
    }

    private static func remember(_ question: Question, in answers: inout Set<Question>) {
        if answers.count >= remembered, let one = answers.randomElement() { answers.remove(one) }
        answers.insert(question)
    }
}
