/// Runs a tool of the machine, as an independent witness.
package enum Tool {
    package static func run(_ path: String, _ arguments: [String]) throws -> String {
        let result = try ChildProcess.run(path, arguments, within: .seconds(180))
        guard result.status == .exited(0) else {
            throw HarnessError("\(path) \(arguments) ended with \(result.status): \(result.errors.suffix(2_000))")
        }
        return result.output
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
