import Foundation

/// Files of the machine that the tests read.
package enum Machine {
    package static let libssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    package static let libcrypto = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
    package static let libgnutls = "/usr/lib/x86_64-linux-gnu/libgnutls.so.30"
    package static let libmbedtls = "/usr/lib/x86_64-linux-gnu/libmbedtls.so.14"
    package static let nss = "/usr/lib/x86_64-linux-gnu/libssl3.so"
    /// Firefox's own, which clang has compiled.
    package static let firefoxNSS = "/usr/lib/firefox-esr/libssl3.so"
    package static let libwolfssl = "/usr/lib/x86_64-linux-gnu/libwolfssl.so.35"
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
