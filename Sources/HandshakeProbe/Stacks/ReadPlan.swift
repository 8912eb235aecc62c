import CEvents

/// How the kernel side copies a library's facts out of a TLS object: few reads, each bringing several fields.
///
/// A read of user memory costs 85 ns in a virtual machine, nearly whatever its length, and a handshake has
/// some twenty facts: fields that stand near each other, behind the same pointer, come with one copy.
/// A read never goes beyond the first and the last field that it brings: all of it lies in one object.
struct ReadPlan: Equatable {
    /// One copy: `length` bytes at `offset` from the pointer that is at `base` in the scratch. Or the address of a list's element,
    /// of which the first one is there.
    struct Read: Equatable {
        var offset: Int32
        /// Where the pointer is, and which read brought it; `nil` for the TLS object itself.
        var base: (at: Int, after: Int)?
        var to: Int
        var length: Int
        var element: ListElement?

        static func == (left: Read, right: Read) -> Bool {
            left.offset == right.offset && left.to == right.to && left.length == right.length
                && left.element == right.element && left.base?.at == right.base?.at
                && left.base?.after == right.base?.after
        }
    }

    /// A fact in the scratch.
    struct Field: Equatable {
        var at: Int
        var size: Int
        var read: Int
        /// Added to a text's pointer; of a scalar, the bits that it is about.
        var offset: Int32
    }

    private(set) var reads: [Read] = []
    private(set) var fields: [Fact: Field] = [:]
    /// Facts for which no read was left; the least telling ones go first.
    private(set) var omitted: [Fact] = []

    /// The set of reads that bring `fact`, pointers on its way included.
    func reads(for fact: Fact) -> UInt32 {
        guard let field = fields[fact], field.read < reads.count else { return 0 }
        var set: UInt32 = 0
        var next: Int? = field.read
        while let index = next {
            set |= 1 << UInt32(index)
            next = reads[index].base?.after
        }
        return set
    }

    /// The reads besides the first that bring facts of the state: where it is elsewhere than in the object itself, or far from the
    /// rest of it.
    func stateReads(_ paths: [Fact: FactPath]) -> UInt32 {
        paths.reduce(into: 0) { set, entry in
            guard entry.key.isOfState else { return }
            set |= reads(for: entry.key) & ~1
        }
    }

    /// - Parameter expendable: the order in which facts give way when there are more reads than the kernel side does.
    init(_ paths: [Fact: FactPath], expendable: [Fact]) {
        var kept = paths.filter { Self.isReadable($0.key, $0.value) }
        omitted = paths.keys.filter { kept[$0] == nil }.sorted { $0.rawValue < $1.rawValue }
        for fact in [nil] + expendable.map(Optional.some) {
            if let fact {
                guard kept.removeValue(forKey: fact) != nil else { continue }
                omitted.append(fact)
            }
            if let (reads, fields) = Self.layOut(kept) {
                self.reads = reads
                self.fields = fields
                return
            }
        }
    }

    private static func isReadable(_ fact: Fact, _ path: FactPath) -> Bool {
        if let element = path.element {
            guard path.offsets.count >= (fact.isAddress ? 3 : 2), element.next > 0, element.next % 8 == 0,
                element.next / 8 <= UInt16(UInt8.max)
            else { return false }
        }
        if fact.isAddress { return path.offsets.count >= (fact.isText ? 1 : 2) }
        return path.offsets.count >= 1 && [1, 2, 4, 8].contains(path.size)
    }

    /// A text inside the object itself: nothing has to be read to find it.
    private static func isInObject(_ fact: Fact, _ path: FactPath) -> Bool { fact.isText && path.offsets.count == 1 }

    // MARK: laying out

    /// A step on the way to a field.
    private enum Step: Hashable {
        /// The pointer at this offset is followed.
        case load(Int32)
        /// From a list's first element to this one.
        case find(ListElement)

        /// For an order that is the same every time.
        var order: [Int64] {
            switch self {
            case .load(let offset): [Int64(offset)]
            case .find(let element): [.max, Int64(element.value), Int64(element.mark), Int64(element.next)]
            }
        }
    }

    /// A field behind a chain of pointers; with `element` no field but that element's address.
    private struct Place: Hashable {
        var chain: [Step]
        var offset: Int32
        var size: Int
        var element: ListElement?

        var rank: [Int64] { element.map { Step.find($0).order } ?? [] }

        /// Of the pointer that leads to it; `nil` where it is in the object itself.
        var pointer: Place? {
            guard let last = chain.last else { return nil }
            let before = Array(chain.dropLast())
            return switch last {
            case .load(let offset): Place(chain: before, offset: offset, size: 8)
            case .find(let element): Place(chain: before, offset: 0, size: 8, element: element)
            }
        }
    }

    /// Where a fact's own bytes are: a scalar's, or those of the pointer to a text.
    private static func place(_ fact: Fact, _ path: FactPath) -> Place {
        let last = path.offsets.count - (fact.isAddress && path.offsets.count >= 2 ? 2 : 1)
        var chain = path.offsets[..<last].map(Step.load)
        if let element = path.element { chain.insert(.find(element), at: 1) }
        let size = fact.isAddress && path.offsets.count >= 2 ? 8 : path.size
        return Place(chain: chain, offset: path.offsets[last], size: size)
    }

    private static let readLimit = Int(TLSWATCH_READ_SIZE) - 1
    /// Bytes between two fields that are cheaper to copy than to leave out: 500 of them cost 25 ns, a read 85.
    private static let gap = 500

    private static func layOut(_ paths: [Fact: FactPath]) -> (reads: [Read], fields: [Fact: Field])? {
        var places: Set<Place> = []
        for (fact, path) in paths where !isInObject(fact, path) {
            var next: Place? = place(fact, path)
            while let place = next {
                places.insert(place)
                next = place.pointer
            }
        }
        // The state's facts that stand near each other; one that stands apart comes with the rest.
        var clusters: [[Place]] = []
        var state: Set<Place> = []
        for fact in paths.keys.filter(\.isOfState).sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let path = paths[fact], case let place = place(fact, path), place.chain.isEmpty else { continue }
            let wider = cluster(state.union([place]))
            if wider.count == 1 {
                clusters = wider
                state.insert(place)
            }
        }
        if clusters.isEmpty { clusters = [[]] }
        // What stands beside them in the object comes along, and saves a read of its own.
        if let first = clusters[0].first, let last = clusters[0].last {
            let beside = places.filter { place in
                place.chain.isEmpty && Int(place.offset) + Self.gap >= Int(first.offset)
                    && Int(place.offset) <= Int(last.offset) + Self.gap
            }
            let wider = cluster(state.union(beside))
            if wider.count == 1 {
                clusters = wider
                state.formUnion(beside)
            }
        }
        let rest = Dictionary(grouping: places.subtracting(state), by: \.chain)
        for chain in rest.keys.sorted(by: { ($0.count, $0.flatMap(\.order)) < ($1.count, $1.flatMap(\.order)) }) {
            let behind = rest[chain] ?? []
            clusters += cluster(Set(behind.filter { $0.element == nil }))
            clusters += behind.filter { $0.element != nil }.map { [$0] }.sorted {
                $0[0].rank.lexicographicallyPrecedes($1[0].rank)
            }
        }
        guard clusters.count <= Int(TLSWATCH_READS) else { return nil }

        var reads: [Read] = []
        var found: [Place: (at: Int, read: Int)] = [:]
        var to = 0
        for places in clusters {
            let start = places.first?.offset ?? 0
            let end = places.map { Int($0.offset) + $0.size }.max() ?? 0
            var base: (at: Int, after: Int)?
            if let before = places.first?.pointer {
                guard let pointer = found[before] else { return nil }
                base = (pointer.at, pointer.read)
            }
            guard to < Int(TLSWATCH_SCRATCH_START) else { return nil }
            let length = end - Int(start)
            for place in places {
                found[place] = (to + Int(place.offset - start), reads.count)
            }
            reads.append(
                Read(
                    offset: start, base: base, to: to, length: places.isEmpty ? 0 : length,
                    element: places.first?.element))
            to += (length + 7) & ~7
        }
        var fields: [Fact: Field] = [:]
        for (fact, path) in paths {
            if isInObject(fact, path) {
                fields[fact] = Field(at: 0, size: 8, read: Int(TLSWATCH_FROM_OBJECT), offset: path.offsets[0])
                continue
            }
            guard let (at, read) = found[place(fact, path)] else { return nil }
            fields[fact] = Field(
                at: at, size: fact.isAddress ? 8 : min(path.size, 4), read: read,
                offset: fact.isAddress ? path.offsets[path.offsets.count - 1] : Int32(bitPattern: path.bits))
        }
        return (reads, fields)
    }

    /// Splits fields behind one pointer into runs that one read each brings, by ascending offset.
    private static func cluster(_ places: Set<Place>) -> [[Place]] {
        var clusters: [[Place]] = []
        for place in places.sorted(by: { ($0.offset, $0.size) < ($1.offset, $1.size) }) {
            if let first = clusters.last?.first, let last = clusters.last?.last,
                Int(place.offset) - Int(last.offset) - last.size <= gap,
                Int(place.offset) + place.size - Int(first.offset) <= readLimit
            {
                clusters[clusters.count - 1].append(place)
            } else {
                clusters.append([place])
            }
        }
        return clusters
    }
}

/// Lexicographic, so that the layout is the same every time.
private func < (left: (Int, [Int64]), right: (Int, [Int64])) -> Bool {
    left.0 != right.0 ? left.0 < right.0 : left.1.lexicographicallyPrecedes(right.1)
}

extension tlswatch_transport {
    init(_ layout: TransportLayout) {
        self.init()
        kinds = layout.kinds
        kind = layout.kind
        name = layout.name
        descriptor = layout.descriptor
        next = layout.next
        known = 1
        has_descriptor = layout.hasDescriptor
        is_filter = layout.isFilter
        memory = layout.memory
        unsafe withUnsafeMutableBytes(of: &own) { bytes in
            for (index, name) in layout.own.prefix(Int(TLSWATCH_KINDS)).enumerated() {
                // As bpf_probe_read_user_str(helpers) leaves it: cut before the last byte, which is NUL.
                for (place, byte) in name.utf8.prefix(Int(TLSWATCH_KIND_NAME) - 1).enumerated() {
                    unsafe bytes[index * Int(TLSWATCH_KIND_NAME) + place] = byte
                }
            }
        }
    }
}

extension tlswatch_interfaces {
    init(_ layout: InterfaceLayout) {
        self.init(
            connection: layout.connection, incoming_error: layout.incomingError, outgoing_error: layout.outgoingError,
            mutex: layout.mutex, known: 1, socket: layout.socket, pointer: layout.pointer,
            descriptor: layout.descriptor, canceled: layout.canceled ?? UInt16(TLSWATCH_NOTHING), reserved: (0, 0, 0))
    }
}

extension tlswatch_type {
    init(_ type: InterfaceType) {
        self.init(
            number: type.number, inner: type.inner ?? UInt16(TLSWATCH_NOTHING), pointed: type.pointed ?? 0,
            detail: type.detail?.offset ?? UInt16(TLSWATCH_NOTHING), size: UInt16(type.detail?.size ?? 0), reserved: 0)
    }
}

extension tlswatch_profile {
    /// The profile that the generic programs read a library's facts by.
    init(
        plan: ReadPlan, facts: [Fact: FactPath], transport layout: TransportLayout?, descriptor: OwnDescriptor? = nil,
        interfaces: InterfaceLayout? = nil, states: KernelStates, server: KernelStates.Test? = nil,
        waitResults: [Int32]? = nil, finished: Set<UInt8> = [], sites: [ProbeSite]
    ) {
        self.init()
        enabled = 1
        starts_in_any = states.start == nil ? 1 : 0
        over_without_state = states.overWithoutState ? 1 : 0
        let side = server ?? states.server
        state_reads = plan.stateReads(facts)
        start = tlswatch_states(states.start ?? [])
        end = tlswatch_states(states.end)
        over = tlswatch_states(states.over.union(finished))
        dead = tlswatch_states(states.dead.union(finished))
        if let test = states.ended.first { ended.0 = tlswatch_test(test) }
        if let test = states.ended.dropFirst().first { ended.1 = tlswatch_test(test) }
        let after = states.after.map(tlswatch_test.init) + Array(repeating: tlswatch_test(), count: 3)
        self.after = (after[0], after[1], after[2])
        self.server = tlswatch_test(side)
        done_result = states.doneResult
        let waits = Array((waitResults ?? states.waitResults).prefix(4)) + Array(repeating: 0, count: 4)
        wait_results = (waits[0], waits[1], waits[2], waits[3])
        exit_hooked = sites.contains { $0.hook == .callExit } ? 1 : 0
        alpn_reads = plan.reads(for: .alpnLength)
        reference_reads = plan.reads(for: .references)
        transport_reads = plan.reads(for: .transport)
        name_reads = plan.reads(for: .helloName)
        if let interfaces { self.interfaces = tlswatch_interfaces(interfaces) }
        if let layout, plan.fields[.transport] != nil {
            transport = tlswatch_transport(layout)
        }
        if let descriptor {
            (transport.own_descriptor, transport.own_shape) = (descriptor.offset, descriptor.shape.rawValue)
            (transport.own_flag, transport.own_bits) = (descriptor.flag, UInt16(descriptor.bits))
        }
        // What is written through stands beside it.
        if plan.fields[.transport] != nil, let path = facts[.transport], path.offsets.count == 2 {
            transport.writer = UInt16(clamping: path.offsets[0] + 8)
        }
        // A decision that tells its object is the connection's own.
        if sites.contains(where: { $0.hook == .alpnSelect && $0.object != nil }) {
            alpn_hooked |= UInt32(TLSWATCH_ALPN_OF_SERVER.rawValue)
        }
        if sites.contains(where: { $0.hook == .alpnAnswer }) {
            alpn_hooked |= UInt32(TLSWATCH_ALPN_OF_CLIENT.rawValue)
        }
        unsafe withUnsafeMutableBytes(of: &reads) { bytes in
            let entries = unsafe bytes.bindMemory(to: tlswatch_read.self)
            for (index, read) in plan.reads.enumerated() where index < entries.count {
                var entry = tlswatch_read(
                    offset: read.offset, base: UInt16(read.base?.at ?? 0), to: UInt16(read.to),
                    length: UInt16(read.length), after: UInt8(read.base?.after ?? Int(TLSWATCH_FROM_OBJECT)), link: 0)
                if let element = read.element {
                    entry.offset = Int32(bitPattern: element.value)
                    entry.length = element.mark
                    entry.link = UInt8(element.next / 8)
                }
                unsafe entries[index] = entry
            }
        }
        unsafe withUnsafeMutableBytes(of: &text) { bytes in
            let entries = unsafe bytes.bindMemory(to: tlswatch_text.self)
            for (fact, path) in facts where fact.isText {
                unsafe entries[fact.rawValue - Int(TLSWATCH_SLOTS.rawValue)] = tlswatch_text(path.shape)
            }
        }
        unsafe withUnsafeMutableBytes(of: &fact) { bytes in
            let entries = unsafe bytes.bindMemory(to: tlswatch_field.self)
            for (fact, field) in plan.fields where fact.rawValue < entries.count {
                unsafe entries[fact.rawValue] = tlswatch_field(
                    at: UInt16(field.at), size: UInt8(field.size), read: UInt8(field.read), offset: field.offset)
            }
        }
    }
}

extension tlswatch_states {
    init(_ states: Set<UInt8>) {
        self.init()
        unsafe withUnsafeMutableBytes(of: &word) { bytes in
            let words = unsafe bytes.bindMemory(to: UInt32.self)
            for state in states { unsafe words[Int(state) / 32] |= 1 << (UInt32(state) % 32) }
        }
    }
}

extension tlswatch_test {
    init(_ test: KernelStates.Test) {
        self.init(slot: UInt32(test.fact.rawValue), mask: test.mask, value: test.value)
    }
}

extension tlswatch_text {
    init(_ shape: TextShape) {
        self.init()
        switch shape {
        case .nulTerminated: self.shape = UInt16(TLSWATCH_NUL_TERMINATED.rawValue)
        case .counted(let fact):
            self.shape = UInt16(TLSWATCH_COUNTED.rawValue)
            slot = UInt16(fact.rawValue)
        case .prefix8: self.shape = UInt16(TLSWATCH_PREFIX_8.rawValue)
        case .prefix16: self.shape = UInt16(TLSWATCH_PREFIX_16.rawValue)
        }
    }
}
