import Dispatch
import Kernel
import Synchronization

/// Looks at what belongs to others (mapped files, their names, the maps of a process) on a thread that can be given up
/// on: where a network or FUSE server does not answer, whoever asks waits for as long as it likes.
///
/// One look at a time, and the caller waits for it, for so long. A thread that hangs is left to itself, and another takes
/// its place; while it hangs, nothing else at that place is looked at. It has the capabilities of the thread that asked
/// when it was started: threads without them must not ask.
final class ForeignReader: Sendable {
    /// What hangs together.
    enum Place: Hashable, Sendable {
        /// The kernel's dev_t.
        case device(UInt32)
        /// A name whose file system is not known before it is looked at.
        case path(String)
        /// The maps of a process, which a system call of that process may hold.
        case process(UInt32)
    }

    enum Answer<Value: Sendable>: Sendable {
        case value(Value)
        /// Nothing came in time, or something else at that place hangs. In a sentence's end.
        case hangs(detail: String)

        var value: Value? { if case .value(let value) = self { value } else { nil } }
    }

    /// How long looks may wait, in nanoseconds. Their computing does not count, nor waiting for a processor.
    struct Patience: Sendable {
        /// For one look.
        var each: UInt64
        /// For all looks that are given up on, together.
        var total: UInt64

        /// While nothing is measured yet.
        static let first = Patience(each: 2_000_000_000, total: 3_000_000_000)
        static let steady = Patience(each: 5_000_000_000, total: .max)
        /// While the program ends.
        static let last = Patience(each: 300_000_000, total: 300_000_000)
        /// For one look once `total` is used up.
        fileprivate static let least: UInt64 = 100_000_000
    }

    /// Threads that hang, at most: each is a stack. Past it nothing is looked at until one comes back; past half of it no
    /// name is, of which one file system has many.
    private let limit: Int
    /// Between two looks at the clock.
    private static let step = 20_000_000

    private struct State {
        var patience: Patience
        var worker: Worker?
        var hanging: Set<Place> = []
        /// Processes that ask a file system whether it answers, and hang.
        var canaries: [(canary: Canary, place: Place)] = []
        var abandoned = 0
        var cameBack = false

        /// Nanoseconds for the next look. Who waits for several has less for each.
        var allowed: UInt64 {
            max(Patience.least, min(patience.each >> UInt64(min(abandoned, 3)), patience.total))
        }
    }

    private let state: Mutex<State>
    private let threads = DispatchGroup()

    init(_ patience: Patience = .steady, limit: Int = 32) {
        self.limit = limit
        state = Mutex(State(patience: patience))
    }

    deinit { state.withLock { $0.worker }?.end() }

    /// From any thread; also for the look that is under way.
    func setPatience(_ patience: Patience) { state.withLock { $0.patience = patience } }

    /// Threads, and processes that ask, that hang.
    var abandoned: Int {
        state.withLock { state in
            Self.reap(&state)
            return state.abandoned
        }
    }

    /// Whether a look that was given up on has ended since the last call: what hung may answer again.
    func takeCameBack() -> Bool {
        state.withLock { state in
            Self.reap(&state)
            defer { state.cameBack = false }
            return state.cameBack
        }
    }

    /// - Parameters:
    ///   - asking: a file there, where a server may provide it: a process asks first whether it answers. A thread that
    ///     waits for a server may not be killed, and would keep this program from ending.
    ///   - late: gets what comes after it was given up on, on that thread; what it holds is let go of there.
    ///   - body: runs on the reader's thread. What it opens it closes, unless it hands it over.
    func look<Value: Sendable>(
        at place: Place, asking: String? = nil, late: @escaping @Sendable (Value) -> Void = { _ in },
        _ body: @escaping @Sendable () -> Value
    ) -> Answer<Value> {
        let worker: Worker
        switch takeWorker(for: place) {
        case .value(let taken): worker = taken
        case .hangs(let detail): return .hangs(detail: detail)
        }
        if let asking, let detail = ask(asking, at: place) { return .hangs(detail: detail) }
        let parcel = Parcel<Value>()
        worker.begin {
            let value = body()
            if !parcel.put(value) {
                late(value)
                self.comeBack(from: place)
            }
        }
        var waited: UInt64 = 0
        while worker.isBusy(for: Self.step) {
            waited = worker.waited
            let allowed = state.withLock { $0.allowed }
            if waited >= allowed, abandon(worker, at: place, parcel.giveUp) { break }
        }
        guard let value = parcel.take() else {
            return .hangs(detail: "no answer within \(waited / 1_000_000) ms")
        }
        return .value(value)
    }

    private func takeWorker(for place: Place) -> Answer<Worker> {
        state.withLock { state in
            Self.reap(&state)
            if state.hanging.contains(place) { return .hangs(detail: "its file system does not answer") }
            let isName = if case .path = place { true } else { false }
            guard state.abandoned < (isName ? limit / 2 : limit) else {
                return .hangs(detail: "\(state.abandoned) looks at file systems hang already")
            }
            if let worker = state.worker { return .value(worker) }
            let worker = Worker()
            do throws(BPFError) {
                try WorkerThread.start("tlswatch-read", in: threads) { worker.run() }
            } catch {
                return .hangs(detail: error.description)
            }
            state.worker = worker
            return .value(worker)
        }
    }

    /// Has a process ask whether a file's file system answers. What it is that it does not.
    private func ask(_ path: String, at place: Place) -> String? {
        // Without another process the thread has to find out.
        guard let canary = Canary(asking: path) else { return nil }
        let began = monotonicNow()
        while true {
            if canary.hasEnded(waiting: Int32(Self.step / 1_000_000)) { return nil }
            let passed = monotonicNow() - began
            let waited = passed - min(passed, Worker.ran("/proc/\(canary.pid)/schedstat"))
            let isGivenUp = state.withLock { state in
                guard waited >= state.allowed else { return false }
                state.canaries.append((canary, place))
                state.abandoned += 1
                state.hanging.insert(place)
                state.patience.total -= min(state.patience.total, waited)
                return true
            }
            if isGivenUp { return "no answer within \(waited / 1_000_000) ms" }
        }
    }

    /// Notes which of the processes that asked have ended: what they asked answers.
    private static func reap(_ state: inout State) {
        let ended = state.canaries.filter { $0.canary.hasEnded() }
        guard !ended.isEmpty else { return }
        state.canaries.removeAll { asked in ended.contains { $0.canary.pid == asked.canary.pid } }
        for asked in ended { state.hanging.remove(asked.place) }
        state.abandoned -= ended.count
        state.cameBack = true
    }

    /// False where the answer has just come.
    private func abandon(_ worker: Worker, at place: Place, _ giveUp: () -> Bool) -> Bool {
        state.withLock { state in
            guard giveUp() else { return false }
            state.worker = nil
            state.abandoned += 1
            state.hanging.insert(place)
            state.patience.total -= min(state.patience.total, worker.waited)
            worker.end()
            return true
        }
    }

    private func comeBack(from place: Place) {
        state.withLock { state in
            state.abandoned -= 1
            state.hanging.remove(place)
            state.cameBack = true
        }
    }
}

/// What a look brings: taken in time, or given up on.
private final class Parcel<Value: Sendable>: Sendable {
    private enum Content {
        case awaited, given(Value), unwanted
    }

    private let content = Mutex(Content.awaited)

    /// False where nobody waits for it any more.
    func put(_ value: Value) -> Bool {
        content.withLock { content in
            guard case .awaited = content else { return false }
            content = .given(value)
            return true
        }
    }

    /// False where it has come.
    func giveUp() -> Bool {
        content.withLock { content in
            guard case .awaited = content else { return false }
            content = .unwanted
            return true
        }
    }

    func take() -> Value? {
        content.withLock { content in
            guard case .given(let value) = content else { return nil }
            return value
        }
    }
}

/// A thread that does one job after the other.
private final class Worker: Sendable {
    private struct State {
        var job: (@Sendable () -> Void)?
        var thread: Int32 = 0
        var began: UInt64 = 0
        var ranBefore: UInt64 = 0
        var ends = false
    }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let done = DispatchSemaphore(value: 0)

    func begin(_ job: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.job = job
            state.began = monotonicNow()
            state.ranBefore = Self.ran(Self.account(state.thread))
        }
        wake.signal()
    }

    /// It takes no job after the one that it does.
    func end() {
        state.withLock { $0.ends = true }
        wake.signal()
    }

    /// Waits for the job's end, at most so many nanoseconds; whether it goes on.
    func isBusy(for nanoseconds: Int) -> Bool { done.wait(timeout: .now() + .nanoseconds(nanoseconds)) == .timedOut }

    /// Nanoseconds that the job has neither run nor waited for a processor.
    var waited: UInt64 {
        let (thread, began, before) = state.withLock { ($0.thread, $0.began, $0.ranBefore) }
        let passed = monotonicNow() - began
        let ran = Self.ran(Self.account(thread))
        return passed - min(passed, ran - min(ran, before))
    }

    func run() {
        state.withLock { $0.thread = WorkerThread.current }
        while true {
            wake.wait()
            if doJob() { done.signal() }
            if state.withLock({ $0.ends && $0.job == nil }) { return }
        }
    }

    /// What the job holds is let go of when this returns.
    private func doJob() -> Bool {
        let job = state.withLock { state in
            defer { state.job = nil }
            return state.job
        }
        job?()
        return job != nil
    }

    private static func account(_ thread: Int32) -> String { "/proc/self/task/\(thread)/schedstat" }

    /// Nanoseconds that a thread has run, or waited to, by its account in /proc; 0 where the kernel keeps none.
    static func ran(_ account: String) -> UInt64 {
        guard let text = readTextFile(account, limit: 4096) else { return 0 }
        return text.split(separator: " ").prefix(2).reduce(0) { $0 &+ (UInt64($1) ?? 0) }
    }
}
