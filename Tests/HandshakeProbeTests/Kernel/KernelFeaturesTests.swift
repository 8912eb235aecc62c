import CBPF
import Glibc
import Testing

@testable import HandshakeProbe
@testable import Kernel

/// What is made of a kernel's features: which programs are loaded, and what doctor says of it.
@Suite("What a kernel offers") struct KernelFeaturesTests {
    private static func kernel(_ rungs: [ProbeRung], without missing: Set<Tracepoint> = []) -> KernelFeatures {
        KernelFeatures(
            release: "test", hasBTF: true, rungs: rungs,
            tracepoints: Set(Tracepoint.allCases.filter { !missing.contains($0) }.map(\.rawValue)))
    }

    @Test("Socket I/O is seen in one way only: by system calls where a socket tracepoint is missing")
    func socketInput() {
        let recent = Self.kernel([.session, .multi, .perf])
        #expect(recent.uses(.socketSend))
        #expect(recent.uses(.socketReceive))
        #expect(!recent.uses(.systemCallExit))
        for missing: Set<Tracepoint> in [[.socketSend, .socketReceive], [.socketSend], [.socketReceive]] {
            let old = Self.kernel([.perf], without: missing)
            #expect(!old.uses(.socketSend))
            #expect(!old.uses(.socketReceive))
            #expect(old.uses(.systemCallExit))
            #expect(old.uses(.socketState))
        }
        let none = Self.kernel([.perf], without: [.socketSend, .socketReceive, .systemCallExit])
        #expect(!none.uses(.systemCallExit))
    }

    @Test("A tracepoint's sentence says what stands in, what is lost, or nothing where nobody needs it")
    func aMissingTracepointIsExplained() {
        let recent = Self.kernel([.session, .multi, .perf])
        #expect(recent.sentence(on: .systemCallExit) == nil)
        #expect(recent.sentence(on: .socketReceive) == "available (\(Tracepoint.socketReceive.gain))")
        let old = Self.kernel([.perf], without: [.socketSend, .socketReceive])
        #expect(old.sentence(on: .systemCallExit)?.hasPrefix("available (replaces") == true)
        #expect(old.sentence(on: .socketSend)?.hasPrefix("not in this kernel") == true)
        let none = Self.kernel([.perf], without: [.socketSend, .socketReceive, .systemCallExit, .processExit])
        for tracepoint in [Tracepoint.socketSend, .systemCallExit, .processExit] {
            #expect(none.sentence(on: tracepoint) == "missing (\(tracepoint.loss))")
        }
    }

    @Test("An enumerator of the running kernel is found by its name, in its own enumeration")
    func enumeratorsAreFoundByName() {
        guard let types = unsafe btf__load_vmlinux_btf() else {
            Issue.record("this kernel has no BTF")
            return
        }
        defer { unsafe btf__free(types) }
        func has(_ enumeration: String, _ enumerator: String) -> Bool {
            unsafe tlswatch_btf_has_enumerator(types, enumeration, enumerator)
        }
        #expect(has("bpf_attach_type", "BPF_TRACE_RAW_TP"))
        #expect(!has("bpf_attach_type", "BPF_TRACE_RAW"))
        #expect(!has("bpf_attach_type", "BPF_MAP_TYPE_HASH"))
        #expect(!has("no_such_enumeration", "BPF_TRACE_RAW_TP"))
    }

    @Test("A member of the running kernel's structures is found by its name, in its own structure")
    func membersAreFoundByName() {
        guard let types = unsafe btf__load_vmlinux_btf() else {
            Issue.record("this kernel has no BTF")
            return
        }
        defer { unsafe btf__free(types) }
        func has(_ structure: String, _ member: String) -> Bool {
            unsafe tlswatch_btf_has_member(types, structure, member)
        }
        #expect(has("task_struct", "sched_info"))
        #expect(!has("task_struct", "sched_inf"))
        #expect(!has("sched_info", "tgid"))
        #expect(!has("no_such_structure", "tgid"))
        #expect(KernelFeatures.probe().keepsRunDelay == has("sched_info", "run_delay"))
    }

    private func readLine(of file: UnsafeMutablePointer<FILE>) -> String? {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
            guard unsafe fgets(buffer.baseAddress!, 1024, file) != nil else { return nil }
            return unsafe String(cString: buffer.baseAddress!)
        }
    }

    @Test("Structures are read without a helper where the kernel's symbols have the function for it")
    func castsAreFoundByName() throws {
        let file = try unsafe #require(unsafe fopen("/proc/kallsyms", "r"))
        defer { unsafe fclose(file) }
        var has = false
        while let line = unsafe readLine(of: file) { has = has || line.hasSuffix(" T bpf_rdonly_cast\n") }
        #expect(KernelFeatures.probe().castsPointers == has)
    }

    @Test("What becomes of a handshake's parts without the kernel's account of waiting threads is said")
    func aMissingRunDelayIsExplained() {
        var features = Self.kernel([.perf])
        #expect(features.runDelaySentence.hasPrefix("missing (CONFIG_SCHED_INFO)"))
        features.keepsRunDelay = true
        #expect(features.runDelaySentence.hasPrefix("available ("))
        features.isBTFHidden = true
        #expect(features.runDelaySentence == "unknown: BTF cannot be seen")
    }

    @Test("A kernel without BTF is told from one whose /sys is hidden")
    func withoutBTF() throws {
        #expect(isSysfs(above: "/sys/kernel/no/such/directory"))
        #expect(isSysfs(above: "/sys"))
        #expect(!isSysfs(above: "/tmp/no/such/directory"))
        #expect(!isSysfs(above: "/no"))
        var features = KernelFeatures(release: "test", hasBTF: false, rungs: [], tracepoints: [])
        func told(_ forced: ProbeRung?) throws -> String {
            let error = try #require(throws: BPFError.self) { _ = try features.rung(forced: forced) }
            #expect(error.category == .unsupported)
            return error.description
        }
        for forced in [ProbeRung.session, nil] {
            features.isBTFHidden = false
            #expect(try told(forced).contains("must be built with CONFIG_DEBUG_INFO_BTF=y"))
            features.isBTFHidden = true
            #expect(try told(forced).contains("cannot be seen"))
        }
        #expect(Tracepoint.allCases.allSatisfy { features.sentence(on: $0) == "unknown: BTF cannot be seen" })
    }

    @Test("A refusal of bpf(2) is a missing privilege, and says what stands in between")
    func aRefusalIsAMissingPrivilege() throws {
        let seccomp = try #require(BPFAccess.refusal(EPERM, confinement: .seccomp))
        #expect(seccomp.category == .privilege)
        #expect(
            seccomp.description.hasPrefix(
                "bpf(2) is refused (a seccomp filter or lockdown): Operation not permitted. This process runs under a"))
        let lockdown = try #require(BPFAccess.refusal(EACCES, confinement: .none))
        #expect(lockdown.description.contains("kernel_lockdown(7)"))
        let namespace = try #require(BPFAccess.refusal(EPERM, confinement: .userNamespace))
        #expect(namespace.description.contains("initial user namespace"))
        for other in [ENOSYS, ENOMEM, EMFILE] { #expect(BPFAccess.refusal(other, confinement: .seccomp) == nil) }
    }

    @Test("Perf probes need CAP_SYS_ADMIN; the others do without it")
    func probesNeedTheirPrivileges() {
        // CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH
        let four: UInt64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2
        for rung in [ProbeRung.session, .multi] {
            #expect(Privileges(effective: four, rung: rung).missing.isEmpty)
            #expect(Privileges(effective: four, rung: rung, wire: true).missing == ["CAP_NET_ADMIN"])
            #expect(Privileges(effective: four | 1 << 12, rung: rung, wire: true).missing.isEmpty)
        }
        #expect(Privileges(effective: four, rung: .perf).missing == ["CAP_SYS_ADMIN"])
        #expect(Privileges(effective: 1 << 21 | 1 << 19 | 1 << 2, rung: .perf).missing.isEmpty)
        #expect(Privileges(effective: 0, rung: nil).missing.count == 4)
    }
}
