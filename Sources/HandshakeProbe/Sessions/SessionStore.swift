/// The sessions in flight. Each has a place that it keeps as long as it is there, so that an event is one look-up and what
/// it changes is changed where it stands. Places are used again; memory is taken as it is needed, and kept.
struct SessionStore {
    /// By key, where a session is.
    private var places: [SessionKey: Int32] = [:]
    private var sessions: [Session] = []
    private var keys: [SessionKey] = []
    private var free: [Int32] = []

    init(expecting count: Int) {
        places.reserveCapacity(count)
        sessions.reserveCapacity(count)
        keys.reserveCapacity(count)
    }

    var count: Int { places.count }
    var isEmpty: Bool { places.isEmpty }

    func place(of key: SessionKey) -> Int? { places[key].map { Int($0) } }

    /// The session at a place that `place(of:)` gave, of a session that has not been removed since.
    subscript(place: Int) -> Session {
        get { sessions[place] }
        _modify { yield &sessions[place] }
    }

    subscript(key: SessionKey) -> Session? { place(of: key).map { sessions[$0] } }

    /// Adds a session under a key that has none.
    mutating func insert(_ session: consuming Session, for key: SessionKey) {
        if let place = free.popLast() {
            places[key] = place
            sessions[Int(place)] = session
            keys[Int(place)] = key
        } else {
            places[key] = Int32(truncatingIfNeeded: sessions.count)
            sessions.append(session)
            keys.append(key)
        }
    }

    mutating func remove(_ key: SessionKey) -> Session? {
        guard let place = places.removeValue(forKey: key) else { return nil }
        free.append(place)
        return sessions[Int(place)]
    }

    /// The keys of those that `isIncluded` accepts.
    func keys(where isIncluded: (SessionKey, borrowing Session) -> Bool) -> [SessionKey] {
        places.filter { isIncluded($0.key, sessions[Int($0.value)]) }.map(\.key)
    }

    /// Whether `isIncluded` accepts one.
    func contains(where isIncluded: (SessionKey, borrowing Session) -> Bool) -> Bool {
        places.contains { isIncluded($0.key, sessions[Int($0.value)]) }
    }

    /// Each key and what `body` makes of its session.
    func map<Value>(_ body: (SessionKey, borrowing Session) -> Value) -> [Value] {
        places.map { body($0.key, sessions[Int($0.value)]) }
    }
}
