/// A shared libssl does not carry its version's text; the libcrypto that it was built with does.
enum LibraryVersion {
    /// The version told by the libcrypto in the same directory with the same ending; `nil` where there is none.
    static func beside(_ path: String) -> String? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let name = path[path.index(after: slash)...]
        guard name.hasPrefix("libssl") else { return nil }
        let companion = path[...slash] + "libcrypto" + name.dropFirst("libssl".count)
        guard let file = OpenFile(String(companion)), let elf = try? ELFFile(fileDescriptor: file.descriptor) else {
            return nil
        }
        return (try? TLSStacks.analyse(elf))?.version
    }
}
