import Handshakes
import Kernel

/// What took part since the start and was not observed, or not from its first moment: for the end of a capture.
package struct Sighting: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case unobserved(reason: String, detail: String)
        /// Probed so many nanoseconds after a process had mapped it; `nil` where that is not known.
        case late(UInt64?)
    }

    /// As the kernel has it.
    package var path: String
    package var stack: String
    package var kind: Kind
    /// Those that mapped it, as many as are kept; they may be gone.
    package var processes: Set<UInt32>
    /// The name of one of them.
    package var command: String?

    package init(path: String, stack: String, kind: Kind, processes: Set<UInt32> = [], command: String? = nil) {
        (self.path, self.stack, self.kind) = (path, stack, kind)
        (self.processes, self.command) = (processes, command)
    }
}

/// Collects sightings. Bounded: what a host runs in a long capture is others' doing.
struct Sightings {
    private static let fileLimit = 1_000
    private static let processLimit = 100_000
    private static let processesOfFile = 1_000
    private static let holderLimit = 10_000

    private struct Key: Hashable {
        var file: MappedInode
        var isLate: Bool
    }

    private var entries: [Key: Sighting] = [:]
    private var order: [Key] = []
    /// Processes that mapped a library that is observed.
    private var observed: Set<UInt32> = []
    /// Processes that held connections on ports of TLS, whatever they map, and a program for each.
    private var holders: [(pid: UInt32, program: Sighting)] = []
    private var known: Set<UInt32> = []
    /// Files for which there was no room.
    private(set) var omitted = 0

    mutating func note(observed pid: UInt32) {
        if observed.count < Self.processLimit { observed.insert(pid) }
    }

    mutating func note(
        _ file: MappedInode, path: @autoclosure () -> String, stack: @autoclosure () -> String, kind: Sighting.Kind,
        pid: UInt32
    ) {
        let isLate = if case .late = kind { true } else { false }
        let key = Key(file: file, isLate: isLate)
        if entries[key] == nil {
            guard order.count < Self.fileLimit else {
                omitted += 1
                return
            }
            entries[key] = Sighting(path: path(), stack: stack(), kind: kind)
            order.append(key)
        }
        guard let entry = entries[key], entry.processes.count < Self.processesOfFile else { return }
        if !isLate { entries[key]?.kind = kind }
        guard entries[key]?.processes.insert(pid).inserted == true, entry.command == nil else { return }
        entries[key]?.command = readTextFile("/proc/\(pid)/comm", limit: 64).map { String($0.prefix { $0 != "\n" }) }
    }

    mutating func note(holder pid: UInt32, path: @autoclosure () -> String?, holds: String) {
        guard holders.count < Self.holderLimit, known.insert(pid).inserted else { return }
        let kind = Sighting.Kind.unobserved(
            reason: UnobservedReason.noKnownLibrary.rawValue, detail: "no known TLS library; \(holds)")
        let command = readTextFile("/proc/\(pid)/comm", limit: 64).map { String($0.prefix { $0 != "\n" }) }
        holders.append(
            (pid, Sighting(path: path() ?? Label.unknown, stack: Label.unknown, kind: kind, command: command)))
    }

    /// It can be looked at now.
    mutating func resolved(_ file: MappedInode) {
        let key = Key(file: file, isLate: false)
        if entries.removeValue(forKey: key) != nil { order.removeAll { $0 == key } }
    }

    /// In the order in which they were met.
    ///
    /// - Parameters:
    ///   - told: processes of which sessions were seen; those count as observed. `nil` counts all that mapped an observed
    ///     library.
    ///   - seen: processes of which sessions were seen, in either case.
    func list(observed told: Set<UInt32>?, seen: Set<UInt32> = []) -> [Sighting] {
        order.compactMap { entries[$0] }.filter { sighting in
            if case .late = sighting.kind { return true }
            return !sighting.processes.isSubset(of: told ?? observed)
        } + programs(without: entries.values.reduce(into: observed.union(seen)) { $0.formUnion($1.processes) })
    }

    /// Those that hold connections on ports of TLS and have nothing else said of them.
    private func programs(without others: Set<UInt32>) -> [Sighting] {
        var programs: [Sighting] = []
        var indices: [String: Int] = [:]
        for (pid, program) in holders where !others.contains(pid) {
            let index = indices[program.path] ?? programs.count
            if index == programs.count {
                indices[program.path] = index
                programs.append(program)
            }
            programs[index].processes.insert(pid)
        }
        return programs
    }
}
