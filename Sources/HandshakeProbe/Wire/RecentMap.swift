/// A dictionary that keeps at least the last `limit` keys that were set, and at most twice as many: two generations, of which the
/// older is dropped when the newer is full.
struct RecentMap<Key: Hashable, Value> {
    private let limit: Int
    private var newer: [Key: Value] = [:]
    private var older: [Key: Value] = [:]

    init(limit: Int) { self.limit = limit }

    subscript(key: Key) -> Value? { newer[key] ?? older[key] }

    /// Whether it is among the newer: then it is kept for a while without being set again.
    func isFresh(_ key: Key) -> Bool { newer[key] != nil }

    /// Changes a value where it stands, and keeps its key like one that is set.
    mutating func update(_ key: Key, default value: Value, _ change: (inout Value) -> Void) {
        if newer[key] == nil { set(older.removeValue(forKey: key) ?? value, for: key) }
        change(&newer[key, default: value])
    }

    mutating func set(_ value: Value, for key: Key) {
        if newer.count >= limit, newer[key] == nil {
            older = newer
            newer = [:]
        }
        newer[key] = value
    }
}
