import Glibc

/// The contents of a small text file such as those of /proc; `nil` if it cannot be read.
package func readTextFile(_ path: String, limit: Int = 1 << 20) -> String? {
    readFile(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
}

/// The bytes of a small file, at most `limit` of them; `nil` if it cannot be read.
package func readFile(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    let chunk = 16384
    while bytes.count < limit {
        let old = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: chunk))
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress! + old, chunk) }
        guard count > 0 else {
            bytes.removeLast(chunk)
            return count == 0 || old > 0 ? bytes : nil
        }
        bytes.removeLast(chunk - count)
    }
    return bytes
}
