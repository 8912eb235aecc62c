import Glibc
import Kernel

/// The dynamic linker's cache, /etc/ld.so.cache (glibc's sysdeps/generic/dl-cache.h): where a program that starts
/// later will find its libraries, so that its first handshake is seen.
enum LinkerCache {
    private static let magic = Array("glibc-ld.so.cache1.1".utf8)
    static let path = HostView.root + "/etc/ld.so.cache"
    private static let headerSize = 48
    private static let entrySize = 24

    /// When it was last written, nanoseconds since 1970; 0 where there is none.
    static func changed() -> Int64 {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return 0 }
        return Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
    }

    /// Paths of the libraries whose names begin with one of `prefixes`, in the cache's order, as the host sees them.
    static func libraries(_ prefixes: [String], cache: String = path) -> [String] {
        guard let bytes = readFile(cache, limit: 64 << 20) else { return [] }
        return libraries(prefixes, in: bytes)
    }

    static func libraries(_ prefixes: [String], in bytes: [UInt8]) -> [String] {
        guard let start = firstIndex(of: magic, in: bytes) else { return [] }
        guard let count = word(bytes, at: start + 20) else { return [] }
        var paths: [String] = []
        for index in 0..<Int(min(count, 100_000)) {
            let entry = start + headerSize + index * entrySize
            guard let key = word(bytes, at: entry + 4), let value = word(bytes, at: entry + 8) else { break }
            guard let name = text(bytes, at: start + Int(key)), let path = text(bytes, at: start + Int(value)) else {
                continue
            }
            if prefixes.contains(where: { name.hasPrefix($0) }), path.hasPrefix("/"), !paths.contains(path) {
                paths.append(path)
            }
        }
        return paths
    }

    /// The path that the cache gives for one soname.
    static func path(of soname: String) -> String? {
        libraries([soname]).first { $0.hasSuffix("/" + soname) }
    }

    private static func firstIndex(of pattern: [UInt8], in bytes: [UInt8]) -> Int? {
        // The new format stands at the start, or behind an old-format table.
        guard bytes.count >= pattern.count else { return nil }
        return (0...(bytes.count - pattern.count)).first { offset in
            bytes[offset] == pattern[0] && bytes[offset..<offset + pattern.count].elementsEqual(pattern)
        }
    }

    private static func word(_ bytes: [UInt8], at offset: Int) -> UInt32? {
        guard offset >= 0, offset + 4 <= bytes.count else { return nil }
        return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
    }

    private static func text(_ bytes: [UInt8], at offset: Int) -> String? {
        guard offset >= 0, offset < bytes.count else { return nil }
        let slice = bytes[offset...].prefix(4096).prefix { $0 != 0 }
        return String(decoding: slice, as: UTF8.self)
    }
}
