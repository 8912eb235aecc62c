/// Connections whose handshake has ended and whose owner is not decided: a library's session that ends later may be the same
/// one. In the order in which they ended; bounded.
struct HeldConnections {
    private let capacity: Int
    private var connections: [UInt64: WireConnection] = [:]
    /// Until when each is waited for; its beginning, up to `first`, is spent.
    private var queue: [(number: UInt64, until: UInt64)] = []
    private var first = 0
    /// Those that nothing is waited for any more.
    private var decided: [UInt64] = []

    init(capacity: Int) { self.capacity = capacity }

    var isEmpty: Bool { connections.isEmpty }

    subscript(number: UInt64) -> WireConnection? { connections[number] }

    /// - Parameter until: when nothing is waited for any more; `nil` for one that nothing has to be waited for.
    mutating func hold(_ connection: WireConnection, _ number: UInt64, until: UInt64?) {
        connections[number] = connection
        guard let until else {
            decided.append(number)
            return
        }
        queue.append((number, until))
        // The oldest waits no longer where there are too many.
        if queue.count - first > capacity { decide() }
    }

    /// A library's session is this one.
    mutating func merge(_ number: UInt64) {
        guard connections[number] != nil else { return }
        connections[number]?.merge()
        decided.append(number)
    }

    /// Nothing is waited for any more, of any.
    mutating func settle() {
        while first < queue.count { decide() }
    }

    private mutating func decide() {
        decided.append(queue[first].number)
        first += 1
        guard first > 1024, first * 2 > queue.count else { return }
        queue.removeFirst(first)
        first = 0
    }

    /// Takes out one that nothing is waited for any more.
    mutating func next(now: UInt64) -> (number: UInt64, connection: WireConnection)? {
        while first < queue.count, queue[first].until <= now { decide() }
        // One may be merged and come of age.
        while let number = decided.popLast() {
            if let connection = connections.removeValue(forKey: number) { return (number, connection) }
        }
        return nil
    }
}
