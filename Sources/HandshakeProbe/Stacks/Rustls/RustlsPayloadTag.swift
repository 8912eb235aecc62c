import CCapstone
import Code

/// Where a Message has the number of what it holds, and that of an alert, if older compilers have made it: they put it far behind,
/// where other messages have a number that is none of these. Level and description of an alert stand at the beginning.
struct RustlsPayloadTag: Equatable {
    var offset: Int32
    var alert: UInt16

    /// Behind its number a ChangeCipherSpec's follows: a handshake message's is between them.
    private static let changeCipherSpec: Int64 = 2
    private static let level: Int64 = 0
    private static let description: Int64 = 2
    /// Two numbers of either level.
    private static let levels: ClosedRange<Int64> = 0...1
    private static let bodyLimit = 40_000
    private static let placeLimit = 1024
    /// Instructions before a call in which a message is made.
    private static let before = 16
    private static let head = 40
    private static let offsets: Range<Int64> = 8..<1024

    /// `nil` where the number stands at the beginning, or is not found.
    ///
    /// - Parameters:
    ///   - send: the function that sends a message.
    ///   - places: where it is called.
    init?(_ code: CodeReader, send: UInt64, calledAt places: [UInt64]) {
        guard let extent = code.file.functionExtent(containing: send) else { return nil }
        if let kept = Self(keptBy: code.instructions(in: extent, limit: Self.head)) {
            self = kept
            return
        }
        var bodies: [UInt64: [Instruction]] = [:]
        var calls: [(body: [Instruction], index: Int)] = []
        for call in places.prefix(Self.placeLimit) {
            guard let extent = code.file.functionExtent(containing: call) else { continue }
            let body = bodies[extent.lowerBound] ?? code.instructions(in: extent, limit: Self.bodyLimit)
            bodies[extent.lowerBound] = body
            if let index = body.firstIndex(where: { $0.address == call }) { calls.append((body, index)) }
        }
        self.init(madeBefore: calls)
    }

    private init?(_ place: Place?) {
        guard let place, let offset = Int32(exactly: place.offset), let alert = UInt16(exactly: place.number), alert > 0
        else { return nil }
        (self.offset, self.alert) = (offset, alert)
    }

    private struct Place: Hashable {
        var offset: Int64
        var number: Int64
    }

    /// By the beginning of the function that sends: over QUIC it does not send an alert but keeps it.
    init?(keptBy body: [Instruction]) {
        var found: Place?
        // cmp word [message + offset], number; jne; movzx reg, word [message + 2]
        for (index, instruction) in body.enumerated() where instruction.kind == TLSWATCH_OP_CMP && found == nil {
            guard let place = Self.place(instruction.first, instruction.second), index + 2 < body.count,
                body[index + 1].kind == TLSWATCH_OP_JCC, body[index + 1].condition == Condition.notEqual,
                body[index + 2].kind == TLSWATCH_OP_MOVZX, body[index + 2].second.isMemory,
                body[index + 2].second.base == instruction.first.base, body[index + 2].second.width == 2,
                body[index + 2].second.value == Self.description
            else { continue }
            found = place
        }
        self.init(found)
    }

    private static func place(_ operand: Operand, _ number: Operand) -> Place? {
        guard operand.isMemory, operand.width == 2, operand.index == UInt8(TLSWATCH_NO_REGISTER), number.isImmediate,
            offsets.contains(operand.value)
        else { return nil }
        return Place(offset: operand.value, number: number.value & 0xffff)
    }

    /// By how messages are made on the stack before they are sent: alerts with a level and a description, and those that store
    /// another number at the same place.
    init?(madeBefore calls: [(body: [Instruction], index: Int)]) {
        var alerts: [Place: Int] = [:]
        var count = 0
        var others: Set<Place> = []
        for call in calls {
            guard let stores = Self.stores(call.body, call.index) else { continue }
            if stores.isAlert {
                count += 1
                for place in stores.places { alerts[place, default: 0] += 1 }
            } else {
                others.formUnion(stores.places)
            }
        }
        let found = alerts.filter { place, times in
            times == count
                && others.contains(Place(offset: place.offset, number: place.number + Self.changeCipherSpec))
        }
        self.init(found.count == 1 ? found.first?.key : nil)
    }

    /// What is stored in the message that a call sends, since the call before.
    private static func stores(_ body: [Instruction], _ call: Int) -> (isAlert: Bool, places: Set<Place>)? {
        var window = body[max(0, call - before)..<call]
        if let earlier = window.lastIndex(where: { $0.kind == TLSWATCH_OP_CALL }) { window = window[(earlier + 1)...] }
        let message = window.last {
            $0.kind == TLSWATCH_OP_LEA && $0.first.isRegister && Int($0.first.reg) == Register.parameters[1]
        }
        guard let message, Int(message.second.base) == Register.rsp else { return nil }
        var places: Set<Place> = []
        var (hasLevel, hasDescription) = (false, false)
        for store in window where store.kind == TLSWATCH_OP_MOV && store.first.isMemory {
            guard Int(store.first.base) == Register.rsp, store.first.index == UInt8(TLSWATCH_NO_REGISTER) else {
                continue
            }
            var operand = store.first
            operand.value -= message.second.value
            if let place = place(operand, store.second) { places.insert(place) }
            guard operand.width == 1 else { continue }
            if operand.value == level, store.second.isImmediate, levels.contains(store.second.value) { hasLevel = true }
            if operand.value == description { hasDescription = true }
        }
        return (isAlert: hasLevel && hasDescription, places: places)
    }
}
