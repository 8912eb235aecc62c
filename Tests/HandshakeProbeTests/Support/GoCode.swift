import Code
import TestSupport

@testable import HandshakeProbe

/// `handshakeContext`, as far as it concerns the call of `c.handshakeFn`, in parts that can be changed.
struct GoHandshakeCode {
    /// test eax, eax; jne
    var lead: [UInt8] = [0x85, 0xc0, 0x75, 0x40]
    /// mov rcx, [rsp+0x20]; mov rdx, [rcx+0x18]; mov rax, [rsp+0x10]
    var load: [UInt8] = [0x48, 0x8b, 0x4c, 0x24, 0x20, 0x48, 0x8b, 0x51, 0x18, 0x48, 0x8b, 0x44, 0x24, 0x10]
    /// mov rbx, [rsp+0x18]
    var context: [UInt8] = [0x48, 0x8b, 0x5c, 0x24, 0x18]
    /// mov rsi, [rdx]; call rsi
    var call: [UInt8] = [0x48, 0x8b, 0x32, 0xff, 0xd6]
    /// mov rcx, [rsp+0x20]
    var reload: [UInt8] = [0x48, 0x8b, 0x4c, 0x24, 0x20]
    /// mov [rcx+0x28], rax
    var store: [UInt8] = [0x48, 0x89, 0x41, 0x28]
    /// cmp dword [rip+0x100], 0
    var test: [UInt8] = [0x83, 0x3d, 0, 1, 0, 0, 0]
    /// jne
    var exit: [UInt8] = [0x75, 0x10]
    var tail: [UInt8] = [0xc3]

    /// Where its parts begin.
    var loadAt: Int { lead.count }
    var exitAt: Int { bytes.count - tail.count - exit.count }
    var bytes: [UInt8] { lead + load + context + call + reload + store + test + exit + tail }
}

/// A program with a handshake, and with more functions than that.
struct GoProgramCode {
    static let fields: [(name: String, offset: UInt64)] = [
        ("conn", 0), ("isClient", 16), ("handshakeFn", 24), ("handshakeErr", 0x28), ("isHandshakeComplete", 0x38),
        ("vers", 0x40), ("last", 120),
    ]
    /// Of those that know their group.
    static let later: [(name: String, offset: UInt64)] = [("curveID", 0x44), ("didHRR", 0x46)]

    var handshake = GoHandshakeCode()
    var connection = GoProgramCode.fields
    var package = GoToolchain.tls
    /// Further functions of the package, and what they do where they know where they are.
    var functions: [(name: String, code: (GoProgramCode, UInt64) -> [UInt8])] = []
    var structures: [SyntheticGo.Structure] = []

    private static let size = 256
    private var names: [String] { [Go.method] + functions.map { "." + $0.name } }

    static func address(_ index: Int) -> UInt64 { SyntheticGo.textAddress + UInt64(index * size) }
    func address(of name: String) -> UInt64 { Self.address(names.firstIndex(of: "." + name) ?? 0) }

    /// `call`, at an address.
    func call(_ name: String, at place: UInt64) -> [UInt8] {
        [0xe8] + Self.bytes(UInt32(truncatingIfNeeded: address(of: name) &- place &- 5))
    }

    static func bytes(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

    func file() throws -> ELFFile {
        var synthetic = SyntheticGo()
        synthetic.functionSize = Self.size
        synthetic.functions = names.map { package + $0 }
        synthetic.code[package + Go.method] = handshake.bytes
        for (name, code) in functions { synthetic.code["\(package).\(name)"] = code(self, address(of: name)) }
        synthetic.structures = [(package, "Conn", connection, 128)] + structures
        return try ELFFile(bytes: synthetic.bytes())
    }

    func analysis() throws -> LibraryAnalysis { try Go.analyse(file()) }
    func places(_ hook: HookKind) throws -> [UInt64] {
        try analysis().sites.filter { $0.hook == hook }.map(\.address)
    }
}
