import Code
import FoundationEssentials
import Glibc
import Kernel

/// The libcrypto beside a libssl, which carries the version that a shared libssl does not.
struct Companion: Sendable {
    /// A libcrypto and the libssl that it is beside have names that differ in this alone.
    private static let names = (ssl: "libssl", crypto: "libcrypto")

    /// As the process sees it.
    let path: String

    /// On the reader's thread.
    ///
    /// - Parameters:
    ///   - library: the libssl.
    ///   - path: its name where it was found.
    ///   - root: before every path: `/proc/PID/root` for what a process maps, which may see other files under that
    ///     name than this one does; empty for this one's own view.
    /// - Returns: `nil` where there is none, where there are several, or where the name leads to another libssl by now.
    init?(of library: FileLook, path: String, root: String) {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let name = path[path.index(after: slash)...]
        guard name.hasPrefix(Self.names.ssl), let named = OpenFile(root + path), named.hasSameContent(as: library)
        else {
            return nil
        }
        let directory = String(path[...slash])
        let plain = directory + Self.names.crypto + name.dropFirst(Self.names.ssl.count)
        if OpenFile(root + plain) != nil {
            self.path = plain
            return
        }
        // Bundled libraries have a hash in their names (auditwheel: libssl-4a840876.so.3): the one libcrypto there.
        let others = Self.names(in: directory, root: root).filter {
            $0.hasPrefix(Self.names.crypto) && $0.utf8.contains(".so".utf8)
        }
        let real = Set(others.compactMap { OpenFile(root + directory + $0)?.identity })
        guard real.count == 1, let other = others.first else { return nil }
        self.path = directory + other
    }

    private static func names(in directory: String, root: String) -> [String] {
        // Not a whole system's: there the companion has its plain name.
        guard !["/lib/", "/usr/lib/", "/lib64/", "/usr/lib64/"].contains(directory) else { return [] }
        return (try? FileManager.default.contentsOfDirectory(atPath: root + directory)) ?? []
    }

    /// The version that it reports, read on the reader's thread.
    func version(root: String) -> String? {
        guard let elf = try? ELFFile(path: root + path) else { return nil }
        return (try? TLSStacks.builtIn.analyse(elf))?.version
    }

    /// Whether the libcrypto at one path stands beside the libssl at another.
    static func isBeside(crypto: String, ssl: String) -> Bool {
        guard let cryptoSlash = crypto.lastIndex(of: "/"), let sslSlash = ssl.lastIndex(of: "/"),
            crypto[...cryptoSlash] == ssl[...sslSlash]
        else { return false }
        return crypto[crypto.index(after: cryptoSlash)...]
            == names.crypto + ssl[ssl.index(after: sslSlash)...].dropFirst(names.ssl.count)
    }
}

extension OpenFile {
    /// Whether it is the same file or the same one through another layer: overlayfs has its own inode numbers.
    fileprivate func hasSameContent(as other: FileLook) -> Bool {
        identity == other.identity || (size == other.size && modified == other.modified)
    }
}
