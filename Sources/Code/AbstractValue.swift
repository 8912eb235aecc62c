/// A place in memory relative to a parameter of the function under interpretation: every step of
/// the path is an offset followed by a load; `displacement` is added to the last loaded pointer.
package struct Place: Hashable {
    /// Most pointers followed.
    package static let depth = 4

    /// The parameter, 0 first.
    package var root: UInt8
    private var steps = SIMD4<Int32>()
    package private(set) var count = 0
    package var displacement: Int32 = 0

    package init(root: Int) { self.root = UInt8(truncatingIfNeeded: root) }

    /// The offsets that were followed.
    package var offsets: [Int32] { (0..<count).map { steps[$0] } }

    package func adding(_ amount: Int64) -> Place? {
        let (sum, overflow) = Int64(displacement).addingReportingOverflow(amount)
        guard !overflow, let displacement = Int32(exactly: sum) else { return nil }
        var place = self
        place.displacement = displacement
        return place
    }

    /// Of the last load, the bytes without the lowest `count`.
    func skippingLoaded(_ skipped: Int32) -> Place? {
        guard count > 0, displacement == 0 else { return nil }
        let (offset, overflow) = steps[count - 1].addingReportingOverflow(skipped)
        guard !overflow else { return nil }
        var place = self
        place.steps[count - 1] = offset
        return place
    }

    /// What a load from here gives: the pointer, if it is one, followed.
    package func loaded() -> Place? {
        guard count < Self.depth else { return nil }
        var place = self
        place.steps[count] = displacement
        place.count += 1
        place.displacement = 0
        return place
    }
}

/// What a register or a stack slot is known to hold.
package enum AbstractValue: Hashable {
    case unknown
    case constant(UInt64)
    /// An offset from the stack pointer at the function's entry.
    case stack(Int64)
    /// A parameter, an address computed from one, or (`width` > 0) the bytes loaded through one.
    case place(Place, width: UInt8)
    /// The bytes loaded through one, shifted right.
    case bits(Place, width: UInt8, shift: UInt8)
    /// An entry of the jump table at this address, and the place that it leads to.
    case tableEntry(UInt64)
    case tableTarget(UInt64)

    /// The field that was loaded to get this value: offsets from the parameter, and the load's width in bytes.
    package var field: Field? {
        guard case .place(let place, let width) = self, width > 0, place.displacement == 0, place.count > 0
        else { return nil }
        return Field(root: Int(place.root), offsets: place.offsets, width: Int(width))
    }

    package func adding(_ amount: UInt64) -> AbstractValue {
        switch self {
        case .unknown, .bits, .tableTarget: return .unknown
        // Entries are relative to their table.
        case .tableEntry(let table): return amount == table ? .tableTarget(table) : .unknown
        case .constant(let value): return .constant(value &+ amount)
        case .stack(let offset): return .stack(offset &+ Int64(bitPattern: amount))
        case .place(let place, let width):
            // A narrow value is a number, not a pointer to add to.
            guard width == 0 || width == 8, let sum = place.adding(Int64(bitPattern: amount)) else { return .unknown }
            return .place(sum, width: width)
        }
    }

    /// The low `width` bytes, the rest zero; a field keeps its place, for its low bytes stand there too.
    package func truncated(to width: Int) -> AbstractValue {
        guard width < 8 else { return self }
        switch self {
        case .constant(let value): return .constant(value & (1 << UInt64(width * 8) - 1))
        case .place(let place, let old) where old > 0 && place.displacement == 0:
            return .place(place, width: min(old, UInt8(width)))
        case .bits, .tableEntry: return self
        default: return .unknown
        }
    }

    func signExtended(from width: Int) -> AbstractValue {
        guard width < 8 else { return self }
        guard case .constant(let value) = self else { return truncated(to: width) }
        let shift = UInt64(64 - width * 8)
        return .constant(UInt64(bitPattern: Int64(bitPattern: value << shift) >> Int64(shift)))
    }
}

/// A field that code loads: offsets from a parameter (all but the last are followed as pointers).
package struct Field: Hashable {
    package var root: Int
    package var offsets: [Int32]
    /// Bytes.
    package var width: Int
}
