/// The newest values by slot, raw, as many as a window must answer exactly.
///
/// Ordered by slot and not by arrival: a late value expires before ones that came earlier, so it must also make room
/// before them. Whatever a window of at most `capacity` values holds is then at the tail of this.
struct RecentValues: Sendable {
    let capacity: Int
    private var slots: [UInt64]
    private var values: [UInt64]
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = max(1, capacity)
        slots = [UInt64](repeating: 0, count: self.capacity)
        values = [UInt64](repeating: 0, count: self.capacity)
    }

    mutating func insert(_ value: UInt64, slot: UInt64) {
        if count == capacity {
            guard slot >= slots[head] else { return }
            head = position(1)
            count -= 1
        }
        var place = count
        while place > 0, slots[position(place - 1)] > slot {
            slots[position(place)] = slots[position(place - 1)]
            values[position(place)] = values[position(place - 1)]
            place -= 1
        }
        slots[position(place)] = slot
        values[position(place)] = value
        count += 1
    }

    /// Replaces the contents of `destination` by the newest `wanted` values, smallest first.
    func sortNewest(_ wanted: Int, into destination: inout [UInt64]) {
        destination.removeAll(keepingCapacity: true)
        for index in max(0, count - wanted)..<count {
            destination.append(values[position(index)])
        }
        destination.sort()
    }

    private func position(_ index: Int) -> Int {
        let place = head + index
        return place < capacity ? place : place - capacity
    }
}
