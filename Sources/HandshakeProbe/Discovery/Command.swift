import Glibc
import Kernel

/// Finds what a command line will run, before it runs: the executable, its script interpreters, its libraries.
package enum CommandFiles {
    /// The executable that `name` stands for, by PATH as execvp(3) does it; `nil` if there is none, or if looking for it
    /// meets a file system that does not answer.
    package static func executable(_ name: String) -> String? {
        ForeignReader(.first).look(at: .path(name)) { find(name) }.value ?? nil
    }

    private static func find(_ name: String) -> String? {
        if name.utf8.contains(UInt8(ascii: "/")) { return isExecutable(name) ? name : nil }
        let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        for directory in path.split(separator: ":", omittingEmptySubsequences: false) {
            let candidate = (directory.isEmpty ? "." : String(directory)) + "/" + name
            if isExecutable(candidate) { return candidate }
        }
        return nil
    }

    /// The executable and, for a script, the interpreters that its first line names (execve(2)).
    static func chain(_ executable: String) -> [String] {
        ForeignReader(.first).look(at: .path(executable), asking: executable) { read(executable) }.value ?? [executable]
    }

    private static func read(_ executable: String) -> [String] {
        var files = [executable]
        var current = executable
        for _ in 0..<4 {
            guard let head = readFile(current, limit: 256), head.starts(with: Array("#!".utf8)) else { break }
            let line = String(decoding: head.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
            guard let interpreter = words.first else { break }
            files.append(interpreter)
            current = interpreter
            if interpreter.hasSuffix("/env"), let program = words.dropFirst().first(where: { !$0.hasPrefix("-") }),
                let found = find(program)
            {
                files.append(found)
                current = found
            }
        }
        return files
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        return unsafe access(path, X_OK) == 0
    }
}
