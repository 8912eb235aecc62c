import CBPF
import Glibc

/// One attachment in the kernel. It is detached when this value goes; nothing is pinned.
package struct ProbeLink: ~Copyable {
    @safe private enum Handle {
        case descriptor(Int32)
        case libbpf(OpaquePointer)
    }
    private let handle: Handle

    /// What libbpf 1.1 has no names for.
    package enum AttachType {
        package static let multi = UInt32(TLSWATCH_BPF_TRACE_UPROBE_MULTI)
        package static let session = UInt32(TLSWATCH_BPF_TRACE_UPROBE_SESSION)
    }

    /// A uprobe multi or session link over several places of one file.
    ///
    /// - Parameter path: kept open by the caller only during the call.
    package init(
        multi program: OpaquePointer, attachType: UInt32, path: String, offsets: [UInt64], cookies: [UInt64],
        returns: Bool
    ) throws(BPFError) {
        let descriptor = unsafe tlswatch_link_uprobe_multi(
            bpf_program__fd(program), attachType, path, offsets, cookies, UInt32(offsets.count), returns, 0)
        guard descriptor >= 0 else {
            throw .from(descriptor, operation: "attach \(offsets.count) probes")
        }
        handle = .descriptor(descriptor)
    }

    /// One perf-event uprobe.
    package init(
        perf program: OpaquePointer, path: String, offset: UInt64, cookie: UInt64, returns: Bool
    ) throws(BPFError) {
        guard let link = unsafe tlswatch_attach_perf_uprobe(program, path, Int(offset), cookie, returns) else {
            throw .from(errno, operation: "attach a probe at offset \(offset)")
        }
        unsafe handle = .libbpf(link)
    }

    /// A tracepoint program, at the place that its section names.
    package init(tracepoint program: OpaquePointer, name: String) throws(BPFError) {
        guard let link = unsafe bpf_program__attach(program) else {
            throw .from(errno, operation: "attach to tracepoint \(name)")
        }
        unsafe handle = .libbpf(link)
    }

    /// A program on the packets of a control group and those below it.
    ///
    /// - Parameter group: a descriptor of its directory, needed only during the call.
    package init(packets program: OpaquePointer, group: Int32, name: String) throws(BPFError) {
        guard let link = unsafe bpf_program__attach_cgroup(program, group) else {
            throw .from(errno, operation: "attach to the packets of control group \(name)")
        }
        unsafe handle = .libbpf(link)
    }

    deinit {
        switch handle {
        case .descriptor(let descriptor): close(descriptor)
        case .libbpf(let link): unsafe _ = bpf_link__destroy(link)
        }
    }
}
