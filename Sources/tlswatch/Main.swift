import ArgumentParser
import HandshakeProbe

@main
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

    /// On the main thread up to the first wait: the daemon starts its privileged threads before there are others.
    @MainActor static func main() async {
        StandardDescriptors.fill()
        _ = ProcessSample.began
        do {
            let command = try parseAsRoot()
            if let daemon = command as? RunCommand {
                let started = try daemon.start()
                try await daemon.serve(started)
            } else if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = command
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }
}
