import CBPF
import CEvents
import Glibc
import Synchronization

/// How the entry and the return of one function are observed together, best first.
package enum ProbeRung: String, Sendable, CaseIterable, Codable {
    /// One program for both (Linux 6.13).
    case session
    /// Two multi links (Linux 6.6).
    case multi
    /// Two perf events a site.
    case perf

    /// What it loses against the best one, for `doctor`.
    package var loss: String {
        switch self {
        case .session: "no limitations"
        case .multi: "no limitations; a build that needs return probes costs one more hit per call"
        case .perf:
            "no limitations, but requires CAP_SYS_ADMIN and attaches probes one by one, so starting takes longer"
        }
    }
}

/// Owns libbpf's object; closing it takes every program and map out of the kernel.
@safe private final class ObjectHandle {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe bpf_object__close(pointer) }
}

/// The programs' account of losses, in memory that they write to.
@safe private final class LossesPage {
    private let mapped: UnsafePointer<tlswatch_losses>

    init?(_ object: OpaquePointer) {
        guard let mapped = unsafe tlswatch_map_losses(object) else { return nil }
        unsafe self.mapped = mapped
    }

    deinit { unsafe tlswatch_unmap_losses(mapped) }

    var value: tlswatch_losses {
        var losses = tlswatch_losses()
        unsafe tlswatch_read_losses(mapped, &losses)
        return losses
    }
}

/// The embedded BPF object, opened, its knobs still to be set.
@safe package struct OpenBPFObject: ~Copyable {
    private let handle: ObjectHandle
    private var object: OpaquePointer { unsafe handle.pointer }

    /// - Throws: `BPFError` when libbpf does not accept the embedded object.
    package init() throws(BPFError) {
        let bytes = EmbeddedObject.bytes()
        let opened = unsafe bytes.withUnsafeBytes { buffer in
            unsafe bpf_object__open_mem(buffer.baseAddress, buffer.count, nil)
        }
        guard let opened = unsafe opened else {
            throw .from(errno, operation: "open the embedded BPF object")
        }
        let handle = unsafe ObjectHandle(opened)
        try unsafe Self.knobsPointer(opened).pointee.tick_ns = Self.tick
        self.handle = handle
    }

    /// Nanoseconds between two ticks of the kernel: its coarse clocks have no other resolution.
    private static var tick: UInt32 {
        var resolution = timespec()
        unsafe clock_getres(CLOCK_MONOTONIC_COARSE, &resolution)
        return UInt32(clamping: resolution.tv_nsec)
    }

    /// Sets the ring's size in bytes, a power of two and a multiple of the page size.
    package func setRingSize(_ bytes: UInt32) throws(BPFError) {
        guard let map = unsafe bpf_object__find_map_by_name(object, "ring") else {
            throw BPFError(.system, operation: "find the ring buffer in the embedded BPF object")
        }
        let result = unsafe bpf_map__set_max_entries(map, bytes)
        guard result == 0 else { throw .from(result, operation: "set the ring buffer's size to \(bytes) bytes") }
    }

    /// How long a goroutine's call may last before it is taken for one that will not come back, in seconds.
    package func setCallLifetime(seconds: UInt64) throws(BPFError) {
        try unsafe knobsPointer().pointee.call_lifetime_s = UInt16(clamping: max(1, seconds))
    }

    /// Restricts observation to the processes of the `observed_processes` map.
    package func filterProcesses() throws(BPFError) { try set(\.filter_processes) }

    /// Has the kernel side tell which programs begin, or not: without the stream of what processes map.
    package func tellPrograms(_ wanted: Bool) throws(BPFError) {
        if wanted {
            try set(\.tell_programs)
        } else if let map = unsafe bpf_object__find_map_by_name(object, "programs") {
            unsafe bpf_map__set_autocreate(map, false)
        }
    }

    /// The knobs as they will be loaded.
    func knobs() throws(BPFError) -> tlswatch_knobs { try unsafe knobsPointer().pointee }

    private func set(_ knob: WritableKeyPath<tlswatch_knobs, UInt8>) throws(BPFError) {
        try unsafe knobsPointer().pointee[keyPath: knob] = 1
    }

    private func knobsPointer() throws(BPFError) -> UnsafeMutablePointer<tlswatch_knobs> {
        try unsafe Self.knobsPointer(object)
    }

    private static func knobsPointer(
        _ object: OpaquePointer
    ) throws(BPFError) -> UnsafeMutablePointer<tlswatch_knobs> {
        guard let knobs = unsafe tlswatch_knobs_of(object) else {
            throw .from(errno, operation: "find the knobs in the embedded BPF object")
        }
        return unsafe knobs
    }

    /// Loads one iterator and nothing else: no map, nothing that could be attached to a target.
    consuming func load(only iterator: EmbeddedObject.Iterator) throws(BPFError) -> LoadedBPFObject {
        var next = unsafe bpf_object__next_program(object, nil)
        while let program = unsafe next {
            let name = unsafe String(cString: bpf_program__name(program))
            unsafe bpf_program__set_autoload(program, name == iterator.rawValue)
            unsafe next = bpf_object__next_program(object, program)
        }
        var nextMap = unsafe bpf_object__next_map(object, nil)
        while let map = unsafe nextMap {
            unsafe bpf_map__set_autocreate(map, false)
            unsafe nextMap = bpf_object__next_map(object, map)
        }
        let result = unsafe bpf_object__load(object)
        guard result == 0 else { throw .from(result, operation: "load \(iterator.rawValue)") }
        return LoadedBPFObject(handle, rung: .perf, listsProcesses: true)
    }

    /// Neither the programs on packets nor what they keep.
    private borrowing func leaveOutWire() {
        for name in WireProgram.all {
            if let program = unsafe bpf_object__find_program_by_name(object, name) {
                unsafe bpf_program__set_autoload(program, false)
            }
        }
        for name in WireProgram.maps {
            if let map = unsafe bpf_object__find_map_by_name(object, name) {
                unsafe bpf_map__set_autocreate(map, false)
            }
        }
    }

    /// Loads the programs for the given rung, leaving out what the kernel lacks.
    ///
    /// - Parameter wire: whether packets are to be looked at as well.
    package consuming func load(
        rung: ProbeRung, features: KernelFeatures, wire: Bool = false
    ) throws(BPFError) -> LoadedBPFObject {
        if !wire { leaveOutWire() }
        if features.castsPointers { try set(\.has_cast) }
        let wanted: [(name: String, load: Bool, type: UInt32)] = [
            ("tls_session", rung == .session, ProbeLink.AttachType.session),
            ("tls_enter", true, rung == .perf ? 0 : ProbeLink.AttachType.multi),
            ("tls_return", rung != .session, rung == .perf ? 0 : ProbeLink.AttachType.multi),
        ]
        for (name, load, type) in wanted {
            guard let program = unsafe bpf_object__find_program_by_name(object, name) else {
                throw BPFError(.system, operation: "find program \(name) in the embedded BPF object")
            }
            unsafe bpf_program__set_autoload(program, load)
            if type != 0 {
                unsafe bpf_program__set_expected_attach_type(program, bpf_attach_type(rawValue: type))
            }
        }
        for tracepoint in Tracepoint.allCases where !features.uses(tracepoint) {
            guard let program = unsafe bpf_object__find_program_by_name(object, tracepoint.program) else { continue }
            unsafe bpf_program__set_autoload(program, false)
        }
        for iterator in EmbeddedObject.Iterator.allCases where !features.listsProcesses {
            if let program = unsafe bpf_object__find_program_by_name(object, iterator.rawValue) {
                unsafe bpf_program__set_autoload(program, false)
            }
        }
        let result = unsafe bpf_object__load(object)
        guard result == 0 else {
            // Capabilities were checked before: what is refused here was refused by the verifier or by a lockdown; but those
            // of a user namespace of its own, and what has run out, say nothing of the kernel.
            let category: BPFError.Category =
                switch abs(result) {
                case EPERM: .privilege
                case EMFILE, ENFILE, ENOMEM, EAGAIN: .system
                default: .unsupported
                }
            throw BPFError(
                category, operation: "load the BPF programs", errno: abs(result),
                advice: "The kernel says: " + LibbpfLog.recent())
        }
        return LoadedBPFObject(handle, rung: rung, listsProcesses: features.listsProcesses)
    }
}

/// The object with its programs and maps in the kernel. Everything goes when it does.
@safe package struct LoadedBPFObject: ~Copyable {
    private let handle: ObjectHandle
    private var object: OpaquePointer { unsafe handle.pointer }
    package let rung: ProbeRung
    package let listsProcesses: Bool
    private let profilesMap: Int32
    private let countersMap: Int32
    private let hitsMap: Int32
    private let sitesMap: Int32
    private let observedMap: Int32
    private let typesMap: Int32
    /// What stands in it, by profile: a walk over the map would pass all files' types for each file.
    private let types = Mutex<[UInt32: [UInt32]]>([:])
    private let packetsMap: Int32
    private let lossesPage: LossesPage?
    private let processors: Int

    fileprivate init(_ handle: ObjectHandle, rung: ProbeRung, listsProcesses: Bool) {
        self.handle = handle
        self.listsProcesses = listsProcesses
        let object = unsafe handle.pointer
        self.rung = rung
        unsafe profilesMap = bpf_object__find_map_fd_by_name(object, "profiles")
        unsafe countersMap = bpf_object__find_map_fd_by_name(object, "counters")
        unsafe sitesMap = bpf_object__find_map_fd_by_name(object, "sites")
        unsafe hitsMap = bpf_object__find_map_fd_by_name(object, "library_hits")
        unsafe typesMap = bpf_object__find_map_fd_by_name(object, "types")
        unsafe observedMap = bpf_object__find_map_fd_by_name(object, "observed_processes")
        unsafe packetsMap = bpf_object__find_map_fd_by_name(object, "wire_packets")
        unsafe lossesPage = LossesPage(object)
        processors = Int(libbpf_num_possible_cpus())
    }

    /// Whether losses can be seen as they happen: without that, what was in flight meanwhile cannot be told apart.
    package var seesLosses: Bool { lossesPage != nil }

    package var ringDescriptor: Int32 { unsafe bpf_object__find_map_fd_by_name(object, "ring") }

    /// The ring of programs that begin; negative where it was not asked for.
    package var programsDescriptor: Int32 { unsafe bpf_object__find_map_fd_by_name(object, "programs") }

    /// The handle of a program, valid as long as this object is.
    package func program(_ name: String) throws(BPFError) -> OpaquePointer {
        guard let program = unsafe bpf_object__find_program_by_name(object, name) else {
            throw BPFError(.system, operation: "find program \(name)")
        }
        return unsafe program
    }

    package func setProfile(_ index: UInt32, _ profile: tlswatch_profile) throws(BPFError) {
        var key = index
        var value = profile
        let result = unsafe bpf_map_update_elem(profilesMap, &key, &value, 0)
        guard result == 0 else { throw .from(errno, operation: "store profile \(index)") }
    }

    package func setSite(_ index: UInt32, _ site: tlswatch_site) throws(BPFError) {
        var key = index
        var value = site
        let result = unsafe bpf_map_update_elem(sitesMap, &key, &value, 0)
        guard result == 0 else { throw .from(errno, operation: "store probe site \(index)") }
    }

    package func setType(_ key: tlswatch_type_key, _ type: tlswatch_type) throws(BPFError) {
        var (key, value) = (key, type)
        let result = unsafe bpf_map_update_elem(typesMap, &key, &value, 0)
        guard result == 0 else { throw .from(errno, operation: "store a type of profile \(key.profile)") }
        types.withLock { $0[key.profile, default: []].append(key.type) }
    }

    /// Takes what `setType` has stored for a profile.
    package func forgetTypes(profile: UInt32) {
        for type in types.withLock({ $0.removeValue(forKey: profile) }) ?? [] {
            var key = tlswatch_type_key(type: type, profile: profile)
            _ = unsafe bpf_map_delete_elem(typesMap, &key)
        }
    }

    package func observe(process pid: UInt32) throws(BPFError) {
        var key = pid
        var one: UInt8 = 1
        let result = unsafe bpf_map_update_elem(observedMap, &key, &one, 0)
        guard result == 0 else { throw .from(errno, operation: "add process \(pid) to the observed ones") }
    }

    /// Whether a process is in the `observed_processes` map, which the kernel side adds children to.
    package func observes(process pid: UInt32) -> Bool {
        var key = pid
        var value: UInt8 = 0
        return unsafe bpf_map_lookup_elem(observedMap, &key, &value) == 0
    }

    /// The counters of every program, summed over the processors.
    package func counters() -> [tlswatch_counters] {
        (0..<UInt32(TLSWATCH_PROGRAM_COUNT.rawValue)).map { index in
            var sum = tlswatch_counters()
            perProcessor(countersMap, key: index, of: tlswatch_counters.self) { add($0, to: &sum) }
            return sum
        }
    }

    /// Records lost so far and when the last one was: from mapped memory, without a system call.
    package func losses() -> tlswatch_losses {
        lossesPage?.value ?? tlswatch_losses()
    }

    /// How often the probes of a library were hit.
    package func hits(profile: UInt32) -> UInt64 {
        var sum: UInt64 = 0
        perProcessor(hitsMap, key: profile, of: UInt64.self) { sum &+= $0 }
        return sum
    }

    /// Packets so far, by `enum tlswatch_wire_path`; empty where none are looked at.
    package func packets() -> [UInt64] {
        guard packetsMap >= 0 else { return [] }
        let paths = Int(TLSWATCH_WIRE_PATH_COUNT.rawValue)
        var sum = [UInt64](repeating: 0, count: paths)
        perProcessor(packetsMap, key: 0, of: PacketCounts.self) { counts in
            for path in 0..<paths { sum[path] &+= counts[path] }
        }
        return sum
    }

    /// struct wire_packets of bpf/wire_flow.bpf.h.
    private typealias PacketCounts = InlineArray<5, UInt64>

    private func perProcessor<Value: BitwiseCopyable>(
        _ map: Int32, key: UInt32, of type: Value.Type, _ body: (Value) -> Void
    ) {
        guard processors > 0 else { return }
        var key = key
        unsafe withUnsafeTemporaryAllocation(of: Value.self, capacity: processors) { values in
            guard unsafe bpf_map_lookup_elem(map, &key, values.baseAddress) == 0 else { return }
            for index in 0..<processors { unsafe body(values[index]) }
        }
    }
}

/// The programs on packets, and what only they keep.
package enum WireProgram {
    package static let egress = "wire_egress"
    package static let ingress = "wire_ingress"
    package static let state = "wire_state"
    static let all = [egress, ingress, state]
    static let maps = ["wire_flows", "wire_packets", "wire_notes", "wire_syns", "quic_peers"]
}

extension tlswatch_counters {
    /// Hits that made no record for one reason.
    package subscript(why: tlswatch_drop) -> UInt64 {
        get {
            unsafe withUnsafeBytes(of: dropped) { bytes in
                unsafe bytes.load(fromByteOffset: Int(why.rawValue) * MemoryLayout<UInt64>.stride, as: UInt64.self)
            }
        }
        set {
            unsafe withUnsafeMutableBytes(of: &dropped) { bytes in
                unsafe bytes.storeBytes(
                    of: newValue, toByteOffset: Int(why.rawValue) * MemoryLayout<UInt64>.stride, as: UInt64.self)
            }
        }
    }
}

private func add(_ counters: tlswatch_counters, to sum: inout tlswatch_counters) {
    sum.hits &+= counters.hits
    sum.submitted &+= counters.submitted
    for number in 0..<TLSWATCH_DROP_COUNT.rawValue {
        sum[tlswatch_drop(rawValue: number)] &+= counters[tlswatch_drop(rawValue: number)]
    }
}
