import Handshakes

/// Counts that the session table keeps for conservation, by role and stack. A host has a few of these lines: each is found by
/// looking at them, which costs less than to hash a name.
package struct SessionCounts: Sendable, Equatable {
    package struct Line: Sendable, Equatable {
        package let role: Role
        package let stack: String
        package var started: UInt64 = 0
        package var inFlight: UInt64 = 0
    }

    package private(set) var lines: [Line] = []

    mutating func begin(_ role: Role, _ stack: String) {
        let place = place(role, stack)
        lines[place].started += 1
        lines[place].inFlight += 1
    }

    mutating func end(_ role: Role, _ stack: String) {
        lines[place(role, stack)].inFlight -= 1
    }

    package func started(_ role: Role, _ stack: String) -> UInt64 { line(role, stack)?.started ?? 0 }
    package func inFlight(_ role: Role, _ stack: String) -> UInt64 { line(role, stack)?.inFlight ?? 0 }
    package var started: UInt64 { lines.reduce(0) { $0 + $1.started } }
    package var inFlight: UInt64 { lines.reduce(0) { $0 + $1.inFlight } }

    private func line(_ role: Role, _ stack: String) -> Line? {
        lines.first { $0.role == role && $0.stack == stack }
    }

    private mutating func place(_ role: Role, _ stack: String) -> Int {
        if let place = lines.firstIndex(where: { $0.role == role && $0.stack == stack }) { return place }
        lines.append(Line(role: role, stack: stack))
        return lines.count - 1
    }
}

/// Sessions in flight by process. Most events are of the process that the one before was of: its count stands apart, where
/// nothing has to be looked up.
struct ProcessCounts {
    private var others: [UInt32: Int] = [:]
    private var pid: UInt32 = 0
    private var count = 0

    mutating func add(_ pid: UInt32) {
        turn(to: pid)
        count += 1
    }

    mutating func remove(_ pid: UInt32) {
        turn(to: pid)
        count -= 1
    }

    /// Whether it has one.
    func contains(_ pid: UInt32) -> Bool { pid == self.pid ? count > 0 : others[pid] != nil }

    private mutating func turn(to pid: UInt32) {
        guard pid != self.pid else { return }
        if count > 0 { others[self.pid] = count }
        (self.pid, count) = (pid, others.removeValue(forKey: pid) ?? 0)
    }
}
