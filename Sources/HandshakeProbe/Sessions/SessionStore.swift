/// The sessions in flight. Each has a place that it keeps as long as it is there, so that an event is one look-up and what
/// it changes is changed where it stands. Places are used again; memory is taken as it is needed, and kept.
struct SessionStore {
    private var places: SessionPlaces
    private var sessions: [Session] = []
    private var keys: [SessionKey] = []
    /// By place, whether a session is there.
    private var isTaken: [Bool] = []
    private var free: [Int32] = []

    init(expecting count: Int) {
        places = SessionPlaces(expecting: count)
        sessions.reserveCapacity(count)
        keys.reserveCapacity(count)
        isTaken.reserveCapacity(count)
    }

    var count: Int { places.count }
    var isEmpty: Bool { places.count == 0 }

    func place(of key: SessionKey) -> Int? { places.place(of: key, keys) }

    /// The session at a place that `place(of:)` gave, of a session that has not been removed since.
    subscript(place: Int) -> Session {
        _read { yield sessions[place] }
        _modify { yield &sessions[place] }
    }

    subscript(key: SessionKey) -> Session? { place(of: key).map { sessions[$0] } }

    /// Adds a session under a key that has none. Its place.
    @discardableResult mutating func insert(_ session: consuming Session, for key: SessionKey) -> Int {
        let place: Int
        if let again = free.popLast() {
            place = Int(again)
            sessions[place] = session
            (keys[place], isTaken[place]) = (key, true)
        } else {
            place = sessions.count
            sessions.append(session)
            keys.append(key)
            isTaken.append(true)
        }
        places.insert(key, at: place, keys)
        return place
    }

    /// Removes the session at its place.
    mutating func remove(at place: Int) {
        places.remove(keys[place], at: place, keys)
        sessions[place].extras = nil
        isTaken[place] = false
        free.append(Int32(truncatingIfNeeded: place))
    }

    /// The keys of those that `isIncluded` accepts.
    func keys(where isIncluded: (SessionKey, borrowing Session) -> Bool) -> [SessionKey] {
        var found: [SessionKey] = []
        for place in sessions.indices where isTaken[place] && isIncluded(keys[place], sessions[place]) {
            found.append(keys[place])
        }
        return found
    }

    /// Whether `isIncluded` accepts one.
    func contains(where isIncluded: (SessionKey, borrowing Session) -> Bool) -> Bool {
        sessions.indices.contains { isTaken[$0] && isIncluded(keys[$0], sessions[$0]) }
    }

    /// Each key and what `body` makes of its session.
    func map<Value>(_ body: (SessionKey, borrowing Session) -> Value) -> [Value] {
        var values: [Value] = []
        for place in sessions.indices where isTaken[place] { values.append(body(keys[place], sessions[place])) }
        return values
    }
}
