/// Counts of processes that may use TLS and map no library that could tell.
struct UncoveredProcesses: Sendable, Equatable {
    /// They map a file that could not be opened for want of descriptors.
    var unopened = 0
    /// They hold connections on ports of TLS and map no TLS stack that is known.
    var withoutLibrary = 0
    /// The control groups of the connections of all that no library is observed of.
    var groups: Set<UInt64> = []

    var byReason: [(reason: UnobservedReason, count: Int)] {
        [(.noDescriptors, unopened), (.noKnownLibrary, withoutLibrary)].filter { $0.count > 0 }
    }
}
