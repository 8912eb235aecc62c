import CCapstone
import Code

/// Where an `sslSocket` has its fields: read from the exported functions, which all begin by looking up the socket of a file
/// descriptor.
struct SocketLayout {
    let code: CodeReader
    let symbols: [String: ELFSymbol]
    /// `ssl_FindSocket`, which is not exported.
    let findSocket: UInt64
    /// Of the next step of the handshake, a function; the exported function that sets it tells the first ones.
    let step: Int32
    let beginClient: UInt64
    let beginServer: UInt64
    /// `ssl3.hs.ws`, what message is awaited: 0 none, before and after a handshake.
    let wait: Int32
    let version: Int32
    /// `sec.isServer`, which the first step sets.
    let isServer: Int32
    /// Stubs of `PR_GetIdentitiesLayer`, with which a compiler may have replaced the look-up.
    private let layerStubs: [UInt64]

    /// Exported functions whose first call looks up the socket.
    private static let voters = [
        "SSL_ForceHandshake", "SSL_ResetHandshake", "SSL_GetChannelInfo", "SSL_RevealURL", "SSL_HandshakeCallback",
        "SSL_AuthCertificateHook", "SSL_SetURL", "SSL_PeerCertificate", "SSL_AuthCertificateComplete",
        "SSL_AlertSentCallback", "SSL_AlertReceivedCallback", "SSL_DataPending", "SSL_LocalCertificate",
        "SSL_OptionGet", "SSL_InvalidateSession", "SSL_GetSessionID", "SSL_BadCertHook", "SSL_SetPKCS11PinArg",
    ]
    private static let leastVotes = 6
    private static let prologue = 40
    /// Of a layer's `PRFileDesc`: its socket.
    private static let secret: Int32 = 8
    /// Stands for a layer in an interpretation: a parameter that no function has.
    private static let layer = 7

    static let names =
        voters + [
            "SSL_GetNextProto", "SSL_GetNegotiatedHostInfo", "SSL_SetNextProtoCallback",
            "SSL_ClientCertCallbackComplete",
        ]

    init(_ code: CodeReader) throws(AnalysisError) {
        self.code = code
        symbols = code.file.symbols(named: Self.names)
        let calls = Set(CallFinder(file: code.file).calls(of: "PR_GetIdentitiesLayer"))
        layerStubs = Set(calls.compactMap { code.instruction(at: $0)?.directTarget }).sorted()
        var votes: [UInt64: Int] = [:]
        for voter in Self.voters {
            guard let symbol = symbols[voter], let target = Self.firstCall(code, symbol.address) else { continue }
            votes[target, default: 0] += 1
        }
        guard let found = votes.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }), found.value >= Self.leastVotes,
            code.file.isCode(found.key)
        else { throw AnalysisError("its exported functions do not look up their socket in a common way") }
        findSocket = found.key

        guard let reset = symbols["SSL_ResetHandshake"] else {
            throw AnalysisError("SSL_ResetHandshake is not exported")
        }
        var steps: [Int32: Set<UInt64>] = [:]
        for case .stored(let place, .constant(let value)) in Self.interpreter(code, findSocket, layerStubs)
            .run(reset.address, parameters: [0: .unknown])
        where place.root == 0 && place.count == 0 && code.file.isCode(value) {
            steps[place.displacement, default: []].insert(value)
        }
        let first = steps.filter { $0.value.count == 2 }
        guard first.count == 1, let (step, functions) = first.first else {
            throw AnalysisError("SSL_ResetHandshake does not tell a handshake's first steps")
        }
        self.step = step
        let stores = functions.sorted().map { ($0, Self.constants(code, $0)) }
        guard let sides = Self.sides(stores[0], stores[1]) ?? Self.sides(stores[1], stores[0]) else {
            throw AnalysisError("a handshake's first steps do not tell which is a server's")
        }
        (beginServer, beginClient, isServer, wait, version) = sides
    }

    // MARK: following code

    /// The socket is the first parameter of whatever is interpreted, or what looking it up returns.
    var interpreter: AbstractInterpreter { Self.interpreter(code, findSocket, layerStubs) }

    private static func interpreter(_ code: CodeReader, _ find: UInt64, _ stubs: [UInt64]) -> AbstractInterpreter {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.results[find] = .place(Place(root: 0), width: 0)
        for stub in stubs { interpreter.results[stub] = .place(Place(root: layer), width: 0) }
        return interpreter
    }

    /// What an exported function does: its descriptor is no socket.
    func events(_ name: String, parameters: [Int: AbstractValue] = [:], tellsStack: Bool = false)
        -> [AbstractInterpreter.Event]
    {
        guard let symbol = symbols[name] else { return [] }
        var interpreter = interpreter
        interpreter.tellsStack = tellsStack
        return interpreter.run(symbol.address, parameters: parameters.merging([0: .unknown]) { given, _ in given })
    }

    /// The offsets that lead from the socket to a field, where `value` is one.
    func path(_ value: AbstractValue, width: Int) -> [Int32]? {
        guard let field = value.field, field.width == width, field.offsets.allSatisfy({ (0..<0x4000).contains($0) })
        else { return nil }
        if field.root == 0 { return field.offsets }
        guard field.root == Self.layer, field.offsets.first == Self.secret, field.offsets.count > 1 else { return nil }
        return Array(field.offsets.dropFirst())
    }

    /// The offset of something inside the socket itself, by its address.
    func offset(_ value: AbstractValue) -> Int32? {
        guard case .place(let place, _) = value, (0..<0x4000).contains(place.displacement) else { return nil }
        if place.root == 0, place.count == 0 { return place.displacement }
        guard place.root == UInt8(Self.layer), place.offsets == [Self.secret] else { return nil }
        return place.displacement
    }

    /// Where an exported function keeps the callback that is its second parameter.
    func callback(setBy name: String) -> Int32? {
        var found: Set<Int32> = []
        for case .stored(let place, .place(let value, 0)) in events(name)
        where value == Place(root: 1) {
            if let offset = offset(.place(place, width: 0)) { found.insert(offset) }
        }
        return found.count == 1 ? found.first : nil
    }

    private static func firstCall(_ code: CodeReader, _ function: UInt64) -> UInt64? {
        var address = function
        for _ in 0..<prologue {
            guard let instruction = code.instruction(at: address) else { return nil }
            switch instruction.kind {
            case TLSWATCH_OP_CALL: return instruction.directTarget
            case TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: address = instruction.end
            }
        }
        return nil
    }

    // MARK: a handshake's first steps

    /// The constants that a function stores into its socket, by offset.
    private static func constants(_ code: CodeReader, _ function: UInt64) -> [Int32: Set<UInt64>] {
        var stores: [Int32: Set<UInt64>] = [:]
        for case .stored(let place, .constant(let value)) in AbstractInterpreter(code: code).run(function)
        where place.root == 0 && place.count == 0 { stores[place.displacement, default: []].insert(value) }
        return stores
    }

    /// SSL_LIBRARY_VERSION_3_0, which a client begins with.
    private static let firstVersion: UInt64 = 0x300

    private typealias Step = (function: UInt64, stores: [Int32: Set<UInt64>])

    /// `ssl_BeginServerHandshake` says that this is a server and awaits a ClientHello, both a 1; `ssl_BeginClientHandshake` that
    /// it is none, and a version.
    private static func sides(
        _ server: Step, _ client: Step
    ) -> (server: UInt64, client: UInt64, isServer: Int32, wait: Int32, version: Int32)? {
        func places(_ step: Step, _ value: UInt64) -> Set<Int32> {
            Set(step.stores.filter { $0.value.contains(value) }.keys)
        }
        let ones = places(server, 1)
        let isServer = ones.intersection(places(client, 0))
        let wait = ones.subtracting(isServer)
        let version = places(client, firstVersion)
        guard isServer.count == 1, wait.count == 1, version.count == 1, let side = isServer.first,
            let awaited = wait.first, let number = version.first
        else { return nil }
        return (server.function, client.function, side, awaited, number)
    }

    /// Where a file is loaded is a multiple of a page.
    private static let pageMask: UInt32 = 0xfff

    /// Before its first step a socket is a server's if that is a server's; `nil` where the two do not differ enough.
    var server: KernelStates.Test? {
        let (server, client) = (
            UInt32(truncatingIfNeeded: beginServer) & Self.pageMask,
            UInt32(truncatingIfNeeded: beginClient) & Self.pageMask
        )
        return server == client ? nil : KernelStates.Test(fact: NSSFact.step, mask: Self.pageMask, value: server)
    }
}
