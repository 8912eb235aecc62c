import CCapstone
import Code

/// Facts of the connection that no plain getter returns, or that are for judging a session rather than describing it.
extension FactFinder {
    /// `SSL_CTRL_GET_CLIENT_CERT_TYPES`.
    private static let certificateTypes: UInt64 = 103
    /// `TLS1_FLAGS_STATELESS`.
    private static let stateless: Int64 = 0x800
    /// Instructions of one function that are looked at.
    private static let bodyLimit = 200

    func deriveConnection(_ session: Int32?, _ result: inout Result) {
        for (fact, getter) in [
            (Fact.earlyData, "SSL_get_early_data_status"), (.verifyMode, "SSL_get_verify_mode"), (.want, "SSL_want"),
            (.shutdown, "SSL_get_shutdown"),
        ] {
            set(fact, getter, returned(getter, depth: 1), &result)
        }
        if let handState = result.paths[.handState], let offset = handState.offsets.last {
            // The next field of `struct ossl_statem_st`, of the same type.
            result.paths[.requestState] = FactPath(offsets: [offset + 4], size: 4)
        }
        derivePeerCertificate(session, &result)
        deriveVerifyResult(&result)
        deriveTransport(&result)
        deriveHelloName(&result)
        deriveCertificateRequest(&result)
        deriveReferences(&result)
        deriveStateless(&result)
        deriveRandom(&result)
    }

    private func deriveRandom(_ result: inout Result) {
        guard let getter = symbols[ClientRandom.getter], let paths = ClientRandom.paths(interpreter, getter) else {
            result.notes.append(missing(.random, ClientRandom.getter, []))
            return
        }
        result.paths.merge(paths) { $1 }
    }

    private func derivePeerCertificate(_ session: Int32?, _ result: inout Result) {
        let getter =
            symbols["SSL_get0_peer_certificate"] != nil ? "SSL_get0_peer_certificate" : "SSL_get_peer_certificate"
        let fields = returned(getter, depth: 2).filter { $0.width == 8 && $0.offsets.first == session }
        guard let field = single(fields), plausible(field) else {
            result.notes.append(missing(.peerCertificate, getter, fields))
            return
        }
        // The low half of the pointer: never zero for one that is not null.
        result.paths[.peerCertificate] = FactPath(offsets: field.offsets, size: 4)
    }

    private func deriveVerifyResult(_ result: inout Result) {
        let getter = "SSL_get_verify_result"
        // A long, of which the codes fill a byte.
        let fields = returned(getter, depth: 1).filter { $0.width == 8 }
        guard let field = single(fields), plausible(field) else {
            result.notes.append(missing(.verifyResult, getter, fields))
            return
        }
        result.paths[.verifyResult] = FactPath(offsets: field.offsets, size: 4)
    }

    private func deriveTransport(_ result: inout Result) {
        let getter = "SSL_get_rbio"
        let fields = returned(getter, depth: 1).filter { $0.width == 8 }
        guard let field = single(fields), plausible(field) else {
            result.notes.append(missing(.transport, getter, fields))
            return
        }
        result.paths[.transport] = FactPath(offsets: field.offsets + [0], size: 0)
    }

    /// `TLSEXT_IDX_server_name` of `ssl/ssl_local.h`, in every release.
    private static let serverNameIndex: Int32 = 1

    /// `SSL_client_hello_get0_ext` walks the raw extensions of the ClientHello that is being read, which stand in an array
    /// in the order of OpenSSL's own table, and hands out an extension's bytes.
    private func deriveHelloName(_ result: inout Result) {
        let getter = "SSL_client_hello_get0_ext"
        var bodies: Set<[Int32]> = []
        for case .stored(let place, let value) in events(getter) where place.root == 2 && place.count == 0 {
            if let field = value.field, field.root == 0, field.width == 8, plausible(field) {
                bodies.insert(field.offsets)
            }
        }
        // Seen in the first rounds of the loop: the distance of two neighbours is an element's size.
        let elements = bodies.filter { $0.count == 3 }.sorted { $0.lexicographicallyPrecedes($1) }
        guard elements.count >= 2, Set(elements.map { $0.dropLast() }).count == 1,
            case let size = elements[1][2] - elements[0][2], size > 0, size <= 256
        else {
            result.notes.append("no helloName: the code of \(getter) gives \(elements.count) places")
            return
        }
        result.paths[.helloName] = FactPath(
            offsets: [elements[0][0], elements[0][1], elements[0][2] + Self.serverNameIndex * size, 0], size: 0)
    }

    /// `SSL_ctrl(s, SSL_CTRL_GET_CLIENT_CERT_TYPES, …)` answers a client that was asked: it looks at the role, and at
    /// whether a request came.
    private func deriveCertificateRequest(_ result: inout Result) {
        var fields: Set<Field> = []
        if let control = methodControl() {
            var interpreter = interpreter
            interpreter.followsTailJumps = false
            for case .compared(let field, 0) in interpreter.run(
                control, parameters: [1: .constant(Self.certificateTypes)])
            where field.root == 0 && field.width == 4 && field.offsets != result.paths[.role]?.offsets {
                fields.insert(field)
            }
        }
        guard let field = single(fields), plausible(field), field.offsets.count <= 2 else {
            result.notes.append(
                "no certificateRequest: the library's control function gives \(fields.count) places for it")
            return
        }
        result.paths[.certificateRequest] = FactPath(offsets: field.offsets, size: 4)
    }

    /// `SSL_up_ref` adds to the count of references, at once for all threads.
    private func deriveReferences(_ result: inout Result) {
        let parameter = UInt8(Register.parameters[0])
        for instruction in body("SSL_up_ref") {
            let place = instruction.first
            if place.isMemory, place.base == parameter, place.width == 4, !place.opaque_address,
                place.index == UInt8(TLSWATCH_NO_REGISTER), (0..<0x10000).contains(place.value),
                instruction.byte0 == 0xf0
            {
                result.paths[.references] = FactPath(offsets: [Int32(place.value)], size: 4)
                return
            }
            if instruction.written >> UInt16(parameter) & 1 != 0 { break }
        }
        result.notes.append("no references: the code of SSL_up_ref adds to no field of its object")
    }

    /// `SSL_stateless` sets a flag of the connection, and looks whether a HelloRetryRequest is pending.
    private func deriveStateless(_ result: inout Result) {
        var flags: Set<Int32> = []
        var retries: Set<Int32> = []
        for instruction in body("SSL_stateless") where instruction.first.isMemory && instruction.second.isImmediate {
            let place = instruction.first
            guard !place.rip_relative, place.index == UInt8(TLSWATCH_NO_REGISTER), place.base != UInt8(Register.rsp),
                (0..<0x10000).contains(place.value)
            else { continue }
            let offset = Int32(place.value)
            switch instruction.kind {
            case TLSWATCH_OP_OR:
                if place.width > 1, instruction.second.value == Self.stateless { flags.insert(offset) }
                // The same bit in the field's second byte.
                if place.width == 1, instruction.second.value == Self.stateless >> 8 { flags.insert(offset - 1) }
            case TLSWATCH_OP_CMP:
                if place.width == 4, instruction.second.value == 1 { retries.insert(offset) }
            default: break
            }
        }
        if let flowState = result.paths[.flowState]?.offsets.first { retries.remove(flowState) }
        // The flags tell QUIC, which came with 3.2, when the version ceased to be the connection's first field.
        let knowsQUIC = result.paths[.version]?.offsets != [0]
        for (fact, offsets) in [(Fact.flags, flags), (.helloRetry, retries)] where fact != .flags || knowsQUIC {
            guard offsets.count == 1, let offset = offsets.first else {
                result.notes.append("no \(fact): the code of SSL_stateless gives \(offsets.count) places")
                continue
            }
            result.paths[fact] = FactPath(offsets: [offset], size: 4)
        }
    }

    /// A function's instructions, in the order of their addresses.
    private func body(_ name: String) -> [Instruction] {
        guard let symbol = symbols[name] else { return [] }
        let extent =
            code.file.functionExtent(containing: symbol.address)
            ?? symbol.address..<symbol.address.addingClamped(symbol.size)
        return code.instructions(in: extent, limit: Self.bodyLimit)
    }
}
