import Foundation
import TestSupport

/// Apache's httpd with TLS on two free loopback ports: a site, and a forward proxy that is itself spoken to by TLS.
final class Apache: Sendable {
    private let reserved: (site: FreePort, proxy: FreePort)
    let child: ChildProcess
    private let directory: TemporaryDirectory

    /// - Parameter responder: the port of the OCSP responder that it asks during a handshake, for stapling.
    init(_ certificates: TestCertificates, responder: Int? = nil) throws {
        directory = try TemporaryDirectory()
        let (first, second) = (try FreePort(), try FreePort())
        reserved = (first, second)
        let (site, proxy) = (first.number, second.number)
        let stapling = responder.map {
            """
            SSLUseStapling on
            SSLStaplingForceURL http://127.0.0.1:\($0)/
            SSLStaplingResponderTimeout 10
            """
        }
        let configuration = try directory.write(
            """
            ServerName a.example
            ServerRoot \(directory.path)
            DefaultRuntimeDir \(directory.path)
            PidFile \(directory.file("httpd.pid"))
            ErrorLog \(directory.file("error.log"))
            LoadModule mpm_event_module \(Self.modules)/mod_mpm_event.so
            LoadModule authz_core_module \(Self.modules)/mod_authz_core.so
            LoadModule socache_shmcb_module \(Self.modules)/mod_socache_shmcb.so
            LoadModule ssl_module \(Self.modules)/mod_ssl.so
            LoadModule proxy_module \(Self.modules)/mod_proxy.so
            LoadModule proxy_connect_module \(Self.modules)/mod_proxy_connect.so
            StartServers 1
            ServerLimit 1
            ThreadsPerChild 8
            MaxRequestWorkers 8
            Listen 127.0.0.1:\(site)
            Listen 127.0.0.1:\(proxy)
            SSLStaplingCache "shmcb:\(directory.file("stapling"))(131072)"
            <VirtualHost 127.0.0.1:\(site)>
                SSLEngine on
                SSLCertificateFile \(certificates.chain)
                SSLCertificateKeyFile \(certificates.key)
                \(stapling ?? "")
            </VirtualHost>
            <VirtualHost 127.0.0.1:\(proxy)>
                SSLEngine on
                SSLCertificateFile \(certificates.certificate)
                SSLCertificateKeyFile \(certificates.key)
                ProxyRequests on
                AllowCONNECT \(site)
            </VirtualHost>

            """, to: "httpd.conf")
        child = try ChildProcess("apache2", ["-D", "FOREGROUND", "-f", configuration])
        try FreePort.awaitListening(site, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var site: Int { reserved.site.number }
    var proxy: Int { reserved.proxy.number }
    private static let modules = "/usr/lib/apache2/modules"
}
