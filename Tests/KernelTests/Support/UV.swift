import Foundation
import TestSupport

/// uv, a program with rustls inside, as a client.
enum UV {
    /// The program of a release, in the cache of `make deps`.
    static func program(_ release: String) throws -> String {
        let file = try TLSBuild.cache() + "/uv-\(release)/uv-\(release).data/scripts/uv"
        guard FileManager.default.fileExists(atPath: file) else { throw HarnessError("\(file): run `make deps`") }
        return file
    }

    /// Asks a server for a package that it has not.
    ///
    /// - Parameters:
    ///   - identity: a file with a certificate and its key, to show if the server asks for one.
    ///   - isEarly: of releases whose options are fewer.
    static func start(
        _ uv: String, port: Int, authority: String, identity: String? = nil, isEarly: Bool = false
    ) throws -> ChildProcess {
        var environment = ["SSL_CERT_FILE": authority, "UV_HTTP_RETRIES": "0", "NO_PROXY": "*"]
        environment["SSL_CLIENT_CERT"] = identity
        return try ChildProcess(
            uv,
            ["pip", "compile", "-", "--no-cache", "--index-url", "https://127.0.0.1:\(port)/simple"]
                + (isEarly ? [] : ["--python", "/usr/bin/python3", "--no-config"]),
            input: Array("no-such-package\n".utf8), environment: environment)
    }

    static func ask(
        _ uv: String, port: Int, authority: String, identity: String? = nil, isEarly: Bool = false
    ) throws -> Finished {
        try start(uv, port: port, authority: authority, identity: identity, isEarly: isEarly).wait()
    }
}
