import CCapstone
import Code

/// An `sslSocketOps`: what a socket with TLS, and one without, does with each operation. Two tables, with what both share.
enum SocketOperations {
    /// connect, accept (none), bind, listen, shutdown, close, …, getpeername, getsockname.
    private static let functions = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    private static let close = 5
    private static let shared = [2, 3, 10, 11]
    private static let own = [0, 4, 5, 6, 7]

    /// `ssl_SecureClose`, whose parameter is the socket: it does its part and then what a socket without TLS does.
    static func close(_ code: CodeReader) -> UInt64? {
        let tables = tables(code.file)
        var found: Set<UInt64> = []
        for table in tables {
            for plain in tables
            where shared.allSatisfy({ table[$0] == plain[$0] }) && own.allSatisfy({ table[$0] != plain[$0] }) {
                if let secure = table[close], let other = plain[close], calls(code, secure, other) {
                    found.insert(secure)
                }
            }
        }
        return found.count == 1 ? found.first : nil
    }

    private static func tables(_ file: ELFFile) -> [[Int: UInt64]] {
        var tables: [[Int: UInt64]] = []
        for area in DataSearch.areas(file) {
            let start = (area.lowerBound &+ 7) & ~7
            guard start < area.upperBound else { continue }
            for place in stride(from: start, to: area.upperBound, by: 8) {
                guard let first = file.pointer(at: place), file.isCode(first),
                    file.bytes(at: place &+ 8, count: 8)?.u64(at: 0) == 0, file.pointer(at: place &+ 8) == nil
                else { continue }
                var table: [Int: UInt64] = [:]
                for index in functions {
                    guard let pointer = file.pointer(at: place &+ UInt64(index) * 8), file.isCode(pointer) else {
                        break
                    }
                    table[index] = pointer
                }
                if table.count == functions.count { tables.append(table) }
            }
        }
        return tables
    }

    private static func calls(_ code: CodeReader, _ function: UInt64, _ target: UInt64) -> Bool {
        guard let extent = code.file.functionExtent(containing: function) else { return false }
        return code.instructions(in: extent, limit: 400).contains { $0.directTarget == target }
    }
}
