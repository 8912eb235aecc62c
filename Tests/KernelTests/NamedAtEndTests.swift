import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// A capture names what took part and was not observed: no silent zero.
    @Suite("What a capture names at its end") struct NamedAtEndTests {
        private func capture(_ options: [String] = [], _ command: [String]) throws -> (errors: [String], rows: Int) {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.json")
            let result = try Tlswatch.run(
                ["capture", "--format", "json", "--output", file] + options + ["--"] + command)
            let rows = (try? String(contentsOfFile: file, encoding: .utf8))?.split(separator: "\n").count ?? 0
            return (result.errors.split(separator: "\n").map(String.init), rows)
        }

        private func named(_ lines: [String]) -> [String] {
            lines.filter { $0.hasPrefix("not observed: ") || $0.hasPrefix("observed late: ") }
        }

        @Test("A program that uses Botan is named with its library; so it is under a shell", arguments: [true, false])
        func unsupportedProgramsAreNamed(_ isChild: Bool) throws {
            let server = try OpenSSLServer(TestCertificates())
            let request = Botan.command(port: server.port)
            let line = isChild ? ["sh", "-c", request.joined(separator: " ") + "; true"] : request
            let (errors, rows) = try capture([], line)
            #expect(rows == 0)
            let names = named(errors)
            #expect(names.count == 1, "\(errors)")
            #expect(
                names.allSatisfy {
                    $0.contains("/libbotan-") && $0.contains("(\(Botan.comm))")
                        && $0.hasSuffix(": Botan is not supported yet (unsupported_stack)")
                }, "\(errors)")
        }

        @Test("A capture of the whole host names what ran meanwhile")
        func theHostsProgramsAreNamed() throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture()
            _ = try Botan.connect(port: server.port)
            try capture.await(1) { $0.isServer }
            _ = try capture.stop()
            #expect(
                named(capture.child.errors.lines).contains {
                    $0.contains("/libbotan-") && $0.hasSuffix("(unsupported_stack)")
                }, "\(capture.child.errors.text)")
        }

        @Test("A program without a known library that listens on a port of TLS is named, by a capture that includes it")
        func holdersOfPortsAreNamed() throws {
            let listener = try ChildProcess(
                "unshare",
                [
                    "-n", "python3", "-c",
                    "import signal, socket; s = socket.socket(); s.bind(('', 8443)); s.listen(); "
                        + "print('listens', flush=True); signal.pause()",
                ])
            defer { listener.stop(SIGKILL) }
            try listener.waitForLine(in: listener.output) { $0 == "listens" }
            let other = try ChildProcess("sleep", ["60"])
            defer { other.stop(SIGKILL) }
            for (options, isIncluded) in [
                ([], true), (["--pid", "\(listener.pid)"], true), (["--pid", "\(other.pid)"], false),
            ] as [([String], Bool)] {
                let capture = try Capture(options)
                _ = try capture.stop()
                let lines = named(capture.child.errors.lines).filter {
                    $0.contains("/python3")
                        && $0.hasSuffix(": no known TLS library; listens on port 8443 (no_known_library)")
                }
                #expect(lines.isEmpty != isIncluded, "\(options): \(capture.child.errors.text)")
            }
        }

        @Test("What was observed is not named, whatever else the process maps")
        func observedProgramsAreNotNamed() throws {
            let server = try OpenSSLServer(TestCertificates())
            let (errors, rows) = try capture([], ["openssl", "s_client", "-connect", server.address])
            #expect(rows == 1, "\(errors)")
            #expect(named(errors).isEmpty, "\(errors)")
            // The distribution's curl maps GnuTLS too, by way of another library.
            let url = "https://\(server.address)/"
            let second = try capture([], ["curl", "-q", "--noproxy", "*", "-sk", "-o", "/dev/null", url])
            #expect(second.rows == 1, "\(second.errors)")
            #expect(named(second.errors).isEmpty, "\(second.errors)")
        }

        /// A program with a text of rustls and as much code as one has; it ends at once.
        private func program(_ directory: TemporaryDirectory) throws -> String {
            let source = try directory.write(
                """
                __asm__(".text\\n.skip 300000, 0x90\\n");
                const char *volatile text = "tls13 client handshake state";
                int main(void) { return text == 0; }
                """, to: "program.c")
            let path = directory.file("program")
            let compiled = try ChildProcess.run("cc", ["-O2", "-o", path, source])
            guard compiled.status == .exited(0) else { throw HarnessError(compiled.errors) }
            return path
        }

        @Test("A program with a stack inside is named, though it ends at once", arguments: [true, false])
        func staticProgram(_ isChild: Bool) throws {
            let directory = try TemporaryDirectory()
            let path = try program(directory)
            let (errors, _) = try capture([], isChild ? ["sh", "-c", "\(path); true"] : [path])
            #expect(
                named(errors).contains {
                    $0.contains(" \(path)")
                        && $0.hasSuffix(": rustls is not supported yet (unsupported_stack)")
                }, "\(errors)")
        }

        @Test("A library that was probed after a process had loaded it is named as late, one that was known is not")
        func lateLibrariesAreNamed() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let capture = try Capture()
            let server = try AnyServer(certificates, environment: copy.environment)
            #expect(
                try eventually {
                    try server.connect()
                    return try capture.sessions().contains { $0.library == copy.libssl }
                })
            _ = try capture.stop()
            server.stop()
            let lines = named(capture.child.errors.lines).filter { $0.hasPrefix("observed late: ") }
            #expect(lines.count == 1, "\(lines)")
            // "N ms after", unless it was found by a look at all processes before its mapping was told.
            #expect(
                lines.allSatisfy {
                    $0.hasPrefix("observed late: \(copy.libssl) (openssl): probes were attached ")
                        && $0.hasSuffix("after the library was loaded; handshakes before that are missing")
                }, "\(lines)")
        }
    }
}
