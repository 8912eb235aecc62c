import Foundation
import TestSupport

/// A directory with copies of the distribution's libssl and libcrypto: files that no linker's cache knows.
struct LibraryCopy {
    static let names = ["libssl.so.3", "libcrypto.so.3"]

    let directory: String

    /// Copies into a directory that is there.
    init(into directory: String) throws {
        self.directory = directory
        for name in Self.names {
            try FileManager.default.copyItem(atPath: Self.system(name), toPath: directory + "/" + name)
        }
    }

    var libssl: String { directory + "/libssl.so.3" }
    var environment: [String: String] { ["LD_LIBRARY_PATH": directory] }

    /// The distribution's own file.
    static func system(_ name: String) throws -> String {
        for directory in ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64"]
        {
            let path = directory + "/" + name
            if FileManager.default.fileExists(atPath: path) {
                return URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            }
        }
        throw HarnessError("no \(name) on this machine")
    }
}

/// `openssl s_server` by any command line that ends in its arguments.
final class AnyServer {
    private let reserved: FreePort
    let child: ChildProcess

    /// - Parameter before: what comes before `openssl s_server`: `chroot DIR`, `unshare -m sh -c …`; its environment.
    init(
        _ certificates: TestCertificates, before: [String] = [], openssl: String = "openssl",
        certificate: String? = nil, key: String? = nil, environment: [String: String] = [:]
    ) throws {
        reserved = try FreePort()
        let command =
            before + [
                openssl, "s_server", "-4", "-quiet", "-accept", "127.0.0.1:\(reserved.number)", "-cert",
                certificate ?? certificates.certificate, "-key", key ?? certificates.key,
            ]
        child = try ChildProcess(command[0], Array(command.dropFirst()), environment: environment)
        try FreePort.awaitListening(reserved.number, server: child)
    }

    var port: Int { reserved.number }

    /// One handshake by `openssl s_client`, which ends when its standard input does.
    @discardableResult
    func connect(environment: [String: String] = [:]) throws -> Finished {
        let result = try ChildProcess.run(
            "openssl", ["s_client", "-connect", "127.0.0.1:\(port)"], environment: environment)
        guard result.status == .exited(0) else { throw HarnessError("s_client: \(result.status) \(result.errors)") }
        return result
    }

    func stop() { child.stop(SIGTERM) }
}
