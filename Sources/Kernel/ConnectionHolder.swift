/// A process that listens or is connected on a port of TLS.
///
/// The port is all that is known: whether TLS is spoken there is not looked at.
package struct ConnectionHolder: Sendable, Equatable {
    /// The port it listens on, or else of a connection: its own or its peer's.
    package var port: UInt16 = 0
    package var listening = false
    package var connections = 0
    /// The control groups of these sockets, by the inodes of their directories.
    package var groups: Set<UInt64> = []

    package mutating func add(port: UInt16, listening: Bool, group: UInt64 = 0) {
        if group != 0 { groups.insert(group) }
        if listening {
            self.port = self.listening ? min(self.port, port) : port
            self.listening = true
        } else {
            if !self.listening { self.port = port }
            connections += 1
        }
    }

    /// `listens on port 8443, and has 2 connections on well-known TLS ports`
    package var summary: String {
        var holds = listening ? ["listens on port \(port)"] : []
        if connections > 0 {
            let count = connections == 1 ? "1 connection" : "\(connections) connections"
            holds.append("has \(count) on well-known TLS ports\(listening ? "" : " (port \(port))")")
        }
        return holds.joined(separator: ", and ")
    }
}
