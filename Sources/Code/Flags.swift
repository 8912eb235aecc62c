/// What is known of the arithmetic flags.
enum Flags: Hashable {
    case unknown
    /// After `cmp` of two constants of this many bytes.
    case compare(UInt64, UInt64, Int)
    /// After `test`: the conjunction.
    case test(UInt64, Int)

    /// Whether a jump with this condition (the low four bits of its opcode) is taken; `nil` if unknown.
    func decides(_ condition: UInt8) -> Bool? {
        let zero: Bool
        let below: Bool
        let less: Bool
        let negative: Bool?
        switch self {
        case .unknown: return nil
        case .compare(let left, let right, let width):
            zero = left == right
            below = left < right
            less = Self.signed(left, width) < Self.signed(right, width)
            negative = Self.signed(left &- right, width) < 0
        case .test(let value, let width):
            zero = value == 0
            below = false
            less = Self.signed(value, width) < 0
            negative = less
        }
        let holds: Bool? =
            switch condition >> 1 {
            case 1: below
            case 2: zero
            case 3: below || zero
            case 4: negative
            case 6: less
            case 7: less || zero
            default: nil  // overflow and parity
            }
        return holds.map { $0 != (condition & 1 == 1) }
    }

    private static func signed(_ value: UInt64, _ width: Int) -> Int64 {
        let shift = Int64(64 - min(8, max(1, width)) * 8)
        return Int64(bitPattern: value << UInt64(shift)) >> shift
    }
}
