import Foundation

/// Runs a tool of the machine, as an independent witness.
package enum Tool {
    package struct Failure: Error { package var text: String }

    package static func run(_ path: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(text: "\(path) \(arguments) failed") }
        return String(decoding: data, as: UTF8.self)
    }

    package static func lines(_ path: String, _ arguments: [String]) throws -> [[Substring]] {
        try run(path, arguments).split(separator: "\n").map { $0.split(separator: " ") }
    }

    /// Defined symbols by `nm`.
    package static func symbols(_ arguments: [String]) throws -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for words in try lines("/usr/bin/nm", arguments) where words.count == 3 {
            let name = words[2].split(separator: "@").first.map(String.init) ?? ""
            result[name] = UInt64(words[0], radix: 16)
        }
        return result
    }
}

/// Files of the machine that the tests read.
package enum Machine {
    package static let libssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    package static let libcrypto = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
    package static let node = "/usr/bin/node"
    package static let compiler = "/usr/bin/gcc"

    package static func has(_ paths: String...) -> Bool {
        paths.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }

    /// Goes when the tests end.
    private static let scratch: URL = {
        let directory = FileManager.default.temporaryDirectory.appending(path: "tlswatch-elf-\(getpid())")
        _ = atexit { try? FileManager.default.removeItem(at: Machine.scratch) }
        return directory
    }()

    /// Compiles C with extra arguments; gives the output's path, in a directory of its own.
    package static func compile(_ source: String, _ arguments: [String]) throws -> String {
        let directory = scratch.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let input = directory.appending(path: "input.c")
        try source.write(to: input, atomically: true, encoding: .utf8)
        let output = directory.appending(path: "output").path
        _ = try Tool.run(compiler, [input.path, "-o", output] + arguments)
        return output
    }

    package static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// The same of an ELF file, with its section headers cut off.
    package static func bytesWithoutSections(_ path: String) throws -> [UInt8] {
        var bytes = try bytes(path)
        for index in Array(40..<48) + Array(58..<64) { bytes[index] = 0 }
        return bytes
    }
}
