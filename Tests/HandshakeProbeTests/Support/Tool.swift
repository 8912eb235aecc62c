import Foundation

@testable import HandshakeProbe

/// Runs a tool of the machine, as an independent witness.
enum Tool {
    struct Failure: Error { var text: String }

    static func run(_ path: String, _ arguments: [String]) throws -> String {
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

    static func lines(_ path: String, _ arguments: [String]) throws -> [[Substring]] {
        try run(path, arguments).split(separator: "\n").map { $0.split(separator: " ") }
    }

    /// Defined symbols by `nm`.
    static func symbols(_ arguments: [String]) throws -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for words in try lines("/usr/bin/nm", arguments) where words.count == 3 {
            let name = words[2].split(separator: "@").first.map(String.init) ?? ""
            result[name] = UInt64(words[0], radix: 16)
        }
        return result
    }
}

/// Files of the machine that the tests read.
enum Machine {
    static let libssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    static let libcrypto = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
    static let node = "/usr/bin/node"
    static let compiler = "/usr/bin/gcc"

    static func has(_ paths: String...) -> Bool { paths.allSatisfy { FileManager.default.fileExists(atPath: $0) } }

    /// Goes when the tests end.
    private static let scratch: URL = {
        let directory = FileManager.default.temporaryDirectory.appending(path: "tlswatch-elf-\(getpid())")
        _ = atexit { try? FileManager.default.removeItem(at: Machine.scratch) }
        return directory
    }()

    /// Compiles C with extra arguments; gives the output's path, in a directory of its own.
    static func compile(_ source: String, _ arguments: [String]) throws -> String {
        let directory = scratch.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let input = directory.appending(path: "input.c")
        try source.write(to: input, atomically: true, encoding: .utf8)
        let output = directory.appending(path: "output").path
        _ = try Tool.run(compiler, [input.path, "-o", output] + arguments)
        return output
    }

    static func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
}

/// A minimal ELF file in memory: code at 0x1000, constants at 0x2000.
enum CodeImage {
    static let codeAddress: UInt64 = 0x1000
    static let dataAddress: UInt64 = 0x2000

    static func file(_ code: [UInt8], data: [UInt8] = []) throws -> ELFFile {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + Array(repeating: 0, count: 9)
        func append<T: FixedWidthInteger>(_ value: T) {
            for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        append(UInt16(3)); append(UInt16(62)); append(UInt32(1))
        append(UInt64(0)); append(UInt64(64)); append(UInt64(0))
        append(UInt32(0)); append(UInt16(64)); append(UInt16(56)); append(UInt16(2))
        append(UInt16(64)); append(UInt16(0)); append(UInt16(0))
        let codeOffset = UInt64(64 + 2 * 56)
        for (flags, offset, address, size) in [
            (UInt32(5), codeOffset, codeAddress, UInt64(code.count)),
            (4, codeOffset + UInt64(code.count), dataAddress, UInt64(data.count)),
        ] {
            append(UInt32(1)); append(flags); append(offset); append(address); append(address)
            append(size); append(size); append(UInt64(1))
        }
        return try ELFFile(bytes: bytes + code + data)
    }

    static func reader(_ code: [UInt8], data: [UInt8] = []) throws -> CodeReader {
        CodeReader(try file(code, data: data))
    }
}
