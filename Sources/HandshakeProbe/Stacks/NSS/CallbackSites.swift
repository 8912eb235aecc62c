import CCapstone
import Code

/// Events that an application can ask to be told of: the hidden function that loads the callback from its socket is the event.
struct CallbackSites {
    /// An instruction that the kernel emulates, and where it has the socket and what the event is about.
    struct Site: Equatable {
        var address: UInt64
        var object: ObjectPlace
        var argument: ValuePlace?
        var argument2: ValuePlace?
    }

    let layout: SocketLayout
    private var code: CodeReader { layout.code }

    private static let reach = 8

    // MARK: completion

    /// `ssl_FinishHandshake`, whose parameter is the socket: both roles, all versions, once a handshake.
    func finish() -> UInt64? {
        guard let offset = layout.callback(setBy: "SSL_HandshakeCallback") else { return nil }
        let found = FieldUses.find(code, offset: offset).keys.filter { function in
            AbstractInterpreter(code: code).run(function).contains { event in
                switch event {
                case .called(let target, _), .jumpedOut(let target, _): layout.path(target, width: 8) == [offset]
                default: false
                }
            }
        }
        return found.count == 1 ? found.first : nil
    }

    // MARK: alerts

    private static let fatal: UInt64 = 2
    private static let warning: UInt64 = 1

    /// In `SSL3_SendAlert(socket, level, description)` a jump that only fatal alerts come to.
    func fatalAlertSent() -> Site? {
        guard let offset = layout.callback(setBy: "SSL_AlertSentCallback") else { return nil }
        let functions = FieldUses.find(code, offset: offset).filter { $0.value.contains { called($0) != nil } }.keys
        guard functions.count == 1, let function = functions.first, let held = copies(function, of: 2) else {
            return nil
        }
        func passed(_ level: UInt64) -> [UInt64: UInt16] {
            var interpreter = AbstractInterpreter(code: code)
            interpreter.followsTailJumps = false
            interpreter.mergesPaths = true
            return interpreter.walk(function, parameters: [1: .constant(level)]).passed
        }
        let others = passed(Self.warning)
        for (address, registers) in passed(Self.fatal).sorted(by: { $0.key < $1.key }) where others[address] == nil {
            guard let instruction = code.instruction(at: address), instruction.kind == TLSWATCH_OP_JCC,
                SiteChooser.isEmulated(instruction), let register = Register.first(of: registers)
            else { continue }
            return Site(
                address: address, object: ObjectPlace(register: UInt8(register)),
                argument: ValuePlace(register: UInt8(held)))
        }
        return nil
    }

    /// Where an alert that was received is taken apart: the jump over the callback. Its argument is the description, with the level
    /// in the second one; or both in one, the level lowest, as they stand in the record.
    func alertReceived() -> Site? {
        guard let offset = layout.callback(setBy: "SSL_AlertReceivedCallback") else { return nil }
        let sites = FieldUses.find(code, offset: offset).values.joined().compactMap(received)
        return sites.count == 1 ? sites.first : nil
    }

    private func received(_ use: FieldUses.Use) -> Site? {
        guard let jump = called(use) else { return nil }
        var written: UInt16 = 0
        var upper: ValuePlace?
        for instruction in use.body[..<use.index].suffix(2 * Self.reach).reversed() {
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_MOVZX, second.isMemory, first.isRegister,
                written >> UInt16(first.reg) & 1 == 0
            {
                let place = ValuePlace(register: first.reg)
                if second.width == 2, second.value == 0 { return site(jump, use, place, nil) }
                if second.width == 1, second.value == 1 { upper = place }
                if second.width == 1, second.value == 0, let upper { return site(jump, use, upper, place) }
            }
            written |= instruction.written
        }
        return nil
    }

    private func site(_ jump: UInt64, _ use: FieldUses.Use, _ first: ValuePlace, _ second: ValuePlace?) -> Site {
        Site(address: jump, object: ObjectPlace(register: UInt8(use.base)), argument: first, argument2: second)
    }

    /// The jump over a callback that is loaded into a register, tested and called; `nil` where this is no such load.
    private func called(_ use: FieldUses.Use) -> UInt64? {
        let load = use.instruction
        guard load.kind == TLSWATCH_OP_MOV, load.first.isRegister, load.second.isMemory, load.first.width == 8 else {
            return nil
        }
        let behind = use.body[(use.index + 1)...].prefix(2 * Self.reach)
        // clang puts what it has to do on either way in between.
        let between = behind.prefix { $0.kind != TLSWATCH_OP_TEST }
        guard between.count <= Self.mostBetween,
            between.allSatisfy({ $0.written >> UInt16(load.first.reg) & 1 == 0 && !$0.branches }),
            let test = behind.dropFirst(between.count).first, test.first.isRegister, test.first.reg == load.first.reg,
            let jump = behind.dropFirst(between.count + 1).first, jump.kind == TLSWATCH_OP_JCC,
            behind.contains(where: { $0.kind == TLSWATCH_OP_CALL && $0.first.isRegister })
        else { return nil }
        return jump.address
    }

    /// Instructions between the load of a callback and its test.
    private static let mostBetween = 3

    /// The register that calls leave alone into which a function copies a parameter at its beginning, for good.
    private func copies(_ function: UInt64, of parameter: Int) -> Int? {
        guard let extent = code.file.functionExtent(containing: function) else { return nil }
        let body = code.instructions(in: extent, limit: 2000)
        guard
            let copy = body.prefix(24).first(where: {
                $0.kind == TLSWATCH_OP_MOV && $0.first.isRegister && $0.second.isRegister
                    && Int($0.second.reg) == Register.parameters[parameter]
            }), case let register = Int(copy.first.reg), !Register.clobbered.contains(register)
        else { return nil }
        let later = body.drop { $0.address <= copy.address }
        guard !later.contains(where: { $0.written >> UInt16(register) & 1 != 0 && $0.kind != TLSWATCH_OP_POP }) else {
            return nil
        }
        return register
    }

    // MARK: the application protocol

    /// Behind a server's call of the callback that chooses one.
    func protocolChosen() -> Site? {
        guard let offset = layout.callback(setBy: "SSL_SetNextProtoCallback") else { return nil }
        let sites = FieldUses.find(code, offset: offset).values.joined().compactMap(chosen)
        return sites.count == 1 ? sites.first : nil
    }

    /// Of the functions that read the extension of the application protocol, the client's: the server's looks for the callback.
    func protocolAnswer(_ readers: Set<UInt64>) -> UInt64? {
        guard let offset = layout.callback(setBy: "SSL_SetNextProtoCallback") else { return nil }
        let servers = FieldUses.find(code, offset: offset).keys
        let others = readers.filter { reader in
            !servers.contains { code.file.functionExtent(containing: $0)?.lowerBound == reader }
        }
        return readers.count == 2 && others.count == 1 ? others.first : nil
    }

    private func chosen(_ use: FieldUses.Use) -> Site? {
        guard !Register.clobbered.contains(use.base), let call = call(use) else { return nil }
        for instruction in use.body[(call + 1)...].prefix(Self.reach) {
            if SiteChooser.isEmulated(instruction) {
                return Site(address: instruction.address, object: ObjectPlace(register: UInt8(use.base)))
            }
            guard instruction.written >> UInt16(use.base) & 1 == 0 else { return nil }
        }
        return nil
    }

    /// The call of the function that a use is of: from memory, or from the register it was loaded into.
    private func call(_ use: FieldUses.Use) -> Int? {
        let instruction = use.instruction
        if instruction.kind == TLSWATCH_OP_CALL { return use.index }
        guard instruction.kind == TLSWATCH_OP_MOV, instruction.first.isRegister else { return nil }
        let register = instruction.first.reg
        for index in (use.index + 1)..<min(use.body.count, use.index + 1 + 3 * Self.reach) {
            let next = use.body[index]
            if next.kind == TLSWATCH_OP_CALL, next.first.isRegister, next.first.reg == register { return index }
            if next.written >> UInt16(register) & 1 != 0 || next.written >> UInt16(use.base) & 1 != 0 { return nil }
        }
        return nil
    }
}
