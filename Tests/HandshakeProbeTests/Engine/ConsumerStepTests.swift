import CEvents
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// The step that live events, a replay and a replay at the recorded pace have in common.
@Suite("The consumer's step") struct ConsumerStepTests: RecordedStream {
    private static let longest: UInt64 = 60 * second

    private func consumer(timeout: UInt64 = Self.timeout) -> EventConsumer {
        let consumer = EventConsumer(
            replayTimeout: timeout, metrics: MetricsRegistry(version: "test"), longestWindow: Self.longest,
            wallClockOffset: 0)
        consumer.register(Self.library)
        return consumer
    }

    private func feed(_ records: [[UInt8]], to consumer: EventConsumer) {
        for record in records { unsafe record.withUnsafeBytes { unsafe consumer.consume($0) } }
    }

    @Test("The same sessions come of a stream, whether it is stepped after each record, every 20 ms, or once a second")
    func sessionsDoNotDependOnThePace() throws {
        var records: [(time: UInt64, bytes: [UInt8])] = []
        for index in 0..<200 as Range<UInt64> {
            let start = second + index * 37_000_000
            records.append((start, entered(start)))
            // Every fifth is left alone until it times out, or until the object's next handshake.
            if index % 5 != 4 { records.append((start + 150, returned(start + 150, from: start + 110))) }
        }
        func told(every interval: UInt64) -> [[UInt64]] {
            let consumer = consumer(timeout: 2 * second)
            var told: [Handshake] = []
            var next: UInt64 = 0
            for (time, bytes) in records {
                if time >= next {
                    told += consumer.step(now: time).finished
                    next = time + interval
                }
                feed([bytes], to: consumer)
            }
            told += consumer.step(now: 100 * second).finished
            told += consumer.finish(now: 100 * second)
            #expect(consumer.table.inFlight == 0)
            #expect(consumer.outcomes.values.reduce(0, +) == UInt64(told.count))
            return told.map { [$0.start, $0.end, $0.duration] }.sorted { $0[0] < $1[0] }
        }
        let each = told(every: 0)
        #expect(each.count == 200)
        #expect(told(every: 20_000_000) == each)
        #expect(told(every: second) == each)
    }

    @Test("A session that hears nothing more times out in a step, and no step looks again within a quarter of a second")
    func aStepEndsWhatHasTimedOut() {
        let consumer = consumer(timeout: second)
        feed([entered(10 * second)], to: consumer)
        #expect(consumer.step(now: 10 * second).hasExpired)
        #expect(!consumer.step(now: 10 * second + EventConsumer.expireInterval - 1).hasExpired)
        let late = consumer.step(now: 12 * second)
        #expect(late.hasExpired)
        #expect(late.finished.map(\.outcome) == [.timeout])
    }

    @Test("A publication is due at once, then 200 ms after the last; at once when a handshake ends a quiet time")
    func whenAPublicationIsDue() {
        let consumer = consumer()
        let start = 1_000 * second
        feed([entered(start)], to: consumer)
        #expect(consumer.step(now: start).isPublicationDue)
        _ = consumer.publish(now: start, drained: start)
        #expect(!consumer.step(now: start + 199_999_999).isPublicationDue)
        #expect(consumer.step(now: start + 200_000_000).isPublicationDue)
        _ = consumer.publish(now: start + 3 * second, drained: 0)
        _ = consumer.step(now: start + 3 * second)
        #expect(consumer.isQuiet)
        // Still within 200 ms of the last one.
        feed([returned(start + 3 * second, from: start + 2 * second)], to: consumer)
        let woken = consumer.step(now: start + 3 * second + 1)
        #expect(woken.finished.count == 1)
        #expect(woken.isPublicationDue)
        #expect(!consumer.isQuiet)
    }

    @Test("Once the longest window is empty, a publication a second is enough")
    func aSettledHostIsPublishedOnceASecond() {
        let consumer = consumer()
        let start = 1_000 * second
        feed([entered(start), returned(start + 150, from: start + 110)], to: consumer)
        _ = consumer.step(now: start + 200)
        let later = start + Self.longest + 10 * second
        _ = consumer.step(now: later)
        _ = consumer.publish(now: later, drained: later)
        #expect(!consumer.step(now: later + 999_999_999).isPublicationDue)
        #expect(consumer.step(now: later + second).isPublicationDue)
    }

    @Test("A library of a stack that is not known, or without a profile, is not registered")
    func whatCannotBeJudgedIsNotRegistered() {
        let consumer = consumer()
        for library in [
            RecordedLibrary(profile: 0, stack: "openssl", path: "/a", version: nil),
            RecordedLibrary(profile: Int(TLSWATCH_MAX_PROFILES), stack: "openssl", path: "/a", version: nil),
            RecordedLibrary(profile: 2, stack: "unheard_of", path: "/a", version: nil),
        ] { #expect(!consumer.register(library)) }
        #expect(consumer.register(Self.library))
    }
}
