import ArgumentParser
import Dispatch
import Glibc
import HandshakeProbe
import Handshakes
import Kernel

struct TLSWatch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tlswatch",
        abstract: "Measures TLS handshakes from the Linux kernel, with no change to applications.",
        discussion: """
            Exit status: 0 done; 64 bad usage; 65 bad input file; 69 kernel not supported; 71 system error (port in use, \
            disk full); 77 privilege missing; 130 interrupted twice.
            """,
        version: Version.text,
        subcommands: [
            RunCommand.self, CaptureCommand.self, ReplayCommand.self, TopCommand.self, DiffCommand.self,
            DoctorCommand.self,
            TargetsCommand.self, CheckConfigCommand.self,
        ])
}

/// Starts without the concurrency runtime, which waits for ever where it gets no thread. The daemon starts its privileged
/// threads before there are others.
@main
enum Program {
    static func main() {
        StandardDescriptors.fill()
        LargeBuffers.giveBack()
        // Before anything else asks it: the runtime reads the arguments there, too.
        guard unsafe access("/proc/self/cmdline", R_OK) == 0 else {
            tell("tlswatch: cannot read /proc/self/cmdline: \(errnoText(errno)). tlswatch needs /proc to be mounted")
            exit(CommandFailure.Status.system.rawValue)
        }
        _ = ProcessSample.began
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let hint = UsageHint.unknownCommand(arguments) {
            tell("tlswatch: \(hint)")
            exit(CommandFailure.Status.usage.rawValue)
        }
        do {
            let command = try TLSWatch.parseAsRoot()
            if let daemon = command as? RunCommand {
                let started = try daemon.start()
                finish { try await daemon.serve(started) }
            } else if let replay = command as? ReplayCommand {
                try reporting { try Headroom.requireThreads() }
                finish { try await replay.run() }
            } else {
                var command = command
                try command.run()
            }
        } catch {
            if let hint = UsageHint.forgottenTerminator(arguments, TLSWatch.message(for: error)) {
                tell("tlswatch: \(hint)")
                exit(CommandFailure.Status.usage.rawValue)
            }
            TLSWatch.exit(withError: error)
        }
    }

    private static func finish(_ body: @escaping @Sendable () async throws -> Void) -> Never {
        Task {
            do {
                try await body()
                TLSWatch.exit()
            } catch {
                TLSWatch.exit(withError: error)
            }
        }
        dispatchMain()
    }
}
