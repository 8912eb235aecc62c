import CEvents
import Handshakes
import Kernel

/// Correlates events into sessions. Owned by the thread that drains the ring; bounded.
///
/// Every session that starts ends in exactly one outcome, handed to `finished` once.
struct SessionTable {
    /// Sessions in flight at most; past it a new handshake pushes out the one that has been idle longest.
    let capacity: Int
    /// Nanoseconds without an event after which a session times out.
    var timeout: UInt64
    /// Added to a monotonic time gives wall-clock nanoseconds.
    var wallClockOffset: Int64

    private(set) var counts = SessionCounts()
    /// Finished since the last `takeFinished`.
    private var finished: [Handshake] = []
    /// Of each of `finished`, where they are kept.
    private var traces: [SessionTrace] = []
    /// Whether traces are kept: for packets alone.
    var keepsTraces = false
    /// Profiles by index; `nil` where none was registered.
    private var profiles: [ProfileEntry?] = []
    var sessions: SessionStore
    private(set) var idleOrder = IdleOrder()
    private(set) var processCounts = ProcessCounts()
    var health: [ProfileHealth] = []
    private var losses = LossSpans()
    var processes = ProcessNames()

    init(capacity: Int, timeout: UInt64, wallClockOffset: Int64) {
        self.capacity = capacity
        self.timeout = timeout
        self.wallClockOffset = wallClockOffset
        sessions = SessionStore(expecting: min(capacity, 4096))
    }

    /// Renegotiations among `sessions` that are no handshakes yet, and may never be.
    private var unconfirmed = 0
    /// Handshakes that are told by their messages.
    var messages = MessageSessions()

    var inFlight: Int { sessions.count - unconfirmed }

    /// Registers what profile `index` stands for.
    mutating func register(_ entry: ProfileEntry, at index: Int) {
        while profiles.count <= index {
            profiles.append(nil)
            health.append(ProfileHealth())
        }
        profiles[index] = entry
        health[index] = ProfileHealth()
    }

    /// Hands over what has finished, and forgets it.
    mutating func takeFinished() -> [Handshake] {
        // A buffer that is handed over is made anew.
        guard !finished.isEmpty else { return [] }
        defer { finished.removeAll(keepingCapacity: true) }
        return finished
    }

    /// Hands over the traces of what has finished, in the order of `takeFinished`.
    mutating func takeTraces() -> [SessionTrace] {
        guard !traces.isEmpty else { return [] }
        defer { traces.removeAll(keepingCapacity: true) }
        return traces
    }

    /// How long a session whose socket is closed waits for the library's last word: an event loop that has the
    /// peer's alert still to read, or a process that frees the object without another call.
    static let closeGrace: UInt64 = 2_000_000_000

    /// How long one that has failed waits for the application to send the alert.
    static let alertGrace: UInt64 = 500_000_000

    /// Ends what has been idle for longer than the timeout, or closed for longer than the grace. Call about once a
    /// second.
    mutating func expire(now: UInt64) {
        confirmBlocked(now: now)
        endDropped(now: now)
        let over = sessions.keys { _, session in
            session.closed.map { now > $0 && now - $0 > Self.closeGrace } ?? false
                || session.toldFailure.map { now > $0.time && now - $0.time > Self.alertGrace } ?? false
                || session.messages?.refusal.map { now > $0.time && now - $0.time > Self.dropGrace } ?? false
                || (now > session.lastActivity && now - session.lastActivity > timeout)
        }
        for key in over {
            if endFailed(key) { continue }
            // Closed is closed, however short the timeout.
            if sessions[key]?.closed != nil {
                endClosed(key)
            } else {
                end(key, at: now, outcome: .timeout)
            }
        }
    }

    /// How long a call lasts that waits for a peer: a look at bytes that are there does not.
    private static let lookLimit: UInt64 = 2_000_000_000

    /// A call that may be a look waits for bytes of its own: it is none.
    private mutating func confirmBlocked(now: UInt64) {
        guard unconfirmed > 0 else { return }
        for key in sessions.keys(where: { !$1.isConfirmed && $1.isTentative && !$1.isNone }) {
            guard let place = sessions.place(of: key), case let enter = sessions[place].callEnter, enter != 0,
                now > enter, now - enter > Self.lookLimit
            else { continue }
            confirm(place)
        }
    }

    /// Ends what only waits for the grace to pass: nothing more will come.
    mutating func endClosed() {
        for key in sessions.keys(where: { $1.hasToldFailure }) { endFailed(key) }
        for key in sessions.keys(where: { $1.closed != nil }) { endClosed(key) }
    }

    private mutating func endClosed(_ key: SessionKey) {
        guard let closed = sessions[key]?.closed else { return }
        endUnheard(key, at: closed)
    }

    /// Ends a session of which its library has said nothing more: abandoned, unless its connection has failed and the library does
    /// not report such failures.
    private mutating func endUnheard(_ key: SessionKey, at time: UInt64) {
        guard let session = sessions[key], let profile = entry(session.profile), !profile.rules.reportsConnectionErrors,
            let reason = session.connectionError == 0 ? nil : TransportError.reason(session.connectionError)
        else { return end(key, at: time, outcome: .abandoned) }
        end(key, at: time, outcome: .failed, reason: FailureReason(reason: reason))
    }

    /// Ends a session whose failure was told, whether the alert was sent or not, or whose alert was, whether the failure is told
    /// or not. False where neither was.
    @discardableResult mutating func endFailed(_ key: SessionKey) -> Bool {
        guard let place = sessions.place(of: key), let profile = entry(sessions[place].profile) else { return false }
        if let told = sessions[place].toldFailure {
            end(key, told, profile.rules)
            return true
        }
        guard let known = sessions[place].messages, let refusal = known.refusal else { return false }
        let reason = profile.rules.failure(Int32(refusal.alert), -1, known.version.map(UInt32.init))
        end(key, at: refusal.time, outcome: .failed, reason: reason)
        return true
    }

    mutating func end(_ key: SessionKey, _ told: ToldFailure, _ rules: SessionRules) {
        guard let place = sessions.place(of: key) else { return }
        let reason = sessions[place].failure(
            rules: rules, io: told.io, version: told.facts.version, closeNotify: told.peerHasEnded)
        end(
            key, at: told.time, outcome: .failed, reason: reason, facts: told.facts, random: told.random,
            inOneCall: told.inOneCall)
    }

    /// Ends a session whose object or process is gone: at that moment, or when its socket had closed before.
    mutating func abandon(_ key: SessionKey, at time: UInt64) {
        if endFailed(key) { return }
        endUnheard(key, at: min(sessions[key]?.closed ?? time, time))
    }

    func entry(_ index: UInt16) -> ProfileEntry? {
        Int(index) < profiles.count ? profiles[Int(index)] : nil
    }

    mutating func implausible(_ profile: UInt16) -> Rejection {
        if Int(profile) < health.count { health[Int(profile)].implausible += 1 }
        return .implausible
    }

    mutating func sane(_ profile: UInt16) {
        health[Int(profile)].plausible += 1
    }

    /// Records were lost meanwhile.
    mutating func note(loss: LossSpan) { losses.add(loss) }

    // MARK: ends

    mutating func end(
        _ key: SessionKey, at time: UInt64, outcome: Outcome, reason: FailureReason? = nil,
        facts: consuming SessionFacts? = nil, random: UInt64? = nil, inOneCall: Bool = false
    ) {
        guard let place = sessions.place(of: key) else { return }
        // Nobody saw a renegotiation begin; a look at a ClientHello ends as one.
        if !sessions[place].isConfirmed {
            guard sessions[place].isTentative, !sessions[place].isNone else { return withdraw(key) }
            confirm(place)
        }
        guard let profile = entry(sessions[place].profile) else { return }
        var (outcome, reason) = (outcome, reason)
        if let known = sessions[place].messages {
            messages.forget(key)
            facts = known.facts(role: sessions[place].role)
        }
        if !inOneCall, losses.overlap(sessions[place].start, time) {
            // Its end, or the beginning of another on the same object, may be among what was lost: it is counted,
            // and nothing is claimed of it. One call's return alone tells its own entry.
            (outcome, reason, facts) = (.abandoned, FailureReason(reason: "events_lost"), nil)
            sessions[place].parts.loseTrack()
        }
        if sessions[place].callEnter != 0 {
            // Nobody tells what became of it.
            sessions[place].parts.loseTrack()
            sessions[place].leaveCall(at: time)
        }
        counts.end(sessions[place].role, profile.stack)
        processCounts.remove(key.pid)
        if keepsTraces {
            traces.append(
                SessionTrace(
                    profile: sessions[place].profile, random: random ?? sessions[place].messages?.randomEnd,
                    socket: sessions[place].socket.flatMap(SocketPair.init)))
        }
        let process = processes.process(
            pid: key.pid, start: key.processStart, TaskName(sessions[place].entry.comm),
            TaskName(sessions[place].entry.thread))
        finished.append(
            Handshake(
                start: sessions[place].start, end: time, wallClockOffset: wallClockOffset, pid: key.pid,
                tid: sessions[place].tid, process: process, implementation: profile.implementation,
                role: sessions[place].role, outcome: outcome))
        sessions[place].finish(&finished[finished.count - 1], reason, facts, profile)
        sessions.remove(at: place)
    }

    /// Its place.
    @discardableResult mutating func begin(_ event: tlswatch_call_enter, _ kind: EntryKind) -> Int {
        let key = SessionKey(event.header)
        if sessions.place(of: key) != nil {
            // The object was cleared and used again before its handshake ended.
            abandon(key, at: event.header.time_ns)
        }
        if sessions.count >= capacity, let oldest = idleOrder.longestIdle(of: sessions) {
            endFailed(oldest)
            end(
                oldest, at: event.header.time_ns, outcome: .abandoned,
                reason: FailureReason(reason: "session_table_full", alert: nil, direction: nil))
        }
        unconfirmed += 1
        processCounts.add(key.pid)
        processes.note(pid: key.pid, start: key.processStart, parent: event.parent_pid)
        let place = sessions.insert(Session(event, kind), for: key)
        if kind == .start { confirm(place) }
        return place
    }

    /// A handshake takes place: from here on it is counted, and ends in one outcome.
    mutating func confirm(_ place: Int) {
        guard !sessions[place].isConfirmed else { return }
        sessions[place].isConfirmed = true
        unconfirmed -= 1
        guard let profile = entry(sessions[place].profile) else { return }
        counts.begin(sessions[place].role, profile.stack)
    }

    /// Forgets what has shown itself to be no handshake.
    mutating func withdraw(_ key: SessionKey) {
        guard let place = sessions.place(of: key) else { return }
        sessions.remove(at: place)
        unconfirmed -= 1
        processCounts.remove(key.pid)
    }

    /// Whether a session of this process and role is in flight that had begun by `time` and whose socket is not known.
    func hasSessionWithoutSocket(pid: UInt32, role: Role, begunBy time: UInt64) -> Bool {
        guard processCounts.contains(pid) else { return false }
        return sessions.contains { key, session in
            key.pid == pid && session.role == role && session.socket == nil && session.start <= time
        }
    }
}
