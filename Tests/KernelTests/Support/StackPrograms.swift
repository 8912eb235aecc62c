import Foundation
import TestSupport

/// A client and a server of each stack that is neither OpenSSL's, nor BoringSSL's, nor written in Go or Rust.
struct StackPrograms {
    enum Stack: String, CaseIterable { case gnutls, nss, wolfssl, mbedtls, s2n }

    struct Server {
        /// What ends it when it goes.
        let held: AnyObject
        let child: ChildProcess
        let port: Int
    }

    let certificates: TestCertificates
    private let nss: NSSTools
    private let mbedTLS: MbedTLSProgram
    private let s2n: S2NModule

    init(_ certificates: TestCertificates) throws {
        self.certificates = certificates
        nss = try NSSTools(certificates)
        mbedTLS = try MbedTLSProgram(certificates)
        s2n = try S2NModule.newest()
    }

    /// Their libraries.
    var libraries: [String] {
        [Machine.libgnutls, Machine.nss, Machine.libwolfssl, Machine.libmbedtls, s2n.library]
    }

    /// A client that trusts the authority and asks for a.example.
    ///
    /// - Parameter isOld: below TLS 1.3; Debian's Mbed TLS knows nothing else.
    func client(_ stack: Stack, port: Int, isOld: Bool = false) throws -> ChildProcess {
        let authority = certificates.authority
        let (program, arguments): (String, [String]) =
            switch stack {
            case .gnutls:
                (
                    "gnutls-cli",
                    ["--port", "\(port)", "--x509cafile", authority, "--sni-hostname", "a.example"]
                        + ["--verify-hostname", "a.example"]
                        + (isOld ? ["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"] : []) + ["127.0.0.1"]
                )
            case .nss:
                (
                    "tstclnt",
                    ["-h", "127.0.0.1", "-p", "\(port)", "-d", nss.database, "-a", "a.example", "-v", "-V"]
                        + [isOld ? "tls1.2:tls1.2" : "tls1.2:"]
                )
            case .wolfssl:
                (
                    try WolfSSLProgram.path(),
                    ["client", "\(port)", authority, "name=a.example", "check=a.example"] + (isOld ? ["12"] : [])
                )
            case .mbedtls:
                (
                    mbedTLS.path,
                    ["client", "\(port)", "1", certificates.certificate, certificates.key, authority, "-"]
                )
            case .s2n:
                (
                    "/usr/bin/env",
                    try s2n.command(
                        "s2n_tls.py", ["client", "\(port)", authority] + (isOld ? ["policy=20190214"] : []))
                )
            }
        return try ChildProcess(program, arguments, input: Array("GET / HTTP/1.0\r\n\r\n".utf8))
    }

    /// A server of so many connections, one after the other, that has the protocol http/1.1, resumes sessions and asks for no
    /// certificate. It runs as long as what is returned lives.
    func server(_ stack: Stack, connections: Int) throws -> Server {
        switch stack {
        case .gnutls:
            let server = try GnuTLSServer(certificates, ["--disable-client-cert", "--alpn", "http/1.1"])
            return Server(held: server, child: server.child, port: server.port)
        case .nss:
            let server = try NSSServer(nss, ["-V", "tls1.2:", "-u"])
            return Server(held: server, child: server.child, port: server.port)
        case .wolfssl:
            let server = try WolfSSLServer(certificates, connections: connections, ["alpn=http/1.1"])
            return Server(held: server, child: server.child, port: server.port)
        case .mbedtls:
            let server = try mbedTLS.server("a", count: connections)
            return Server(held: server.child, child: server.child, port: server.port)
        case .s2n:
            let server = try S2NServer(s2n, certificates, ["alpn=http/1.1", "resume"])
            return Server(held: server, child: server.child, port: server.port)
        }
    }
}
