import TestSupport

/// Programs of the machine that judge the page: Python's HTML parser and SHA-256, Chromium.
enum Witness {
    static func python(_ program: String, input: [UInt8]) throws -> String {
        try run("python3", ["-c", program], input: input).output
    }

    /// Runs a program to its end, which must be a good one.
    static func run(_ program: String, _ arguments: [String], input: [UInt8] = []) throws -> Finished {
        let result = try ChildProcess.run(program, arguments, input: input, within: .seconds(180))
        guard result.status == .exited(0) else {
            throw HarnessError("\(program) ended with \(result.status): \(result.errors.suffix(2_000))")
        }
        return result
    }
}
