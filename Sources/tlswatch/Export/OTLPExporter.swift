import HandshakeProbe
import Handshakes
import Kernel
import Logging
import NIOPosix
import ServiceLifecycle

/// Tells a collector what is measured, by OTLP over HTTP in Protocol Buffers: all metrics at each interval, and the spans of
/// sessions as they come (OpenTelemetry, "OTLP Specification 1.x").
///
/// Nothing that measures waits for it. Metrics that were not delivered are not sent again: the next have all of them. Spans
/// are, a few times; what is lost is counted.
struct OTLPExporter: Service {
    /// What it tells: the metrics of now; `nil` before the first time.
    typealias Metrics = @Sendable () -> MetricsSnapshot?

    struct Limits: Sendable {
        /// Of one request, from the connection to the answer.
        var request: Duration = .seconds(10)
        /// For all that is left when the daemon ends.
        var end: Duration = .seconds(2)
        /// Spans in one request, and requests that wait for the next attempt.
        var batch = 512
        var batches = 4
        var attempts = 5
        /// Until the second attempt; doubled for each further one, up to `longestPause`.
        var firstPause: Duration = .seconds(1)
        var longestPause: Duration = .seconds(30)
        /// How often it looks whether there is something to do.
        var tick: Duration = .seconds(1)
    }

    let address: CollectorAddress
    let interval: UInt64
    let client: CollectorClient
    let queue: SpanQueue
    let accounts: OTLPAccounts
    let resource: OTLPResource
    let metrics: Metrics
    let logger: Logger
    var limits = Limits()

    /// Spans that are on their way.
    private struct Batch: Sendable {
        let body: [UInt8]
        let spans: Int
        var attempts = 0
        var notBefore: ContinuousClock.Instant
    }

    /// What one turn leaves for the next one.
    private struct State: Sendable {
        var batches: [Batch] = []
        /// When metrics are next told.
        var due: ContinuousClock.Instant
        /// Whether the last request came to nothing: told once.
        var isFailing = false
    }

    func run() async throws {
        let clock = ContinuousClock()
        var state = State(due: clock.now + .nanoseconds(Int64(clamping: interval)))
        // Also of a turn that waits for the collector: what it had on its way is tried once more.
        while await pause() {
            let now = clock.now
            let before = state
            state = await cancelWhenGracefulShutdown {
                var state = before
                await turn(&state, now)
                return state
            }
        }
        await finish(&state)
    }

    /// True when there is something to look at, false when it is time to stop.
    private func pause() async -> Bool {
        let passed: Void? = try? await cancelWhenGracefulShutdown { try await Task.sleep(for: limits.tick) }
        return passed != nil
    }

    private func turn(_ state: inout State, _ now: ContinuousClock.Instant) async {
        let isDue = now >= state.due
        if isDue || queue.count >= limits.batch { encode(&state, now) }
        // The oldest first; one that has to wait holds up those behind it, which go to the same place.
        while let first = state.batches.first, first.notBefore <= now {
            guard await attempt(&state, within: limits.request) else { break }
        }
        guard isDue else { return }
        await deliverMetrics(&state, within: limits.request)
        while state.due <= now { state.due += .nanoseconds(Int64(clamping: interval)) }
    }

    /// What is left goes out, once, in the time that there is.
    private func finish(_ state: inout State) async {
        let end = ContinuousClock.now + limits.end
        func left() -> Duration { max(.zero, end - .now) }
        encode(&state, .now, all: true)
        while !state.batches.isEmpty, left() > .zero {
            guard await attempt(&state, within: left()) else { break }
        }
        accounts.spans(.undelivered, state.batches.reduce(0) { $0 + $1.spans })
        if left() > .zero { await deliverMetrics(&state, within: left()) }
    }

    /// Makes requests of the sessions that wait, unless as many as are kept have not gone out yet.
    private func encode(_ state: inout State, _ now: ContinuousClock.Instant, all: Bool = false) {
        guard all || state.batches.count < limits.batches else { return }
        var sessions = queue.take()[...]
        var random = SystemRandomNumberGenerator()
        while !sessions.isEmpty {
            let part = Array(sessions.prefix(limits.batch))
            sessions = sessions.dropFirst(limits.batch)
            state.batches.append(
                Batch(
                    body: OTLPSpans.request(part, resource: resource, identifiers: &random), spans: part.count,
                    notBefore: now))
        }
    }

    /// Sends the first batch; false where it is still there.
    private func attempt(_ state: inout State, within limit: Duration) async -> Bool {
        let batch = state.batches[0]
        switch await post(batch.body, .traces, "/v1/traces", &state, within: limit) {
        case .delivered(let rejected):
            accounts.spans(.refused, min(rejected, batch.spans))
            accounts.spans(.delivered, batch.spans - min(rejected, batch.spans))
        case .refused: accounts.spans(.refused, batch.spans)
        case .failed(let retryAfter):
            state.batches[0].attempts += 1
            guard state.batches[0].attempts >= limits.attempts else {
                state.batches[0].notBefore = .now + pause(after: state.batches[0].attempts, retryAfter)
                return false
            }
            accounts.spans(.undelivered, batch.spans)
        }
        state.batches.removeFirst()
        return true
    }

    private func pause(after attempts: Int, _ asked: Int?) -> Duration {
        if let asked, asked >= 0 { return min(.seconds(asked), limits.longestPause) }
        // Not all daemons of a fleet at the same moment.
        return min(limits.firstPause * (1 << min(attempts - 1, 16)), limits.longestPause) * Double.random(in: 0.5...1)
    }

    private func deliverMetrics(_ state: inout State, within limit: Duration) async {
        guard let snapshot = metrics() else { return }
        let body = OTLPMetrics.request(
            snapshot, resource: resource, begun: ProcessSample.began, now: UInt64(max(0, wallClockNow())))
        if case .delivered(let rejected) = await post(body, .metrics, "/v1/metrics", &state, within: limit),
            rejected > 0
        {
            logger.warning(
                "the collector rejected some of the metrics",
                metadata: ["collector": "\(address.text)", "data_points": .stringConvertible(rejected)])
        }
    }

    private enum Outcome {
        /// But for so many data points or spans.
        case delivered(rejected: Int)
        /// What is sent again would be refused again.
        case refused
        /// Seconds that the collector asks for.
        case failed(retryAfter: Int?)
    }

    /// Answers after which a request may be sent again ("OTLP/HTTP Response": "Retryable Response Codes").
    private static let retryable: Set = [429, 502, 503, 504]

    private func post(
        _ body: [UInt8], _ signal: OTLPAccounts.Signal, _ path: String, _ state: inout State, within limit: Duration
    ) async -> Outcome {
        let failure: String
        var outcome = Outcome.failed(retryAfter: nil)
        do throws(CollectorClient.Failure) {
            let answer = try await client.post(body, to: path, within: limit)
            if (200..<300).contains(answer.status) {
                accounts.exported(signal, .delivered)
                if state.isFailing { logger.info("delivering again", metadata: ["collector": "\(address.text)"]) }
                state.isFailing = false
                return .delivered(rejected: OTLPAnswer.rejected(in: answer.body))
            }
            failure = "HTTP status \(answer.status)"
            outcome = Self.retryable.contains(answer.status) ? .failed(retryAfter: answer.retryAfter) : .refused
        } catch {
            failure = error.text
        }
        if case .refused = outcome { accounts.exported(signal, .refused) } else { accounts.exported(signal, .failed) }
        if !state.isFailing {
            logger.warning(
                "cannot deliver by OTLP: \(failure); measuring goes on",
                metadata: ["collector": "\(address.text)", "signal": "\(signal.rawValue)"])
        }
        state.isFailing = true
        return outcome
    }
}
