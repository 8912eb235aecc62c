/// The newest values by slot, raw, as many as a window must answer exactly.
///
/// Ordered by slot and not by arrival: a late value expires before ones that came earlier, so it must also make room
/// before them. Whatever a window of at most `capacity` values holds is then at the tail of this. Storage grows with
/// what it holds and no further than `capacity`.
struct RecentValues: Sendable {
    struct Entry: Sendable {
        var slot: UInt64
        var value: UInt64
    }

    let capacity: Int
    private var entries: [Entry] = []
    /// The oldest one's place, once there are `capacity` of them and the storage goes round.
    private var head = 0

    init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    var count: Int { entries.count }
    var storageBytes: Int { entries.capacity * MemoryLayout<Entry>.stride }

    /// The one at `index` from the oldest.
    subscript(index: Int) -> Entry { entries[position(index)] }

    mutating func insert(_ value: UInt64, slot: UInt64) {
        var place = entries.count
        if place == capacity {
            guard slot >= entries[head].slot else { return }
            head = position(1)
            place -= 1
        } else {
            entries.append(Entry(slot: slot, value: value))
        }
        while place > 0, entries[position(place - 1)].slot > slot {
            entries[position(place)] = entries[position(place - 1)]
            place -= 1
        }
        entries[position(place)] = Entry(slot: slot, value: value)
    }

    /// Empties it and lets the storage go.
    mutating func removeAll() {
        entries = []
        head = 0
    }

    /// Replaces the contents of `destination` by the newest `wanted` values, smallest first.
    func sortNewest(_ wanted: Int, into destination: inout [UInt64]) {
        destination.removeAll(keepingCapacity: true)
        for index in max(0, count - wanted)..<count { destination.append(self[index].value) }
        destination.sort()
    }

    private func position(_ index: Int) -> Int {
        let place = head + index
        return place < entries.count ? place : place - entries.count
    }
}
