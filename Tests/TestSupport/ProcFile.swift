import Foundation

/// All of a file of /proc. Foundation's readers of whole files end with the first page that the kernel gives: 27 lines of
/// the table of sockets.
package func procText(_ path: String) throws -> String {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? file.close() }
    return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
}
