/// By key, at which place a session is: an open-addressed table with linear probing, half full at most.
///
/// Recordings that others have made choose the keys: the hash multiplies with secrets of this table's, so that nobody can
/// tell which keys meet.
struct SessionPlaces {
    /// The place plus 1; 0 is free. As many as a power of two.
    private var slots: [UInt32]
    private(set) var count = 0
    private let secrets = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max))

    init(expecting count: Int) {
        var size = 16
        while size < 2 * count { size *= 2 }
        slots = [UInt32](repeating: 0, count: size)
    }

    private func slot(of key: SessionKey) -> Int {
        let object = Self.product(key.object ^ secrets.0, key.processStart ^ secrets.1)
        let hash = Self.product(object ^ UInt64(key.pid), secrets.2)
        return Int(truncatingIfNeeded: hash) & (slots.count - 1)
    }

    /// All 128 bits of a product, one half on the other.
    private static func product(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let (high, low) = left.multipliedFullWidth(by: right)
        return high ^ low
    }

    /// - Parameter keys: by place.
    func place(of key: SessionKey, _ keys: [SessionKey]) -> Int? {
        var slot = slot(of: key)
        while slots[slot] != 0 {
            let place = Int(slots[slot]) - 1
            if keys[place] == key { return place }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Adds a key that is not there, and stands at `place` of `keys`.
    mutating func insert(_ key: SessionKey, at place: Int, _ keys: [SessionKey]) {
        if 2 * (count + 1) > slots.count { grow(keys) }
        store(place, key)
        count += 1
    }

    private mutating func store(_ place: Int, _ key: SessionKey) {
        var slot = slot(of: key)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = UInt32(place + 1)
    }

    private mutating func grow(_ keys: [SessionKey]) {
        let old = slots
        slots = [UInt32](repeating: 0, count: 2 * old.count)
        for entry in old where entry != 0 { store(Int(entry) - 1, keys[Int(entry) - 1]) }
    }

    /// Removes a key that is there; those behind it that belong before it move up.
    mutating func remove(_ key: SessionKey, at place: Int, _ keys: [SessionKey]) {
        let mask = slots.count - 1
        var free = slot(of: key)
        while slots[free] != UInt32(place + 1) { free = (free + 1) & mask }
        var slot = (free + 1) & mask
        while slots[slot] != 0 {
            let home = self.slot(of: keys[Int(slots[slot]) - 1])
            // Whether the free one lies on its way from home.
            if (slot - home) & mask >= (slot - free) & mask {
                slots[free] = slots[slot]
                free = slot
            }
            slot = (slot + 1) & mask
        }
        slots[free] = 0
        count -= 1
    }
}
