import Synchronization

/// Lets a number of scrapes in at a time. For any thread.
final class ScrapeGate: Sendable {
    /// One scrape's place; given back with the object.
    final class Place: Sendable {
        private let gate: ScrapeGate

        fileprivate init(_ gate: ScrapeGate) { self.gate = gate }

        deinit { gate.taken.withLock { $0 -= 1 } }
    }

    private let places: Int
    private let taken = Mutex(0)

    init(places: Int) { self.places = places }

    /// `nil` where all places are taken.
    func enter() -> Place? {
        let admitted = taken.withLock { taken in
            guard taken < places else { return false }
            taken += 1
            return true
        }
        return admitted ? Place(self) : nil
    }
}
