import CCapstone
import Code
import Handshakes

/// NSS's numbers, of those that the programs do not look at themselves.
enum NSSFact {
    // Of the state: they come with entries and plain returns.

    /// Which message is awaited (`SSL3WaitState`): 0 none, before and after a handshake.
    static let wait = Fact(Fact.state.rawValue, "wait")
    /// The low half of a pointer to the handshake's next step: 0 none, where it is over.
    static let step = Fact(3, "step")
    static let version = Fact(4, "version")

    static let cipher = Fact(10, "cipher")
    /// IANA's number.
    static let group = Fact(11, "group")
    static let resumed = Fact(12, "resumed")
    static let resumedByTicket = Fact(13, "resumedByTicket")
    /// `SSLNextProtoState`.
    static let protocolState = Fact(14, "protocolState")
    static let nameLength = Fact(15, "nameLength")
    /// `sslZeroRttState`.
    static let earlyData = Fact(16, "earlyData")
    /// The low halves of pointers: the certificate of the peer, and that which this side has sent; 0 none.
    static let peerCertificate = Fact(17, "peerCertificate")
    static let ownCertificate = Fact(18, "ownCertificate")
}

/// Where an `sslSocket` has the facts, from the code of the exported functions that tell them.
struct FactLayout {
    private(set) var paths: [Fact: FactPath] = [:]
    private(set) var notes: [String] = []
    private let layout: SocketLayout

    /// Of `SSLChannelInfo` (lib/ssl/sslt.h), which `SSL_GetChannelInfo` fills on its stack.
    private static let protocolVersion: Int64 = 4
    private static let cipherSuite: Int64 = 6
    private static let keaGroup: Int64 = 88

    init(_ layout: SocketLayout) {
        self.layout = layout
        paths[NSSFact.wait] = FactPath(offsets: [layout.wait], size: 4)
        paths[.role] = FactPath(offsets: [layout.isServer], size: 4)
        paths[NSSFact.step] = FactPath(offsets: [layout.step], size: 4)
        paths[NSSFact.version] = FactPath(offsets: [layout.version], size: 2)
        deriveChannel()
        deriveProtocol()
        deriveNames()
        deriveEarlyData()
        deriveCertificates()
        for (fact, source) in [
            (NSSFact.cipher, "SSL_GetChannelInfo"), (NSSFact.group, "SSL_GetChannelInfo"),
            (NSSFact.resumed, "SSL_GetChannelInfo"), (.alpn, "SSL_GetNextProto"), (.sni, "SSL_GetNegotiatedHostInfo"),
            (.otherSNI, "SSL_RevealURL"), (NSSFact.earlyData, "SSL_GetChannelInfo"),
            (NSSFact.peerCertificate, Self.peerCertificate), (NSSFact.ownCertificate, Self.ownCertificate),
        ] where paths[fact] == nil { notes.append("no \(fact): the code of \(source) does not tell its place") }
    }

    private mutating func deriveChannel() {
        // The structure's size, at least; what is behind it is not looked at.
        let events = layout.events("SSL_GetChannelInfo", parameters: [2: .constant(0x80)], tellsStack: true)
        var kept: [(Int64, AbstractValue)] = []
        var looked: [[Int32]] = []
        for event in events {
            switch event {
            case .kept(let place, let value): kept.append((place, value))
            case .compared(let field, 0):
                if let path = layout.path(.place(Self.place(field), width: UInt8(field.width)), width: 4),
                    path.count == 1
                {
                    looked.append(path)
                }
            default: break
            }
        }
        let starts = Set(
            kept.compactMap { place, value in
                layout.path(value, width: 2) == [layout.version] ? place - Self.protocolVersion : nil
            })
        guard starts.count == 1, let start = starts.first else { return }
        func field(_ offset: Int64, width: Int) -> [Int32]? {
            let found = Set(kept.compactMap { $0.0 == start + offset ? layout.path($0.1, width: width) : nil })
            return found.count == 1 ? found.first : nil
        }
        if let cipher = field(Self.cipherSuite, width: 2), cipher.count == 1 {
            paths[NSSFact.cipher] = FactPath(offsets: cipher, size: 2)
        }
        if let group = field(Self.keaGroup, width: 4), group.count == 2 {
            paths[NSSFact.group] = FactPath(offsets: group, size: 4)
        }
        // Whether the session was resumed by a ticket of TLS 1.3, or below it: the last two flags that are looked at, in this order.
        let flags = looked.filter { $0[0] > layout.wait }
        if flags.count == 2 {
            paths[NSSFact.resumedByTicket] = FactPath(offsets: flags[0], size: 4)
            paths[NSSFact.resumed] = FactPath(offsets: flags[1], size: 4)
        }
    }

    private static func place(_ field: Field) -> Place {
        var place = Place(root: field.root)
        for offset in field.offsets {
            guard let next = place.adding(Int64(offset))?.loaded() else { break }
            place = next
        }
        return place
    }

    private mutating func deriveProtocol() {
        var texts: Set<[Int32]> = []
        var lengths: Set<[Int32]> = []
        var states: Set<[Int32]> = []
        for event in layout.events("SSL_GetNextProto") {
            switch event {
            case .stored(let place, let value) where place.count == 0 && place.displacement == 0:
                guard let path = layout.path(value, width: 4), path.count == 1 else { continue }
                if place.root == 1 { states.insert(path) }
                if place.root == 3 { lengths.insert(path) }
            case .called(_, let arguments), .jumpedOut(_, let arguments):
                guard case .place(let out, 0) = arguments[0], out == Place(root: 2),
                    let path = layout.path(arguments[1], width: 8), path.count == 1
                else { continue }
                texts.insert(path)
            default: break
            }
        }
        // Where there is no protocol the state, which is 0 then, stands for the length.
        lengths.subtract(states)
        guard texts.count == 1, lengths.count == 1, states.count == 1, let text = texts.first,
            let length = lengths.first, let state = states.first
        else { return }
        paths[.alpn] = FactPath(offsets: text + [0], size: 0, shape: .counted(.alpnLength))
        paths[.alpnLength] = FactPath(offsets: length, size: 4)
        paths[NSSFact.protocolState] = FactPath(offsets: state, size: 4)
    }

    private static let bodyLimit = 2000
    /// Instructions from the load of the state to its test.
    private static let reach = 8

    /// `earlyDataAccepted` is true in two states, 2 and 4: less 2, no bit is set but the second.
    private mutating func deriveEarlyData() {
        guard let function = layout.symbols["SSL_GetChannelInfo"],
            let extent = layout.code.file.functionExtent(containing: function.address)
        else { return }
        let body = layout.code.instructions(in: extent, limit: Self.bodyLimit)
        func isField(_ operand: Operand, width: UInt8) -> Bool {
            operand.isMemory && operand.width == width && !operand.rip_relative && !operand.opaque_address
                && operand.index == UInt8(TLSWATCH_NO_REGISTER)
        }
        let sockets = Set(
            body.flatMap { [$0.first, $0.second] }
                .filter { isField($0, width: 2) && $0.value == Int64(layout.version) }.map(\.base))
        let places = Set(
            body.indices.compactMap { index -> Int32? in
                let load = body[index]
                guard load.kind == TLSWATCH_OP_MOV, load.first.isRegister, isField(load.second, width: 4),
                    sockets.contains(load.second.base), (0..<0x4000).contains(load.second.value),
                    Self.isTested(load.first.reg, body[(index + 1)...].prefix(Self.reach))
                else { return nil }
                return Int32(load.second.value)
            })
        if places.count == 1, let place = places.first {
            paths[NSSFact.earlyData] = FactPath(offsets: [place], size: 4)
        }
    }

    /// Whether 2 is taken from a register, and then all bits but the second are looked at.
    private static func isTested(_ register: UInt8, _ body: ArraySlice<Instruction>) -> Bool {
        var isLess = false
        for instruction in body {
            guard instruction.first.isRegister, instruction.first.reg == register, instruction.second.isImmediate
            else {
                if instruction.branches || instruction.written >> UInt16(register) & 1 != 0 { return false }
                continue
            }
            let value = Int32(truncatingIfNeeded: instruction.second.value)
            switch instruction.kind {
            case TLSWATCH_OP_SUB where value == 2 && !isLess: isLess = true
            case TLSWATCH_OP_ADD where value == -2 && !isLess: isLess = true
            case TLSWATCH_OP_AND where value == ~2, TLSWATCH_OP_TEST where value == ~2: return isLess
            default: return false
            }
        }
        return false
    }

    private static let peerCertificate = "SSL_PeerCertificate"
    private static let ownCertificate = "SSL_LocalCertificate"

    /// What the getters return copies of.
    private mutating func deriveCertificates() {
        for (fact, getter) in [
            (NSSFact.peerCertificate, Self.peerCertificate), (NSSFact.ownCertificate, Self.ownCertificate),
        ] {
            let found = Set(
                layout.events(getter).compactMap { event -> [Int32]? in
                    guard case .called(_, let arguments) = event.asCall,
                        let path = layout.path(arguments[0], width: 8), path.count == 1
                    else { return nil }
                    return path
                })
            if found.count == 1, let path = found.first { paths[fact] = FactPath(offsets: path, size: 4) }
        }
    }

    private mutating func deriveNames() {
        for event in layout.events("SSL_RevealURL") {
            guard case .called(_, let arguments) = event.asCall, let path = layout.path(arguments[0], width: 8),
                path.count == 1
            else { continue }
            paths[.otherSNI] = FactPath(offsets: path + [0], size: 0)
        }
        for event in layout.events("SSL_GetNegotiatedHostInfo") {
            // A `SECItem`: type, bytes, their count.
            guard case .called(_, let arguments) = event.asCall, case .place(_, 0) = arguments[0],
                let item = layout.offset(arguments[0]), item > 0
            else { continue }
            paths[.sni] = FactPath(offsets: [item + 8, 0], size: 0, shape: .counted(NSSFact.nameLength))
            paths[NSSFact.nameLength] = FactPath(offsets: [item + 16], size: 4)
        }
    }
}

extension AbstractInterpreter.Event {
    /// A jump out of the function is a call, too.
    fileprivate var asCall: Self {
        if case .jumpedOut(let target, let arguments) = self {
            .called(target: target, arguments: arguments)
        } else {
            self
        }
    }
}

extension NSS {
    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [
        NSSFact.ownCertificate, NSSFact.peerCertificate, NSSFact.earlyData, .sni, .otherSNI, NSSFact.group,
        NSSFact.cipher,
    ]
}

extension SessionFacts {
    init(nss event: borrowing CallReturn, role: Role) {
        version = event.scalar(NSSFact.version)
        if let ticket = event.scalar(NSSFact.resumedByTicket), let cached = event.scalar(NSSFact.resumed), ticket <= 1,
            cached <= 1
        {
            resumed = ticket + cached > 0
        }
        if let number = event.scalar(NSSFact.cipher), number != 0 { cipher = UInt16(truncatingIfNeeded: number) }
        // A resumed session below TLS 1.3 had its key exchange earlier.
        if let number = event.scalar(NSSFact.group), IANA.group(number) != nil, version == 0x0304 || resumed == false {
            group = number
        }
        alpnWasRead = event.scalar(.alpnLength) != nil && event.scalar(NSSFact.protocolState) != nil
        if let state = event.scalar(NSSFact.protocolState), NSSState.agreed.contains(state) { alpn = event.alpn }
        sni = event.sni
        if version == 0x0304 { earlyData = event.scalar(NSSFact.earlyData).flatMap(NSSState.earlyData) }
        // A resumed handshake has no certificates, though the socket has those of the first one.
        if resumed == true { clientCertificateRequested = false }
        let certificate = event.scalar(role == .server ? NSSFact.peerCertificate : NSSFact.ownCertificate)
        // That one was asked for and not given leaves no trace.
        if resumed == false, let certificate, certificate != 0 {
            (clientCertificateRequested, clientCertificateGiven) = (true, true)
        }
    }
}
