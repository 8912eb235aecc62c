import CEvents
import Handshakes
import Wire

/// Which session a handshake message is of, where messages are all that a library shows.
///
/// A server's object is the same from its ClientHello on. A client makes its ClientHello before its connection has come to the
/// place where it stays: until the ServerHello the session is kept by the end of its ClientHello's random, which the state has
/// that handles the ServerHello, or that is dropped without one. While nobody has found where, the session id that TLS 1.3
/// sends back tells the same.
struct MessageSessions {
    struct Thread: Hashable {
        var pid: UInt32
        var tid: UInt32
    }

    /// Clients that wait for their ServerHello, by process.
    private var waiting: [UInt32: [SessionKey: [UInt8]]] = [:]
    /// The session of the message that each thread has handled last.
    private var last: [Thread: SessionKey] = [:]

    /// More of one process are told apart by their randoms alone.
    private static let waitingLimit = 4096
    private static let threadLimit = 8192

    var hasWaiting: Bool { !waiting.isEmpty }

    mutating func wait(_ key: SessionKey, session: [UInt8]) {
        guard waiting[key.pid]?.count ?? 0 < Self.waitingLimit else { return }
        waiting[key.pid, default: [:]][key] = session
    }

    mutating func handle(_ key: SessionKey, on thread: Thread) {
        // Those of threads that have ended; each names a session that has most likely ended as well.
        if last.count >= Self.threadLimit { last.removeAll(keepingCapacity: true) }
        last[thread] = key
    }

    func handled(on thread: Thread) -> SessionKey? { last[thread] }

    mutating func leave(_ thread: Thread) { last[thread] = nil }

    /// The only client of a process that has sent this session id.
    func waiting(in pid: UInt32, session: [UInt8]) -> SessionKey? {
        guard !session.isEmpty, let candidates = waiting[pid]?.filter({ $0.value == session }), candidates.count == 1
        else { return nil }
        return candidates.first?.key
    }

    /// The session has ended, or goes on under another key.
    mutating func forget(_ key: SessionKey) {
        guard waiting[key.pid]?.removeValue(forKey: key) != nil else { return }
        if waiting[key.pid]?.isEmpty ?? false { waiting[key.pid] = nil }
    }
}

/// A handshake's end that the library tells by itself.
enum MessageEnd {
    case completed
    case failed

    init?(_ event: tlswatch_step_record) {
        switch HookKind(rawValue: event.header.hook) {
        case .completed: self = .completed
        case .failed: self = .failed
        default: return nil
        }
    }
}

extension SessionTable {
    @discardableResult mutating func messageSeen(_ event: borrowing MessageEvent) -> Rejection? {
        let header = event.fixed.header
        guard let profile = entry(header.profile) else { return .unknownProfile }
        switch event.hook {
        case .stateDropped: stateDropped(event)
        case .messageReceived, .messageSent:
            let isSent = event.hook == .messageSent
            let found = PlainMessage.split(event.message)
            if let first = found.first, first.kind == .clientHello {
                return takeClientHello(first, event, isSent: isSent)
            }
            guard let place = place(of: event, found) else { return nil }
            take(found, event, at: place, isSent: isSent, profile.rules)
        default: return .malformed
        }
        return nil
    }

    private func thread(_ header: tlswatch_header) -> MessageSessions.Thread {
        MessageSessions.Thread(pid: header.pid, tid: header.tid)
    }

    /// A ClientHello begins a session: a client's that is sent, a server's that is received.
    private mutating func takeClientHello(
        _ message: PlainMessage, _ event: borrowing MessageEvent, isSent: Bool
    ) -> Rejection? {
        let header = event.fixed.header
        guard let hello = ClientHello(message.body, length: message.length), let random = hello.randomEnd else {
            return implausible(header.profile)
        }
        sane(header.profile)
        // The second one of a handshake comes on the object that the first answer was read on.
        if let place = sessions.place(of: SessionKey(header)), let known = sessions[place].messages,
            isSent ? known.client.random == hello.random : known.hasAskedAgain
        {
            known.take(hello)
            sessions[place].lastActivity = header.time_ns
            messages.handle(SessionKey(header), on: thread(header))
            return nil
        }
        var enter = tlswatch_call_enter()
        enter.header = header
        enter.server = isSent ? 0 : 1
        enter.parent_pid = event.fixed.parent_pid
        enter.comm = event.fixed.comm
        enter.thread = event.fixed.thread
        if isSent { enter.header.object = random }
        let place = begin(enter, .start)
        let key = SessionKey(enter.header)
        sessions[place].keep(SessionMessages(hello))
        sessions[place].beginByMessage(at: header.time_ns)
        if isSent {
            messages.wait(key, session: hello.session)
        } else {
            messages.handle(key, on: thread(header))
        }
        return nil
    }

    /// The session that a message belongs to, or that an alert does; a client's comes to its object with the first answer.
    private mutating func place(of event: borrowing MessageEvent, _ found: [PlainMessage]) -> Int? {
        let header = event.fixed.header
        let key = SessionKey(header)
        if let place = sessions.place(of: key) { return sessions[place].messages == nil ? nil : place }
        guard event.hook == .messageReceived, let first = found.first, first.kind == .serverHello else { return nil }
        guard let waiting = waiting(for: event) ?? answered(by: first, in: header.pid) else { return nil }
        return adopt(waiting, as: key)
    }

    /// The client's session whose state the message has.
    private func waiting(for event: borrowing MessageEvent) -> SessionKey? {
        guard let random = event.randomEnd else { return nil }
        var header = event.fixed.header
        header.object = random
        let key = SessionKey(header)
        guard let place = sessions.place(of: key), sessions[place].messages != nil else { return nil }
        return key
    }

    private func answered(by message: PlainMessage, in pid: UInt32) -> SessionKey? {
        guard let hello = ServerHello(message.body, length: message.length), hello.version == 0x0304 else { return nil }
        return messages.waiting(in: pid, session: hello.session)
    }

    /// A client's session goes on under its object.
    private mutating func adopt(_ waiting: SessionKey, as key: SessionKey) -> Int? {
        messages.forget(waiting)
        guard let place = sessions.place(of: waiting) else { return nil }
        let session = sessions[place]
        sessions.remove(at: place)
        return sessions.insert(session, for: key)
    }

    private mutating func take(
        _ found: [PlainMessage], _ event: borrowing MessageEvent, at place: Int, isSent: Bool, _ rules: SessionRules
    ) {
        let header = event.fixed.header
        guard let known = sessions[place].messages else { return }
        let role = sessions[place].role
        sessions[place].lastActivity = max(sessions[place].lastActivity, header.time_ns)
        known.dropped = nil
        if !isSent { messages.handle(SessionKey(header), on: thread(header)) }
        for message in found {
            for moment in known.take(message, role: role, isSent: isSent) {
                sessions[place].note(moment, at: header.time_ns)
            }
        }
        guard isSent, found.isEmpty else { return }
        switch rules.sent(event.envelope) {
        case .changeCipherSpec? where known.isTimed(role: role): sessions[place].endExchange(at: header.time_ns)
        case .fatalAlert(let number)?: known.takeAlert(number, at: header.time_ns)
        default: break
        }
    }

    /// A client's state goes that waits for the ServerHello: the connection has failed, as the thread's next record tells, or is
    /// given up.
    private mutating func stateDropped(_ event: borrowing MessageEvent) {
        let header = event.fixed.header
        guard let key = waiting(for: event), let place = sessions.place(of: key) else { return }
        sessions[place].messages?.dropped = (time: header.time_ns, tid: header.tid)
        messages.handle(key, on: thread(header))
    }

    /// How long the failure may be in coming whose state was dropped, or whose alert was sent: it is told on the same thread at
    /// once.
    static let dropGrace: UInt64 = 1_000_000_000

    /// Ends clients that were given up before their ServerHello.
    mutating func endDropped(now: UInt64) {
        guard messages.hasWaiting else { return }
        let over = sessions.keys { _, session in
            session.messages?.dropped.map { now > $0.time && now - $0.time > Self.dropGrace } ?? false
        }
        for key in over { end(key, at: sessions[key]?.messages?.dropped?.time ?? now, outcome: .abandoned) }
    }

    mutating func messagesEnded(_ event: tlswatch_step_record, _ kind: MessageEnd, _ profile: ProfileEntry)
        -> Rejection?
    {
        let thread = thread(event.header)
        let handled = messages.handled(on: thread)
        switch kind {
        case .completed:
            // Inside the method that handles the last message.
            guard let key = handled, let place = sessions.place(of: key), sessions[place].messages != nil else {
                return nil
            }
            sane(event.header.profile)
            messages.leave(thread)
            end(key, at: event.header.time_ns, outcome: .completed)
        case .failed:
            guard let key = failed(event, handled), let place = sessions.place(of: key),
                let known = sessions[place].messages
            else { return nil }
            sane(event.header.profile)
            messages.leave(thread)
            let alert = known.refusal.map { Int32($0.alert) } ?? -1
            let reason = Int32(bitPattern: UInt32(bitPattern: event.step.argument))
            sessions[place].fatal = (alert, reason)
            end(
                key, at: event.header.time_ns, outcome: .failed,
                reason: profile.rules.failure(alert, reason, known.version.map(UInt32.init)))
        }
        return nil
    }

    /// The session that has failed: its object's, or that of a client whose state the thread has just dropped.
    private func failed(_ event: tlswatch_step_record, _ handled: SessionKey?) -> SessionKey? {
        let key = SessionKey(event.header)
        if let place = sessions.place(of: key) { return sessions[place].messages == nil ? nil : key }
        if let handled, let place = sessions.place(of: handled), let dropped = sessions[place].messages?.dropped,
            dropped.tid == event.header.tid
        {
            return handled
        }
        return nil
    }
}

extension Session {
    /// No call is seen, and so not where the time went between the messages.
    fileprivate mutating func beginByMessage(at time: UInt64) {
        callEnter = 0
        calls = 0
        parts.loseTrack()
        firstReturn = time
        // A server has its peer's share with the ClientHello.
        if role == .server { keyExchangeBegin = time }
    }

    fileprivate mutating func note(_ moment: SessionMessages.Moment, at time: UInt64) {
        switch moment {
        case .share: keyExchangeBegin = time
        case .answer: if alpnDecided == 0 { alpnDecided = time }
        }
    }

    /// The keys are made of the shares that were agreed on.
    fileprivate mutating func endExchange(at time: UInt64) {
        guard keyExchangeEnd == 0, keyExchangeBegin != 0 else { return }
        keyExchangeEnd = time
        if role == .client { agreed = true }
    }
}
