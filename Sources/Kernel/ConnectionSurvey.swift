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
