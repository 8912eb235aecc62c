import ArgumentParser
import Dispatch
import HandshakeProbe

struct TLSWatch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tlswatch",
        abstract: "Measures the TLS handshakes of a host from the kernel, without changing the applications.",
        discussion: """
            Exit status: 0 done; 64 bad usage; 65 bad input file; 69 the kernel cannot; 71 the system refused; 77 privilege
            missing; 130 interrupted twice.
            """,
        version: Version.current,
        subcommands: [
            RunCommand.self, CaptureCommand.self, ReplayCommand.self, DoctorCommand.self, TargetsCommand.self,
            CheckConfigCommand.self,
        ])
}

/// Starts without the concurrency runtime, which waits for ever where it gets no thread. The daemon starts its privileged
/// threads before there are others.
@main
enum Program {
    static func main() {
        StandardDescriptors.fill()
        _ = ProcessSample.began
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
