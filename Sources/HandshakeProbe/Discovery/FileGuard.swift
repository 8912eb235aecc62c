import Glibc

/// Watches the probed files for being written in place (inotify(7)): the kernel would put the probes' instructions into
/// whatever the new content has at their offsets, for every process that maps it from then on. Owned by one thread.
final class FileGuard {
    private let descriptor: Int32
    private var watched: [Int32: Int] = [:]

    init() {
        descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// To be polled; negative, which poll(2) ignores, where the kernel gave none.
    var pollDescriptor: Int32 { descriptor }

    /// Watches a file on behalf of library `id`.
    func watch(_ path: String, id: Int) {
        guard descriptor >= 0 else { return }
        let watch = unsafe inotify_add_watch(descriptor, path, UInt32(IN_MODIFY))
        if watch >= 0 { watched[watch] = id }
    }

    func forget(id: Int) {
        for (watch, other) in watched where other == id {
            inotify_rm_watch(descriptor, watch)
            watched[watch] = nil
        }
    }

    /// The libraries whose files were written since the last call.
    func takeModified() -> Set<Int> {
        var modified: Set<Int> = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return modified }
            var offset = 0
            // struct inotify_event: the watch, three words of which the last is the name's length, the name.
            while offset + 16 <= count {
                let words = (0..<4).map { index in
                    (0..<4).reduce(UInt32(0)) { $0 | UInt32(buffer[offset + index * 4 + $1]) << (8 * UInt32($1)) }
                }
                if let id = watched[Int32(bitPattern: words[0])], words[1] & UInt32(IN_MODIFY) != 0 {
                    modified.insert(id)
                }
                offset += 16 + Int(words[3])
            }
        }
    }
}
