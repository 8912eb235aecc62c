import Foundation
import Glibc
import Synchronization

/// How a child ended.
package enum ChildEnd: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
}

/// What a finished program left behind.
package struct Finished: Sendable {
    package let pid: pid_t
    package let status: ChildEnd
    package let output: String
    package let errors: String
}

/// A program that the test started, by its process id. It is killed, at the latest, with this object.
package final class ChildProcess: Sendable {
    package let pid: pid_t
    package let name: String
    package let output: StreamCollector
    package let errors: StreamCollector
    private let ended = Mutex<ChildEnd?>(nil)

    /// - Parameters:
    ///   - program: a path, or a name to look up in PATH.
    ///   - input: what it reads; a file and no pipe, so that neither side can block the other.
    ///   - environment: added to the test's own.
    package init(
        _ program: String, _ arguments: [String] = [], input: [UInt8] = [], environment: [String: String] = [:],
        closesOutputAfterFirstLine: Bool = false
    ) throws {
        name = ([program] + arguments).joined(separator: " ")
        var merged = ProcessInfo.processInfo.environment
        merged.merge(environment) { _, new in new }
        let strings = merged.map { "\($0.key)=\($0.value)" }
        let file = try Self.inputFile(input)
        defer { close(file) }
        // One start at a time: no child may inherit the pipes of another before they are marked.
        let started = try Self.starting.withLock { _ in
            let out = try Self.pipe()
            let err = try Self.pipe()
            defer {
                close(out.write)
                close(err.write)
            }
            do {
                let pid = try Self.spawn(
                    program, arguments, environment: strings, input: file, output: out.write, errors: err.write)
                return (pid: pid, output: out.read, errors: err.read)
            } catch {
                close(out.read)
                close(err.read)
                throw error
            }
        }
        pid = started.pid
        output = StreamCollector(descriptor: started.output, closesAfterFirstLine: closesOutputAfterFirstLine)
        errors = StreamCollector(descriptor: started.errors, closesAfterFirstLine: false)
    }

    private static let starting = Mutex(())

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            var raw: Int32 = 0
            _ = unsafe waitpid(pid, &raw, 0)
        }
    }

    /// Runs a program to its end.
    package static func run(
        _ program: String, _ arguments: [String] = [], input: [UInt8] = [], environment: [String: String] = [:],
        within limit: Duration = patience
    ) throws -> Finished {
        let child = try ChildProcess(program, arguments, input: input, environment: environment)
        return try child.wait(within: limit)
    }

    /// `nil` while it runs.
    package var status: ChildEnd? {
        ended.withLock { ended in
            if let ended { return ended }
            var raw: Int32 = 0
            guard unsafe waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            let signal = raw & 0x7f
            let status: ChildEnd = signal == 0 ? .exited((raw >> 8) & 0xff) : .signalled(signal)
            ended = status
            return status
        }
    }

    /// Its end, or an error that tells what it said so far.
    package func wait(within limit: Duration = patience) throws -> Finished {
        var found: ChildEnd?
        let inTime = eventually(within: limit) {
            found = status
            return found != nil
        }
        guard inTime, let found else {
            throw HarnessError("`\(name)` did not end in \(limit); it said: \(errors.text.suffix(2000))")
        }
        // A grandchild may hold the pipes: what is there by now is what the program wrote.
        _ = eventually(within: .seconds(2)) { output.hasEnded && errors.hasEnded }
        return Finished(pid: pid, status: found, output: output.text, errors: errors.text)
    }

    /// For a failure's message: whether it runs and where in the kernel it waits, and what it said.
    package var situation: String {
        let state = status.map { "ended (\($0))" }
        let places = ["stat", "wchan", "syscall", "stack"].map { file in
            let text = try? procText("/proc/\(pid)/\(file)")
            return file + ": " + (text ?? "unreadable").trimmingCharacters(in: .whitespacesAndNewlines)
        }
        return (state ?? "runs; " + places.joined(separator: "; ")) + "; it said: \(errors.text.suffix(2000))"
    }

    package func signal(_ number: Int32) {
        if status == nil { kill(pid, number) }
    }

    /// Asks it to end, then makes it.
    @discardableResult
    package func stop(_ number: Int32 = SIGTERM, within limit: Duration = .seconds(10)) -> ChildEnd? {
        signal(number)
        if !eventually(within: limit, { status != nil }) {
            kill(pid, SIGKILL)
            _ = eventually { status != nil }
        }
        return status
    }

    /// Waits for a line of `stream` and returns it.
    @discardableResult
    package func waitForLine(
        in stream: StreamCollector, within limit: Duration = patience, where matches: (String) -> Bool
    ) throws -> String {
        var found: String?
        _ = eventually(within: limit) {
            let over = stream.hasEnded
            found = stream.lines.first(where: matches)
            return found != nil || over
        }
        guard let found else {
            let state = status.map { "ended (\($0))" } ?? "is still running"
            throw HarnessError("`\(name)` \(state) without the awaited line; it said: \(errors.text.suffix(2000))")
        }
        return found
    }
}

extension ChildProcess {
    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard unsafe Glibc.pipe(&ends) == 0 else { throw HarnessError("pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// A file with these bytes, at its beginning; without bytes, /dev/null.
    private static func inputFile(_ bytes: [UInt8]) throws -> Int32 {
        if bytes.isEmpty {
            let null = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
            guard null >= 0 else { throw HarnessError("/dev/null: errno \(errno)") }
            return null
        }
        let path = FileManager.default.temporaryDirectory.path + "/tlswatch-input-" + UUID().uuidString
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { unsafe _ = unlink(path) }
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw HarnessError("\(path): errno \(errno)") }
        return file
    }

    private static func spawn(
        _ program: String, _ arguments: [String], environment: [String], input: Int32, output: Int32, errors: Int32
    ) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)

        // The test runner may ignore or block signals; its children start with a clean slate.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var argv = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        var envp = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            unsafe (argv + envp).forEach { unsafe free($0) }
        }
        var pid: pid_t = 0
        let result = unsafe posix_spawnp(&pid, program, &actions, &attributes, &argv, &envp)
        guard result == 0 else { throw HarnessError("cannot start \(program): errno \(result)") }
        return pid
    }
}
