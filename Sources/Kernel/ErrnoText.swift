import Glibc

/// The system's own words for an errno. Any thread.
package func errnoText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    let count = buffer.count
    guard unsafe strerror_r(number, &buffer, count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
