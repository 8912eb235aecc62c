import Foundation
import TestSupport

/// A process that maps its libssl from a FUSE file system whose server can be made to take requests and answer none; in a
/// mount namespace of its own.
final class ForeignFileSystem {
    private let directory: TemporaryDirectory
    private let child: ChildProcess
    private let server: pid_t
    private let outer: pid_t
    /// The process that maps the library.
    let process: pid_t
    /// The library's name, as the kernel has it.
    let libssl: String

    /// - Parameter wrapper: a command line that runs what follows it, in a mount namespace.
    init(wrapper: [String] = ["unshare", "-m"], owner: uid_t = 0) throws {
        directory = try TemporaryDirectory()
        let (source, inner, mount) = (directory.file("source"), directory.file("inner"), directory.file("mount"))
        for path in [source, inner, mount] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            guard unsafe chown(path, owner, owner) == 0 else { throw HarnessError("chown: errno \(errno)") }
        }
        _ = try LibraryCopy(into: source)
        libssl = mount + "/libssl.so.3"
        let line = wrapper + ["sh", try script("foreign_file_system.sh"), source, inner, mount]
        let child = try ChildProcess(line[0], Array(line.dropFirst()))
        self.child = child
        func number(_ name: String) throws -> pid_t {
            let line = try child.waitForLine(in: child.output) { $0.hasPrefix(name + " ") }
            guard let number = pid_t(line.dropFirst(name.count + 1)) else { throw HarnessError("\(line)") }
            return number
        }
        server = try number("server")
        outer = try number("outer")
        process = try number("process")
        try child.waitForLine(in: child.output) { $0 == "mapped" }
    }

    deinit {
        for pid in [server, outer, process] { kill(pid, SIGKILL) }
        child.stop(SIGKILL)
    }

    /// The server answers nothing from now on.
    func hang() throws {
        kill(server, SIGSTOP)
        let isStopped = try eventually {
            let tasks = "/proc/\(server)/task"
            return try FileManager.default.contentsOfDirectory(atPath: tasks).allSatisfy {
                try String(contentsOfFile: "\(tasks)/\($0)/stat", encoding: .utf8).contains(") T ")
            }
        }
        guard isStopped else { throw HarnessError("the server of \(libssl) does not stop") }
    }

    func answer() { kill(server, SIGCONT) }
}
