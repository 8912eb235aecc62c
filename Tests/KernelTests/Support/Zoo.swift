import Foundation
import TestSupport

/// What one end of a handshake says of it, in the zoo's scripts.
struct ZooWords: Decodable, Sendable {
    /// The client's port and the server's.
    var local: Int
    var port: Int
    var outcome: String
    var version: String?
    /// As OpenSSL calls it: below TLS 1.3 by another name than IANA's.
    var cipher: String?
    var name: String?
    var alpn: String?
    var resumed: Bool?
    var error: String?

    static func of(_ child: ChildProcess) throws -> [ZooWords] {
        try jsonLines(child.output.lines.filter { $0.hasPrefix("{") }.joined(separator: "\n"), as: Self.self)
    }
}

/// A program with a TLS server: what `Zoo.servers` has a row for.
struct ZooServer {
    let name: String
    let stack: String
    let port: Int
    let child: ChildProcess
    /// It lives as long as this.
    let owner: AnyObject
    /// The name that it is asked for.
    var serverName: String
    /// Of TLS, what it has.
    var versions = "1.2,1.3"
    /// Its library keeps the name it was asked for.
    var tellsName = true
    /// It keeps the group that was agreed on.
    var tellsGroup = true
    /// It reads what there is of a connection that its peer has closed: an alert.
    var readsLast = true
}

/// A program with a TLS client, `Zoo.clients` has a row for each: processes that wait for the file, and then ask the one server.
struct ZooClient {
    let name: String
    let stack: String
    let processes: [ChildProcess]
    /// Handshakes that are completed.
    let count: Int
}

/// Programs of many TLS stacks on one host. A stack is added by a row in `servers` or `clients`.
struct Zoo {
    let certificates: TestCertificates
    let directory: TemporaryDirectory
    private let tools: NSSTools
    private let cache: String
    /// Clients begin once it is there.
    private let signal: String

    init() throws {
        certificates = try TestCertificates(names: ",DNS:*.zoo.example")
        directory = try TemporaryDirectory()
        tools = try NSSTools(certificates)
        cache = try TLSBuild.cache()
        signal = directory.file("go")
    }

    func begin() throws { try directory.write("", to: "go") }

    // MARK: servers

    func servers() throws -> [ZooServer] {
        func row(
            _ name: String, _ stack: String, _ port: Int, _ child: ChildProcess, _ owner: AnyObject,
            serverName: String? = nil
        ) -> ZooServer {
            ZooServer(
                name: name, stack: stack, port: port, child: child, owner: owner,
                serverName: serverName ?? name + ".zoo.example")
        }
        let nginx = try Nginx(certificates)
        let apache = try Apache(certificates)
        let haproxy = try Haproxy(certificates)
        let openssl = try OpenSSLServer(certificates)
        // It knows one name alone.
        let caddy = try Caddy(certificates)
        let envoy = try Envoy(certificates, upstream: caddy.port)
        let granian = try Granian(certificates)
        let gnutls = try GnuTLSServer(certificates)
        let nss = try NSSServer(tools)
        let s2n = try S2NServer(S2NModule.newest(), certificates)
        let older = try S2NServer(S2NModule.older(), certificates)
        let wolfssl = try Lighttpd(certificates, module: "mod_wolfssl")
        let mbedtls = try Lighttpd(certificates, module: "mod_mbedtls")
        var rows = [
            row("nginx", "openssl", nginx.port, nginx.child, nginx),
            row("apache", "openssl", apache.site, apache.child, apache),
            row("haproxy", "openssl", haproxy.port, haproxy.child, haproxy),
            row("openssl", "openssl", openssl.port, openssl.child, openssl),
            row("caddy", "go", caddy.port, caddy.child, caddy, serverName: "a.example"),
            row("envoy", "boringssl", envoy.port, envoy.child, envoy),
            row("granian", "rustls", granian.port, granian.child, granian),
            row("gnutls", "gnutls", gnutls.port, gnutls.child, gnutls),
            row("nss", "nss", nss.port, nss.child, nss),
            row("s2n", "s2n", s2n.port, s2n.child, s2n),
            row("s2n-older", "s2n", older.port, older.child, older),
            row("wolfssl", "wolfssl", wolfssl.port, wolfssl.child, wolfssl),
            row("mbedtls", "mbedtls", mbedtls.port, mbedtls.child, mbedtls),
        ]
        for index in rows.indices {
            rows[index].versions = ["rustls": "1.3", "mbedtls": "1.2"][rows[index].stack] ?? "1.2,1.3"
            rows[index].tellsName = !["nss", "mbedtls"].contains(rows[index].stack)
            rows[index].tellsGroup = rows[index].stack != "mbedtls"
            rows[index].readsLast = rows[index].name != "haproxy"
        }
        return rows
    }

    /// Asks a server: handshakes that are completed, and such as the client refuses.
    func ask(_ server: ZooServer, count: Int, refused: Int) throws -> ChildProcess {
        try ChildProcess(
            "python3",
            [
                script("zoo_client.py"), certificates.authority, "\(server.port)", server.serverName, "\(count)",
                "\(refused)", server.versions,
            ])
    }

    // MARK: clients

    /// A script of Python's that has loaded its library, and waits.
    private func waiting(_ library: String, _ folders: [String], _ name: String, _ arguments: [String]) throws
        -> ChildProcess
    {
        let path = folders.map { "\(cache)/\($0)" }.joined(separator: ":")
        let child = try ChildProcess(
            "/usr/bin/env",
            [
                "PYTHONPATH=\(path)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script("zoo_wait.py"), signal, library,
                script(name),
            ] + arguments)
        try child.waitForLine(in: child.output) { $0 == "loaded" }
        return child
    }

    /// A command that waits.
    private func waiting(_ command: [String]) throws -> ChildProcess {
        try ChildProcess(
            "sh", ["-c", "while [ ! -e \"$0\" ]; do sleep 0.02; done; exec \"$@\"", signal] + command)
    }

    func clients(of sink: Int) throws -> [ZooClient] {
        let authority = certificates.authority
        func host(_ name: String) -> String { name + ".zoo.example" }
        func pages(_ count: Int, _ name: String) -> [String] { (0..<count).map { "https://\(name):\(sink)/\($0)" } }
        let curl = [
            "curl", "-q", "--noproxy", "*", "-s", "-o", "/dev/null", "--max-time", "20", "--cacert", authority,
            "--resolve", "\(host("curl")):\(sink):127.0.0.1",
        ]
        let wget = [
            "wget", "-q", "--no-config", "--no-proxy", "--no-http-keep-alive", "-O", "/dev/null",
            "--ca-certificate=" + authority,
        ]
        let nss = [
            "tstclnt", "-h", "127.0.0.1", "-p", "\(sink)", "-d", tools.database, "-a", host("tstclnt"), "-v",
        ]
        let library = try FileManager.default.contentsOfDirectory(atPath: cache + "/go-utls/tls_client/dependencies")
            .first { $0.contains("amd64") && $0.hasSuffix(".so") }
        guard let library else { throw HarnessError("no tls_client: run `make deps`") }
        let module = "\(cache)/go-utls/tls_client/dependencies/\(library)"
        return [
            ZooClient(
                name: "curl", stack: "openssl",
                processes: try (0..<5).map { _ in try waiting(curl + pages(1, host("curl"))) }, count: 5),
            ZooClient(
                name: "wget", stack: "gnutls", processes: [try waiting(wget + pages(10, "127.0.0.1"))], count: 10),
            ZooClient(
                name: "tstclnt", stack: "nss", processes: try (0..<5).map { _ in try waiting(nss) }, count: 5),
            ZooClient(
                name: "httpr", stack: "rustls",
                // The last one it refuses.
                processes: [
                    try waiting("httpr", ["python-httpr"], "rustls_clients.py", [authority, "\(sink)", "10"])
                ], count: 10),
            ZooClient(
                name: "curl_cffi", stack: "boringssl",
                processes: [
                    try waiting(
                        "curl_cffi", ["python-curl-cffi", "python-cffi"], "curl_cffi_requests.py",
                        [authority, "\(sink)", host("cffi"), "10"])
                ], count: 10),
            ZooClient(
                name: "awscrt", stack: "s2n",
                processes: [
                    try waiting(
                        "_awscrt", ["python-awscrt"], "awscrt_requests.py",
                        ["\(sink)", authority, "name=" + host("awscrt"), "count=10"])
                ], count: 10),
            ZooClient(
                name: "tls_client", stack: "go",
                processes: [
                    // The last one it refuses.
                    try waiting(module, [], "utls_requests.py", [module, "\(sink)", "chrome_120", "firefox_120"])
                ], count: 2),
        ]
    }
}
