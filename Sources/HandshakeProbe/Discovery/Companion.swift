import Foundation
import Glibc

/// The libcrypto beside a libssl, which carries the version that a shared libssl does not.
struct Companion: ~Copyable {
    let file: OpenFile
    /// As the process sees it.
    let path: String

    /// - Parameters:
    ///   - file: the libssl.
    ///   - path: its name where it was found.
    ///   - root: before every path: `/proc/PID/root` for what a process maps, which may see other files under that
    ///     name than this one does; empty for this one's own view.
    /// - Returns: `nil` where there is none, where there are several, or where the name leads to another libssl by now.
    init?(of file: borrowing OpenFile, path: String, root: String) {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let name = path[path.index(after: slash)...]
        guard name.hasPrefix("libssl"), let named = OpenFile(root + path), named.hasSameContent(as: file) else {
            return nil
        }
        let directory = String(path[...slash])
        let plain = directory + "libcrypto" + name.dropFirst("libssl".count)
        if let found = OpenFile(root + plain) {
            self.file = found
            self.path = plain
            return
        }
        // Bundled libraries have a hash in their names (auditwheel: libssl-4a840876.so.3): the one libcrypto there.
        let others = Self.names(in: directory, root: root).filter { $0.hasPrefix("libcrypto") && $0.contains(".so") }
        let real = Set(others.compactMap { OpenFile(root + directory + $0)?.identity })
        guard real.count == 1, let other = others.first, let found = OpenFile(root + directory + other) else {
            return nil
        }
        self.file = found
        self.path = directory + other
    }

    private static func names(in directory: String, root: String) -> [String] {
        // Not a whole system's: there the companion has its plain name.
        guard !["/lib/", "/usr/lib/", "/lib64/", "/usr/lib64/"].contains(directory) else { return [] }
        return (try? FileManager.default.contentsOfDirectory(atPath: root + directory)) ?? []
    }

    /// The version that it tells.
    func version() -> String? {
        guard let elf = try? ELFFile(fileDescriptor: file.descriptor) else { return nil }
        return (try? TLSStacks.analyse(elf))?.version
    }
}

extension OpenFile {
    /// Whether it is the same file or the same one through another layer: overlayfs has its own inode numbers.
    fileprivate func hasSameContent(as other: borrowing OpenFile) -> Bool {
        identity == other.identity || (size == other.size && modified == other.modified)
    }
}
