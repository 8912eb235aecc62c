import CCapstone
import Code

/// Where a connection (`WOLFSSL`) has its facts, from the code of the exported functions that return or set them.
struct WolfSSLLayout {
    private(set) var paths: [Fact: FactPath] = [:]
    /// Offset of the callback that is called once a handshake is complete.
    private(set) var callback: Int32?
    /// Offset of what went wrong last, or has to be waited for; four bytes.
    private(set) var error: Int32?
    /// Holds on a server.
    private(set) var server: KernelStates.Test?
    private(set) var descriptor: UInt16?
    private(set) var notes: [String] = []

    private let code: CodeReader
    private let symbols: [String: ELFSymbol]

    private static let setCallback = "wolfSSL_SetHsDoneCb"
    private static let wantsToRead = "wolfSSL_want_read"
    private static let role = "wolfSSL_is_server"
    private static let handshake = "wolfSSL_get_state"
    private static let version = "wolfSSL_version"
    private static let cipher = "wolfSSL_get_current_cipher_suite"
    private static let resumed = "wolfSSL_session_reused"
    private static let group = "wolfSSL_get_curve_name"
    private static let alerts = "wolfSSL_get_alert_history"
    private static let socket = "wolfSSL_get_fd"
    private static let random = "wolfSSL_get_client_random"
    private static let applicationProtocol = "wolfSSL_ALPN_GetProtocol"
    private static let serverName = "wolfSSL_SNI_GetRequest"

    static let getters = [
        setCallback, wantsToRead, role, handshake, version, cipher, resumed, group, alerts, socket, random,
        applicationProtocol, serverName,
    ]

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [WolfSSLFact.group, .sni, .alpn, WolfSSLFact.cipher]

    init(_ code: CodeReader, _ symbols: [String: ELFSymbol]) {
        (self.code, self.symbols) = (code, symbols)
        let callbacks = Set(
            run(Self.setCallback).compactMap { event -> Int32? in
                guard case .stored(let place, .place(let value, 0)) = event, value == Place(root: 1) else { return nil }
                return offset(place)
            })
        callback = callbacks.count == 1 ? callbacks.first : nil
        deriveError()
        deriveRole()
        set(WolfSSLFact.handshake, Self.handshake, returned(Self.handshake, width: 1))
        // The first of two bytes, as on the wire.
        set(WolfSSLFact.version, Self.version, compared(Self.version, with: 3, width: 1), size: 2)
        set(WolfSSLFact.resumed, Self.resumed, tested(Self.resumed))
        set(WolfSSLFact.cipher, Self.cipher, loaded(Self.cipher, [1, 2]), size: 2)
        // A number of IANA's, or the sum of an object identifier's bytes: of X25519 365.
        set(WolfSSLFact.group, Self.group, compared(Self.group, with: 0, width: 2))
        set(WolfSSLFact.curve, Self.group, compared(Self.group, with: WolfSSLState.x25519, width: 4))
        deriveAlerts()
        deriveDescriptor()
        if let getter = symbols[Self.random],
            let random = ClientRandom.paths(AbstractInterpreter(code: code), getter)
        {
            paths.merge(random) { $1 }
        } else {
            miss(.random, Self.random, 0)
        }
        deriveExtensions()
    }

    /// The functions' states are bytes, which stand side by side: together they move with each message that is sent.
    mutating func addStates(_ offsets: Set<Int32>) {
        guard let first = offsets.min(), let last = offsets.max(), last - first < 4 else {
            notes.append("no progress: the states of clients and servers stand apart")
            return
        }
        paths[.detail] = FactPath(offsets: [first], size: last == first ? 1 : last == first + 1 ? 2 : 4)
    }

    // MARK: getters

    private func run(_ name: String, parameters: [Int: AbstractValue] = [:]) -> [AbstractInterpreter.Event] {
        symbols[name].map { AbstractInterpreter(code: code).run($0.address, parameters: parameters) } ?? []
    }

    /// Of a field in the connection itself.
    private func offset(_ field: Field, width: Int) -> Int32? {
        guard field.root == 0, field.offsets.count == 1, field.width == width else { return nil }
        return (0..<0x10000).contains(field.offsets[0]) ? field.offsets[0] : nil
    }

    private func offset(_ place: Place) -> Int32? {
        guard place.root == 0, place.count == 0, (0..<0x10000).contains(place.displacement) else { return nil }
        return place.displacement
    }

    private func returned(_ name: String, width: Int) -> Set<FactPath> {
        Set(
            run(name).compactMap { event in
                guard case .returned(let value) = event, let field = value.field else { return nil }
                return offset(field, width: width).map { FactPath(offsets: [$0], size: width) }
            })
    }

    private func compared(_ name: String, with constant: UInt64, width: Int) -> Set<FactPath> {
        Set(
            run(name).compactMap { event in
                guard case .compared(let field, constant) = event else { return nil }
                return offset(field, width: width).map { FactPath(offsets: [$0], size: width) }
            })
    }

    /// A bit that is looked at.
    private func tested(_ name: String) -> Set<FactPath> {
        Set(
            run(name).compactMap { event in
                guard case .tested(let field, let mask) = event, mask.nonzeroBitCount == 1, mask <= UInt32.max else {
                    return nil
                }
                return offset(field, width: field.width).map {
                    FactPath(offsets: [$0], size: field.width, bits: UInt32(mask))
                }
            })
    }

    private static let bodyLimit = 40

    /// The lowest field of the connection that a short function loads from.
    private func loaded(_ name: String, _ widths: Set<UInt8>) -> Set<FactPath> {
        guard let symbol = symbols[name],
            let extent = code.file.functionExtent(containing: symbol.address), extent.lowerBound == symbol.address
        else { return [] }
        let places = code.instructions(in: extent, limit: Self.bodyLimit).compactMap { instruction -> Int32? in
            let source = instruction.second
            guard source.isMemory, Int(source.base) == Register.parameters[0], widths.contains(source.width),
                source.index == UInt8(TLSWATCH_NO_REGISTER), (0..<0x10000).contains(source.value)
            else { return nil }
            return Int32(source.value)
        }
        return Set(places.min().map { [FactPath(offsets: [$0], size: 4)] } ?? [])
    }

    private mutating func set(_ fact: Fact, _ name: String, _ found: Set<FactPath>, size: Int? = nil) {
        guard found.count == 1, var path = found.first else { return miss(fact, name, found.count) }
        if let size { path.size = size }
        paths[fact] = path
    }

    private mutating func miss(_ fact: Fact, _ name: String, _ count: Int) {
        notes.append(fact.missing(in: name, symbols, places: count))
    }

    // MARK: facts of other shapes

    private mutating func deriveError() {
        let wants = UInt64(UInt32(bitPattern: WolfSSLState.wantsToRead))
        guard case let found = compared(Self.wantsToRead, with: wants, width: 4), found.count == 1,
            let place = found.first?.offsets[0]
        else { return }
        error = place
        // Its lowest byte tells enough of where a handshake may begin.
        paths[.state] = FactPath(offsets: [place], size: 1)
        paths[WolfSSLFact.error] = FactPath(offsets: [place], size: 4)
    }

    /// A number some bits of which are 0 on a server, and on nobody else.
    private mutating func deriveRole() {
        var found: [(path: FactPath, mask: UInt32)] = []
        for case .tested(let field, let mask) in run(Self.role) {
            guard field.width <= 4, mask <= UInt32.max, let place = offset(field, width: field.width) else { continue }
            found.append((FactPath(offsets: [place], size: field.width), UInt32(mask)))
        }
        guard found.count == 1, let (path, mask) = found.first else { return miss(.role, Self.role, found.count) }
        paths[.role] = path
        server = KernelStates.Test(fact: .role, mask: mask, value: 0)
    }

    /// `WOLFSSL_ALERT_HISTORY`: of the last alert that was received, and of the last that was sent, its number and its level.
    private mutating func deriveAlerts() {
        guard let history = loaded(Self.alerts, [4, 8, 16]).first?.offsets[0] else {
            return miss(WolfSSLFact.alertReceived, Self.alerts, 0)
        }
        for (fact, offset) in [
            (WolfSSLFact.alertReceived, 0), (WolfSSLFact.levelReceived, 4), (WolfSSLFact.alertSent, 8),
            (WolfSSLFact.levelSent, 12),
        ] as [(Fact, Int32)] { paths[fact] = FactPath(offsets: [history + offset], size: 4) }
    }

    private mutating func deriveDescriptor() {
        let found = returned(Self.socket, width: 4)
        descriptor = found.count == 1 ? found.first.flatMap { UInt16(exactly: $0.offsets[0]) } : nil
        if descriptor == nil {
            notes.append("sockets of renegotiations are not known: the code of \(Self.socket) tells no place")
        }
    }

    // MARK: extensions

    /// Numbers of IANA's.
    private static let protocolExtension: UInt64 = 16
    private static let nameExtension: UInt32 = 0

    /// A connection keeps what each extension has left in an element of a list.
    private mutating func deriveExtensions() {
        guard let list = list(), let data = deriveProtocol(list) else {
            miss(.alpn, Self.applicationProtocol, 0)
            miss(.sni, Self.serverName, 0)
            return
        }
        paths[WolfSSLFact.extensions] = FactPath(offsets: [list.head], size: 4)
        deriveName(list, data)
    }

    /// `TLSX_Find`: elements that are compared with the extension's number, one behind the other.
    private func list() -> (head: Int32, mark: Int32, next: Int32)? {
        var compared: Set<[Int32]> = []
        for case .compared(let field, Self.protocolExtension) in run(Self.applicationProtocol)
        where field.root == 0 && field.width == 4 && field.offsets.allSatisfy({ (0..<0x10000).contains($0) }) {
            compared.insert(field.offsets)
        }
        // Where the connection is none it is taken for the list's first element itself: then both steps are those to the next.
        let found = compared.filter { behind in
            behind.count == 3 && behind[0] != behind[1] && behind[1] > 0 && behind[1] % 8 == 0
                && compared.contains([behind[0], behind[2]])
        }
        guard found.count == 1, let behind = found.first else { return nil }
        return (behind[0], behind[2], behind[1])
    }

    private typealias List = (head: Int32, mark: Int32, next: Int32)

    private func path(
        _ list: List, _ number: UInt32, _ offsets: [Int32], size: Int, shape: TextShape = .nulTerminated
    ) -> FactPath {
        var path = FactPath(offsets: [list.head] + offsets, size: size, shape: shape)
        path.element = ListElement(mark: UInt16(list.mark), value: number, next: UInt16(list.next))
        return path
    }

    /// The last two offsets of what a getter stores through a parameter: in an element of its data, in these of a text.
    private func text(_ name: String, _ list: List, parameter: Int, parameters: [Int: AbstractValue] = [:])
        -> (data: Int32, text: Int32)?
    {
        let found = Set(
            run(name, parameters: parameters).compactMap { event -> [Int32]? in
                guard case .stored(let place, let value) = event, place == Place(root: parameter),
                    let field = value.field, field.root == 0, field.width == 8, field.offsets.count == 3,
                    field.offsets[0] == list.head, field.offsets.allSatisfy({ (0..<0x10000).contains($0) })
                else { return nil }
                return field.offsets
            })
        return found.count == 1 ? found.first.map { ($0[1], $0[2]) } : nil
    }

    /// Bytes in an element's data that are compared with a constant.
    private func bytes(
        _ name: String, _ list: List, _ data: Int32, with constant: UInt64, parameters: [Int: AbstractValue] = [:]
    ) -> Set<Int32> {
        Set(
            run(name, parameters: parameters).compactMap { event -> Int32? in
                guard case .compared(let field, constant) = event, field.root == 0, field.width == 1,
                    field.offsets.count == 3, field.offsets[..<2] == [list.head, data],
                    (0..<0x10000).contains(field.offsets[2])
                else { return nil }
                return field.offsets[2]
            })
    }

    /// Returns where an element has its data.
    private mutating func deriveProtocol(_ list: List) -> Int32? {
        guard let (data, text) = text(Self.applicationProtocol, list, parameter: 1),
            case let flags = bytes(Self.applicationProtocol, list, data, with: 1), flags.count == 1,
            let isNegotiated = flags.first
        else { return nil }
        let number = UInt32(Self.protocolExtension)
        paths[.alpn] = path(list, number, [data, text, 0], size: 0)
        paths[WolfSSLFact.isNegotiated] = path(list, number, [data, isNegotiated], size: 1)
        return data
    }

    private mutating func deriveName(_ list: List, _ data: Int32) {
        let hostName: [Int: AbstractValue] = [1: .constant(0)]
        guard let found = text(Self.serverName, list, parameter: 2, parameters: hostName), found.data == data,
            // Behind the kind of name, which is 0, how it was matched: 0 where it was not.
            let status = bytes(Self.serverName, list, data, with: 0, parameters: hostName).max(), status > found.text
        else { return miss(.sni, Self.serverName, 0) }
        paths[.sni] = path(list, Self.nameExtension, [data, found.text, 0], size: 0)
        paths[WolfSSLFact.nameStatus] = path(list, Self.nameExtension, [data, status], size: 1)
    }
}
