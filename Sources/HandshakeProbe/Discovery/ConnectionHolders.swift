/// Counts of processes that may use TLS and map no library that could tell.
struct UncoveredProcesses: Sendable, Equatable {
    /// They map a file that could not be opened for want of descriptors.
    var unopened = 0
    /// They hold connections on ports of TLS and map no TLS stack that is known.
    var withoutLibrary = 0

    var byReason: [(reason: UnobservedReason, count: Int)] {
        [(.noDescriptors, unopened), (.noKnownLibrary, withoutLibrary)].filter { $0.count > 0 }
    }
}

/// The processes that hold connections on ports of TLS, for a look without a daemon: `targets`.
package enum ConnectionSurvey {
    /// The holders by process; `nil` where the kernel or the caller's capabilities (CAP_BPF and CAP_PERFMON) do not
    /// allow to list them.
    package static func host() -> [UInt32: ConnectionHolder]? {
        let features = KernelFeatures.probe()
        guard features.listsProcesses, let object = try? OpenBPFObject().load(only: .connections) else { return nil }
        return object.connectionHolders()
    }
}
