import FoundationEssentials
import Glibc
import Kernel

/// The file beside a shared library that belongs to it (`TLSStack.companion`).
struct Companion: Sendable {
    /// As the process sees it.
    let path: String

    /// On the reader's thread.
    ///
    /// - Parameters:
    ///   - library: the library.
    ///   - name: how its companion is called.
    ///   - path: its name where it was found.
    ///   - root: before every path: `/proc/PID/root` for what a process maps, which may see other files under that
    ///     name than this one does; empty for this one's own view.
    /// - Returns: `nil` where there is none, where there are several, or where the name leads to another library by now.
    init?(of library: FileLook, called name: CompanionName, path: String, root: String) {
        guard let plain = name.beside(path), let slash = path.lastIndex(of: "/"),
            let named = OpenFile(root + path), named.hasSameContent(as: library)
        else { return nil }
        if OpenFile(root + plain) != nil {
            self.path = plain
            return
        }
        // Bundled libraries have a hash in their names (auditwheel: libssl-4a840876.so.3): the one companion there.
        let directory = String(path[...slash])
        let others = Self.names(in: directory, root: root).filter {
            $0.hasPrefix(name.companion) && $0.utf8.contains(".so".utf8)
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
}

extension OpenFile {
    /// Whether it is the same file or the same one through another layer: overlayfs has its own inode numbers.
    fileprivate func hasSameContent(as other: FileLook) -> Bool {
        identity == other.identity || (size == other.size && modified == other.modified)
    }
}
