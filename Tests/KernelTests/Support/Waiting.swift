import Foundation

/// What went wrong in the harness itself, as opposed to the product.
struct HarnessError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Long enough for a debug build on a busy machine; only a failure ever waits this long.
let patience: Duration = .seconds(30)

/// Asks until the answer is yes or the time is up; says which. The pause only spares the processor:
/// nothing depends on its length.
func eventually(within limit: Duration = patience, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now.advanced(by: limit)
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= end { return false }
        Thread.sleep(forTimeInterval: 0.002)
    }
}

/// All of a file of /proc. Foundation's readers of whole files end with the first page that the kernel gives: 27 lines of
/// the table of sockets.
func procText(_ path: String) throws -> String {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? file.close() }
    return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
}

/// A directory of its own, removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/tlswatch-test-" + UUID().uuidString
        // Readable by all: unprivileged children work in it too.
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        return file(name)
    }
}

/// A script of `Scripts/`.
func script(_ name: String) throws -> String {
    guard let path = Bundle.module.path(forResource: "Scripts/" + name, ofType: nil) else {
        throw HarnessError("Scripts/\(name) is not in the test bundle")
    }
    return path
}

func median<Value: Comparable>(_ values: [Value]) -> Value? {
    values.isEmpty ? nil : values.sorted()[values.count / 2]
}
