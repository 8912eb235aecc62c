import CCapstone
import Code

/// Where TLS 1.3 installs the first keys of a handshake: behind `tls13_SetCipherSpec(socket, 2, direction, …)`, which follows upon
/// the function that derives the handshake's secrets.
struct KeySites {
    let code: CodeReader

    private static let label = "hs traffic"
    /// `TrafficKeyHandshake`; `ssl_secret_read`, `ssl_secret_write`.
    private static let handshake: Int64 = 2
    private static let directions: Set<Int64> = [1, 2]
    /// Instructions from one call to the other, in which its parameters are set, and to the jump behind it.
    private static let reach = 40
    private static let setting = 8
    private static let limit: UInt64 = 16 << 20

    /// A client's and a server's: the jump, and the register that has the socket.
    func sites() -> [CallbackSites.Site] {
        guard let derivation = derivation() else { return [] }
        return CodeSearch.calls(code.file, of: derivation).sorted().compactMap(site)
    }

    /// `tls13_ComputeHandshakeSecrets`, the one function that has the label.
    private func derivation() -> UInt64? {
        var labels: Set<UInt64> = []
        DataSearch.findAddresses(code.file, Self.label + "\0", limit: Self.limit) { address in
            labels.insert(address)
            return labels.count >= 4
        }
        guard !labels.isEmpty else { return nil }
        var functions: Set<UInt64> = []
        // `lea register, [rip + distance]`.
        CodeSearch.visit(code.file, opcode: 0x8d) { address, number in
            guard number & 0xc7 == 5, address > 0, let instruction = code.instruction(at: address - 1),
                instruction.kind == TLSWATCH_OP_LEA, instruction.second.rip_relative,
                labels.contains(UInt64(bitPattern: instruction.second.value)),
                let extent = code.file.functionExtent(containing: address)
            else { return }
            functions.insert(extent.lowerBound)
        }
        return functions.count == 1 ? functions.first : nil
    }

    private func site(behind call: UInt64) -> CallbackSites.Site? {
        guard let extent = code.file.functionExtent(containing: call) else { return nil }
        let body = code.instructions(in: extent, limit: 20_000)
        guard let index = body.firstIndex(where: { $0.address == call }) else { return nil }
        for next in (index + 1)..<min(body.count, index + Self.reach) {
            guard body[next].kind == TLSWATCH_OP_CALL, body[next].directTarget != nil else { continue }
            let before = body[max(index + 1, next - Self.setting)..<next]
            guard Self.constant(before, 1) == Self.handshake, let direction = Self.constant(before, 2),
                Self.directions.contains(direction), let object = Self.copied(before),
                !Register.clobbered.contains(object)
            else { continue }
            let behind = body[(next + 1)...].prefix(6)
            guard let jump = behind.first(where: { $0.kind == TLSWATCH_OP_JCC }),
                !behind.prefix(while: { $0.address < jump.address }).contains(where: { $0.kind == TLSWATCH_OP_CALL })
            else { return nil }
            return CallbackSites.Site(address: jump.address, object: ObjectPlace(register: UInt8(object)))
        }
        return nil
    }

    /// What a parameter is set to last, where that is a constant.
    private static func constant(_ before: ArraySlice<Instruction>, _ parameter: Int) -> Int64? {
        let register = UInt8(Register.parameters[parameter])
        guard let set = before.last(where: { $0.written >> UInt16(register) & 1 != 0 }),
            set.kind == TLSWATCH_OP_MOV, set.first.isRegister, set.first.reg == register, set.second.isImmediate
        else { return nil }
        return set.second.value
    }

    /// The register that the first parameter is copied from.
    private static func copied(_ before: ArraySlice<Instruction>) -> Int? {
        let register = UInt8(Register.parameters[0])
        guard let set = before.last(where: { $0.written >> UInt16(register) & 1 != 0 }),
            set.kind == TLSWATCH_OP_MOV, set.second.isRegister, set.second.width == 8
        else { return nil }
        return Int(set.second.reg)
    }
}
