import Handshakes

/// Counts that the session table keeps for conservation.
package struct SessionCounts: Sendable, Equatable {
    /// By role and profile.
    package struct Key: Hashable, Sendable {
        package var role: Role
        package var stack: String
    }
    package var started: [Key: UInt64] = [:]
    package var inFlight: [Key: UInt64] = [:]
}
