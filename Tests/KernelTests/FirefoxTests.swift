import Foundation
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    /// Firefox, with an NSS of its own that another compiler has made, by what its server says of it.
    @Suite("Firefox") struct FirefoxTests {
        /// One that looks at a page, in a profile of its own, and at nothing else on any network.
        private final class Firefox: Sendable {
            private static let preferences = """
                user_pref("network.dns.localDomains", "a.example");
                user_pref("app.normandy.enabled", false);
                user_pref("network.captive-portal-service.enabled", false);
                user_pref("network.connectivity-service.enabled", false);
                user_pref("browser.safebrowsing.update.enabled", false);
                user_pref("browser.safebrowsing.downloads.remote.enabled", false);
                user_pref("services.settings.server", "data:,");
                user_pref("toolkit.telemetry.enabled", false);
                user_pref("datareporting.policy.dataSubmissionEnabled", false);
                user_pref("extensions.update.enabled", false);

                """
            private let directory: TemporaryDirectory
            private let child: ChildProcess

            init(_ port: Int, trusting authority: String?) throws {
                directory = try TemporaryDirectory()
                let profile = directory.file("profile")
                try FileManager.default.createDirectory(atPath: profile, withIntermediateDirectories: false)
                try Data(Self.preferences.utf8).write(to: URL(filePath: profile + "/user.js"))
                for arguments in [["-N", "--empty-password"]]
                    + (authority.map { [["-A", "-n", "ca", "-t", "C,,", "-a", "-i", $0]] } ?? [])
                {
                    let made = try ChildProcess.run("certutil", ["-d", "sql:" + profile] + arguments)
                    guard made.status == .exited(0) else { throw HarnessError("certutil: \(made.errors)") }
                }
                child = try ChildProcess(
                    "firefox-esr",
                    ["--headless", "--no-remote", "--profile", profile, "--screenshot", directory.file("page.png")]
                        + ["https://a.example:\(port)/"],
                    environment: ["HOME": directory.path, "MOZ_CRASHREPORTER_DISABLE": "1"])
            }

            deinit { child.stop(SIGTERM) }
        }

        private func sessions(_ capture: Capture) throws -> [SessionRow] {
            try capture.finish(expecting: 1) { $0.comm == "firefox-esr" }
        }

        @Test("A page of a server that it trusts", .enabled(if: Machine.has(Machine.firefoxNSS))) func trusted() throws
        {
            let certificates = try TestCertificates()
            let server = try OpenSSLServer(certificates, ["-rev", "-alpn", "http/1.1"])
            let capture = try Capture(["--library", Machine.firefoxNSS])
            let firefox = try Firefox(server.port, trusting: certificates.authority)
            let cipher = try server.child.waitForLine(in: server.child.errors) { $0.hasPrefix("Ciphersuite: ") }
            let groups = try server.child.waitForLine(in: server.child.errors) { $0.hasPrefix("Supported groups: ") }
            let rows = try sessions(capture)
            withExtendedLifetime(firefox) {}
            expectSane(rows)
            try #require(!rows.isEmpty)
            for row in rows {
                let text = Comment(rawValue: "\(row)")
                #expect(row.isClient && row.isCompleted && row.stack == "nss", text)
                #expect(row.library == Machine.firefoxNSS && row.sni == "a.example", text)
                #expect(row.tlsVersion == "TLSv1.3" && row.alpn == "http/1.1", text)
                #expect("Ciphersuite: \(row.cipher ?? "")" == cipher, text)
                // Of those that it offers, the first that the server knows.
                #expect(row.group == "x25519" && groups.contains(":x25519:"), text)
                #expect(row.resumed == false && row.remote == server.address && row.socketConfidence == "exact", text)
            }
        }

        @Test(
            "A page of a server that it does not trust: the alert that the server has heard",
            .enabled(if: Machine.has(Machine.firefoxNSS)))
        func refused() throws {
            let server = try OpenSSLServer(try TestCertificates(), ["-rev"])
            let capture = try Capture(["--library", Machine.firefoxNSS])
            let firefox = try Firefox(server.port, trusting: nil)
            let heard = try server.child.waitForLine(in: server.child.errors) { $0.contains("SSL alert number") }
            let number = try #require(heard.firstMatch(of: /SSL alert number (\d+)/)).output.1
            let rows = try sessions(capture)
            withExtendedLifetime(firefox) {}
            expectSane(rows)
            try #require(!rows.isEmpty)
            for row in rows {
                let text = Comment(rawValue: "\(row), and the server heard \(number)")
                #expect(row.isClient && row.outcome == "failed" && row.stack == "nss", text)
                #expect(row.alertDirection == "sent" && row.alert == Int(number), text)
                #expect(row.reason == "unknown_ca" || row.reason == "bad_certificate", text)
                #expect(row.sni == "a.example" && row.remote == server.address, text)
            }
        }
    }
}
