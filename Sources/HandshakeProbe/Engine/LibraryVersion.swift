import Foundation

/// A shared libssl does not carry its version's text; the libcrypto that it was built with does.
enum LibraryVersion {
    /// The version told by the libcrypto in the same directory with the same ending; `nil` where there is none.
    static func beside(_ path: String) -> String? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let name = path[path.index(after: slash)...]
        guard name.hasPrefix("libssl") else { return nil }
        let directory = String(path[..<slash])
        let companion = "libcrypto" + name.dropFirst("libssl".count)
        if let version = version(of: directory + "/" + companion) { return version }
        // Bundled libraries have a hash in their names (auditwheel: libssl-4a840876.so.3): the one libcrypto there.
        let others = names(in: directory).filter { $0.hasPrefix("libcrypto") && $0.contains(".so") }
        let real = Set(others.compactMap { OpenFile(directory + "/" + $0)?.identity })
        guard real.count == 1, let other = others.first else { return nil }
        return version(of: directory + "/" + other)
    }

    private static func version(of path: String) -> String? {
        guard let file = OpenFile(path), let elf = try? ELFFile(fileDescriptor: file.descriptor) else { return nil }
        return (try? TLSStacks.analyse(elf))?.version
    }

    private static func names(in directory: String) -> [String] {
        // Not a whole system's: there the companion has its plain name.
        guard !["/lib", "/usr/lib", "/lib64", "/usr/lib64"].contains(directory) else { return [] }
        return (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    }
}
