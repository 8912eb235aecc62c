import CCapstone
import Code

/// Where a connection's fields are, read from the code of functions that are known by what names them: the state machine and its
/// caller, the functions of the extensions, and the getters where they have names.
///
/// Most offsets differ in nearly every build: the handshake's own object grows with each release.
struct ConnectionLayout {
    /// Some bits of a byte.
    struct Bit: Hashable {
        var offset: Int32
        var mask: UInt8
    }

    private let code: CodeReader
    private let calls: HandshakeCalls
    private let rows: ExtensionRows
    private var state: Int32 { calls.state }
    private(set) var notes: [String] = []

    // Of the connection (`SSL`).
    private(set) var server: Bit?
    private(set) var quic: Int32?
    private(set) var clientName: Int32?
    /// The `BIO` that it reads from.
    private(set) var transport: Int32?
    // Of its state (`SSL3_STATE`).
    private(set) var want: Int32?
    private(set) var established: Int32?
    private(set) var protocolData: Int32?
    private(set) var resumed: Bit?
    private(set) var connected: Bit?
    private(set) var retried: Bit?
    private(set) var earlyReason: Int32?
    private(set) var sentAlert: Int32?
    /// The version that was agreed on: of the state, or of the connection.
    private(set) var version: [Int32]?
    /// Of the connection's configuration, behind a pointer; where a function's name tells.
    private(set) var verifyMode: [Int32]?
    // Of the handshake (`SSL_HANDSHAKE`).
    private(set) var finalized: Bit?
    private(set) var wait: Int32?
    private(set) var error: Int32?
    /// Of a session (`SSL_SESSION`): the pointer to its cipher.
    private(set) var cipher: Int32?
    /// Of the connection's method's table: the function that writes what is to be sent.
    private(set) var flush: Int32?

    init(_ code: CodeReader, _ calls: HandshakeCalls, _ rows: ExtensionRows) {
        (self.code, self.calls, self.rows) = (code, calls, rows)
        readCaller()
        readStateMachine()
        readExtensions()
    }

    /// Offsets of real structures.
    private static func isPlausible(_ offset: Int32) -> Bool { (0..<0x4000).contains(offset) }

    private var interpreter: AbstractInterpreter {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.stepLimit = 6000
        interpreter.mergesPaths = true
        return interpreter
    }

    private mutating func note(_ what: String, _ from: String, _ count: Int) {
        notes.append("no \(what): the code of \(from) gives \(count) places")
    }

    /// The one of these; else notes that there is none.
    private mutating func only<Value: Hashable>(_ values: some Sequence<Value>, _ what: String, _ from: String)
        -> Value?
    {
        let all = Set(values)
        if all.count == 1 { return all.first }
        note(what, from, all.count)
        return nil
    }

    /// Without these no handshake can be told from another, nor its end from a wait.
    func require() throws(AnalysisError) {
        let needed: [(String, Bool)] = [
            ("role", server != nil), ("state", wait != nil), ("want", want != nil), ("finalized", finalized != nil),
        ]
        let missing = needed.filter { !$0.1 }.map(\.0)
        guard missing.isEmpty else {
            throw AnalysisError("its code does not tell where a handshake's \(missing.joined(separator: ", ")) stands")
        }
    }

    // MARK: SSL_do_handshake

    private mutating func readCaller() {
        guard let copy = calls.copies.first else { return }
        var interpreter = interpreter
        interpreter.followsTailJumps = false
        let before = {
            var interpreter = interpreter
            interpreter.walls = [copy.call]
            return interpreter.runFollowingCalls(copy.function, depth: 2)
        }()
        let all = interpreter.run(copy.function)
        let (state, handshake) = (calls.state, calls.handshake)
        finalized = only(Self.bits(before, [state, handshake]), "finalized", "SSL_do_handshake")
        want = only(
            before.compactMap { event -> Int32? in
                guard case .stored(let place, .constant(0)) = event, place.root == 0, place.offsets == [state],
                    Self.isPlausible(place.displacement)
                else {
                    return nil
                }
                return place.displacement
            }, "want", "SSL_do_handshake")
        server = only(Self.bits(all, []).filter { $0.mask == 1 }, "role", "SSL_do_handshake")
    }

    /// The bits of fields behind these pointers that the code looks at: of one byte each.
    private static func bits(_ events: [AbstractInterpreter.Event], _ chain: [Int32]) -> [Bit] {
        events.compactMap { event in
            guard case .tested(let field, let mask) = event, field.root == 0, Array(field.offsets.dropLast()) == chain,
                let offset = field.offsets.last, isPlausible(offset), mask.nonzeroBitCount == 1
            else { return nil }
            let byte = Int32(mask.trailingZeroBitCount / 8)
            return Bit(offset: offset + byte, mask: UInt8(truncatingIfNeeded: mask >> UInt64(byte * 8)))
        }
    }

    // MARK: ssl_run_handshake

    private mutating func readStateMachine() {
        var interpreter = interpreter
        interpreter.followsJumpTables = true
        let events = interpreter.run(calls.stateMachine)
        for case .compared(let field, _) in events
        where field.root == 0 && field.offsets.count == 1 && field.width == 4 && Self.isPlausible(field.offsets[0]) {
            wait = field.offsets[0]
            break
        }
        if wait == nil { note("state", "ssl_run_handshake", 0) }
        error = only(
            events.compactMap { event -> Int32? in
                guard case .called(_, let arguments) = event, let field = arguments[0].field, field.root == 0,
                    field.offsets.count == 1, field.width == 8, field.offsets[0] > 0
                else { return nil }
                return field.offsets[0]
            }, "error", "ssl_run_handshake")
        // Two of them are called: the one that writes a flight comes last.
        flush = events.compactMap { event -> Int32? in
            guard case .called(let target, _) = event, let field = target.field, field.root == 0,
                field.offsets.count == 3, field.offsets[0] == 0, field.offsets[1] == 0,
                MethodTable.flushes.contains(field.offsets[2])
            else { return nil }
            return field.offsets[2]
        }.max()
        if flush == nil { note("key changes", "ssl_run_handshake", 0) }
        readQUIC(events)
    }

    /// `if (ssl->quic_method)`, here or in a function that does nothing else: the one pointer of the connection that is looked at.
    private mutating func readQUIC(_ events: [AbstractInterpreter.Event]) {
        var found: Set<Int32> = []
        for event in events {
            switch event {
            case .compared(let field, 0)
            where field.root == 0 && field.width == 8 && field.offsets.count == 2 && field.offsets[0] == 0
                && field.offsets[1] > 0:
                found.insert(field.offsets[1])
            case .called(.constant(let target), let arguments)
            where code.file.isCode(target):
                guard let field = arguments[0].field, field.root == 0, field.offsets == [0], field.width == 8,
                    let offset = onlyPointerTested(target)
                else { continue }
                found.insert(offset)
            default: break
            }
        }
        quic = only(found, "QUIC", "ssl_run_handshake")
    }

    /// The pointer of its first parameter's that a function tests, where that is all that it does.
    private func onlyPointerTested(_ function: UInt64) -> Int32? {
        var interpreter = interpreter
        interpreter.stepLimit = 100
        var tested: Int32?
        for event in interpreter.run(function) {
            switch event {
            case .compared(let field, 0)
            where field.root == 0 && field.width == 8 && field.offsets.count == 1 && tested == nil:
                tested = field.offsets[0]
            case .returned, .jumpedOut: break
            default: return nil
            }
        }
        return tested.flatMap { $0 > 0 ? $0 : nil }
    }

    // MARK: extensions

    private func events(_ number: UInt16, _ slot: ExtensionRows.Slot) -> [AbstractInterpreter.Event] {
        guard let function = rows.function(code.file, number, slot) else { return [] }
        return interpreter.runFollowingCalls(function, depth: 2)
    }

    /// Offsets behind these pointers of fields that are compared, by what they are compared with.
    private static func compared(
        _ events: [AbstractInterpreter.Event], _ chain: [Int32], width: Int
    ) -> [(offset: Int32, with: UInt64)] {
        events.compactMap { event in
            guard case .compared(let field, let value) = event, field.root == 0, field.width == width,
                Array(field.offsets.dropLast()) == chain, let offset = field.offsets.last, isPlausible(offset)
            else { return nil }
            return (offset, value)
        }
    }

    private mutating func readExtensions() {
        let chain: [Int32] = [0, state]
        let master = events(ExtensionRows.extendedMasterSecret, .parseServerHello)
        established = only(
            Self.compared(master, chain, width: 8).filter { $0.with == 0 }.map(\.offset), "session",
            "the extended master secret's parser")
        let versions =
            Self.compared(master, chain, width: 2).map { [state, $0.offset] }
            + Self.compared(master, [0], width: 2).map { [$0.offset] }
        version = only(versions, "version", "the extended master secret's parser")
        let answer = events(ExtensionRows.applicationProtocol, .addServerHello)
        protocolData = only(
            Self.compared(answer, chain, width: 8).filter { $0.with == 0 }.map { $0.offset - 8 }, "protocol",
            "the ALPN extension's writer")
        resumed =
            events(ExtensionRows.serverName, .addServerHello).lazy.compactMap {
                Self.bits([$0], chain).first
            }.first
        if resumed == nil { note("resumed", "the server name's writer", 0) }
        clientName = only(
            Self.compared(events(ExtensionRows.serverName, .addClientHello), [0], width: 8).filter { $0.with == 0 }
                .map(\.offset), "sni", "the server name's writer")
        connected = only(
            Self.bits(events(ExtensionRows.applicationProtocol, .addClientHello), chain), "renegotiation",
            "the ALPN extension's writer")
        retried = only(
            Self.bits(events(ExtensionRows.earlyData, .addClientHello), chain), "helloRetry",
            "the early data's writer")
        earlyReason = only(
            events(ExtensionRows.earlyData, .parseServerHello).compactMap { event -> Int32? in
                guard case .stored(let place, .constant(let value)) = event, place.root == 0, place.offsets == chain,
                    (1...16).contains(value)
                else { return nil }
                return place.displacement
            }, "earlyData", "the early data's parser")
    }

    // MARK: alerts

    /// Of `send_alert`, two bytes that stand right before the pointer to the session: the level, then the alert.
    private static let alertDistance: Int32 = 3

    /// Whether the function is `dispatch_alert`: it hands on, or looks at, the alert that is to be sent.
    func dispatchesAlert(_ function: UInt64) -> Bool {
        guard let established else { return false }
        let (chain, offset) = ([state], established - Self.alertDistance)
        return interpreter.run(function).contains { event in
            switch event {
            case .compared(let field, _):
                return field.root == 0 && field.offsets == chain + [offset] && field.width == 1
            case .called(_, let arguments):
                return arguments.contains {
                    if case .place(let place, _) = $0 {
                        place.root == 0 && place.offsets == chain && place.displacement == offset
                    } else {
                        false
                    }
                }
            default: return false
            }
        }
    }

    /// Takes the alert's place for certain: a function was found that sends it.
    mutating func confirmAlert() { sentAlert = established.map { $0 - Self.alertDistance } }

    // MARK: transport

    /// `SSL_R_BIO_NOT_SET`: who reads and who writes looks first whether there is anything to read from, or to write to.
    static let noTransport: UInt32 = 119

    /// Reads where a connection has its transports, from the functions that report that it has none: side by side, the one that
    /// is read from first.
    mutating func readTransport(_ functions: [UInt64]) {
        let looked = functions.flatMap { Self.compared(interpreter.run($0), [], width: 8) }
        let tested = Set(looked.lazy.filter { $0.with == 0 }.map(\.offset))
        transport = only(
            tested.filter { $0 > 0 && tested.contains($0 + 8) }, "transport", "the report that there is none")
    }

    // MARK: getters

    /// What functions with names tell besides.
    mutating func readGetters(_ symbols: [String: ELFSymbol]) {
        if transport == nil, let getter = symbols["SSL_get_rbio"] {
            let fields = interpreter.run(getter.address).compactMap { event -> Int32? in
                guard case .returned(let value) = event, let field = value.field, field.root == 0, field.width == 8,
                    field.offsets.count == 1
                else { return nil }
                return field.offsets[0]
            }
            if Set(fields).count == 1 { transport = fields.first }
            if transport != nil { notes.removeAll { $0.hasPrefix("no transport") } }
        }
        if retried == nil, let getter = symbols["SSL_used_hello_retry_request"] {
            retried = returnedBit(getter.address)
            if retried != nil { notes.removeAll { $0.hasPrefix("no helloRetry") } }
        }
        if let getter = symbols["SSL_get_verify_mode"] {
            let fields = interpreter.run(getter.address).compactMap { event -> [Int32]? in
                guard case .returned(let value) = event, let field = value.field, field.root == 0,
                    field.offsets.count == 2
                else { return nil }
                return field.offsets
            }
            if Set(fields).count == 1 { verifyMode = fields.first }
        }
    }

    /// The bit of the state that a getter returns: tested, or the last that is left when it has been shifted down.
    private func returnedBit(_ getter: UInt64) -> Bit? {
        let events = interpreter.run(getter)
        var bits = Set(Self.bits(events, [state]))
        for case .returned(.bits(let place, let width, let shift)) in events
        where place.root == 0 && place.offsets.first == state && place.offsets.count == 2
            && Self.isPlausible(place.offsets[1])
            && Int(shift) == Int(width) * 8 - 1
        {
            bits.insert(Bit(offset: place.offsets[1] + Int32(width) - 1, mask: 0x80))
        }
        return bits.count == 1 ? bits.first : nil
    }

    // MARK: the session's cipher

    /// `SSL_R_OLD_SESSION_CIPHER_NOT_RETURNED`: a client holds the session's cipher against the one that the server chose.
    static let cipherNotReturned: UInt32 = 187
    /// Bytes of code before the error's report in which that is done.
    private static let cipherReach: UInt64 = 128

    /// Reads where a session has its cipher, from what stands before such a report.
    mutating func readCipher(_ reports: [UInt64]) {
        var found: Set<Int32> = []
        for report in reports where report > Self.cipherReach {
            var offsets: [Int32] = []
            // The code before may be entered anywhere: the beginning from which the most comparisons are seen is right.
            let start = code.file.functionExtent(containing: report)?.lowerBound
            for address in start.map({ [$0] }) ?? (0..<16).map({ report &- Self.cipherReach &+ $0 }) {
                let body = code.instructions(in: address..<report, limit: 20_000)
                guard body.last?.end == report else { continue }
                offsets = Self.ciphers(body.filter { report &- $0.address <= Self.cipherReach })
                if !offsets.isEmpty { break }
            }
            found.formUnion(offsets)
        }
        cipher = only(found, "cipher", "the report of another cipher")
    }

    /// `cmp [session + C], r`, or the session's cipher loaded and compared.
    private static func ciphers(_ body: [Instruction]) -> [Int32] {
        body.enumerated().compactMap { index, instruction -> Int32? in
            guard instruction.kind == TLSWATCH_OP_CMP, instruction.first.width == 8 else { return nil }
            let (left, right) = (instruction.first, instruction.second)
            if left.isMemory, right.isRegister, isCipher(left) { return Int32(left.value) }
            if left.isRegister, right.isMemory {
                if isCipher(right) { return Int32(right.value) }
                // The handshake's own choice, further on in a larger object: the other is the session's.
                let load = body[..<index].last { $0.written >> UInt16(left.reg) & 1 != 0 }
                if let load, load.kind == TLSWATCH_OP_MOV, load.second.isMemory, isCipher(load.second) {
                    return Int32(load.second.value)
                }
            }
            return nil
        }
    }

    /// A field of a session that may be it, behind its identity.
    private static func isCipher(_ operand: Operand) -> Bool {
        operand.index == UInt8(TLSWATCH_NO_REGISTER) && operand.base != UInt8(Register.rsp) && !operand.rip_relative
            && (0x80..<0x180).contains(operand.value)
    }
}
