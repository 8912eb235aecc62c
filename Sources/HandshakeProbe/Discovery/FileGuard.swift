import Glibc
import Kernel

/// Keeps probed files from being written in place: the kernel would put the probes' instructions into whatever the new
/// content has at their offsets, for every process that maps it from then on. Where a lease is given, who opens the file
/// for writing waits until the probes are off; elsewhere the first write is noticed (inotify(7)). Owned by one thread.
final class FileGuard {
    /// What holds one file: taken on the reader's thread, since it asks the file system.
    struct Hold: Sendable {
        fileprivate let lease: FileLease?
        fileprivate let watch: Int32
    }

    /// Takes holds, on any thread.
    struct Taker: Sendable {
        fileprivate let inotify: Int32
        fileprivate let wanted: Int32

        /// From before its first probe. `nil` while somebody has the file open for writing.
        func hold(_ file: OpenFile) -> Hold? {
            var lease: FileLease?
            // A lease keeps a descriptor: the end of this program would wait for a server that does not answer.
            if wanted >= 0, !file.isRemote {
                do throws(FileLease.Refusal) {
                    lease = try FileLease(file)
                } catch {
                    if error == .isBeingWritten { return nil }
                }
            }
            let watch = unsafe inotify >= 0 ? inotify_add_watch(inotify, file.magicPath, UInt32(IN_MODIFY)) : -1
            return Hold(lease: lease, watch: watch)
        }

        /// Gives back what nobody keeps.
        func drop(_ hold: Hold) {
            if hold.watch >= 0 { inotify_rm_watch(inotify, hold.watch) }
        }
    }

    private let inotify: Int32
    private let wanted: Int32
    private var watched: [Int32: Int] = [:]
    private var leases: [Int: FileLease] = [:]

    init() {
        inotify = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        wanted = FileLease.wantedDescriptor()
    }

    deinit { if inotify >= 0 { close(inotify) } }

    /// One is readable when a lease is wanted or a file was written; negative, which poll(2) ignores, where the kernel
    /// gave none.
    var pollDescriptors: [Int32] { [inotify, wanted] }

    var taker: Taker { Taker(inotify: inotify, wanted: wanted) }

    /// Keeps a hold on behalf of library `id`.
    func keep(_ hold: Hold, id: Int) {
        leases[id] = hold.lease
        if hold.watch >= 0 { watched[hold.watch] = id }
    }

    /// Leads to the file of library `id` while it is held; `nil` where no descriptor of it is kept.
    func path(id: Int) -> String? { leases[id]?.magicPath }

    /// Holds it no more. The lease, where there was one, is for the caller to keep until the probes are off.
    @discardableResult
    func release(id: Int) -> FileLease? {
        for (watch, other) in watched where other == id {
            inotify_rm_watch(inotify, watch)
            watched[watch] = nil
        }
        return leases.removeValue(forKey: id)
    }

    /// The libraries whose files somebody waits to open for writing, or has written, since the last call.
    func takeModified() -> Set<Int> { takeWanted().union(takeWritten()) }

    private func takeWanted() -> Set<Int> {
        var count: UInt64 = 0
        guard wanted >= 0, unsafe read(wanted, &count, 8) == 8 else { return [] }
        return Set(leases.filter { $0.value.isWanted }.keys)
    }

    private func takeWritten() -> Set<Int> {
        var modified: Set<Int> = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe read(inotify, &buffer, buffer.count)
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
