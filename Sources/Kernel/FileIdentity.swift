import CBPF

/// A file by its inode: paths are reused (upgrades) and differ between mount namespaces. The inode's number is reused
/// too, as soon as the file is gone: `origin` distinguishes a file from the one before it.
package struct FileIdentity: Hashable, Sendable, Codable {
    /// What no later file with the same number shares.
    package enum Origin: Hashable, Sendable, Codable {
        /// Nanoseconds since 1970 at which it was created.
        case birth(Int64)
        /// The inode's generation.
        case generation(Int64)
        /// Nanoseconds since 1970 of its last change. A change of the same file makes it another one here: only where the
        /// file system has nothing better.
        case change(Int64)
    }

    package var device: UInt64
    package var inode: UInt64
    package var origin: Origin

    package init(device: UInt64, inode: UInt64, origin: Origin) {
        self.device = device
        self.inode = inode
        self.origin = origin
    }
}

extension FileIdentity.Origin {
    package init(descriptor: Int32, changed: Int) {
        var value: Int64 = 0
        switch unsafe tlswatch_file_origin(descriptor, &value) {
        case TLSWATCH_ORIGIN_BIRTH: self = .birth(value)
        case TLSWATCH_ORIGIN_GENERATION: self = .generation(value)
        default: self = .change(Int64(changed))
        }
    }
}
