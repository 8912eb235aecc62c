import CBPF
import Glibc

/// The path of a process's executable, without the kernel's ` (deleted)`; `nil` if it is gone or not to be read.
package func executablePath(of pid: UInt32) -> String? { linkTarget("/proc/\(pid)/exe") }

/// Where one of /proc's links to files leads, without the kernel's ` (deleted)`.
package func linkTarget(_ link: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink(link, &buffer, buffer.count)
    guard count > 0 else { return nil }
    var path: String? = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // A program may be called so.
    if let deleted = path, deleted.hasSuffix(" (deleted)"), unsafe tlswatch_is_unlinked(link) {
        path = String(deleted.dropLast(10))
    }
    return path
}
