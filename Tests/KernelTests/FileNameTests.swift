import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// One file has one name in rows, labels and lists, whatever it was found by: the kernel's.
    @Suite("The one name of a file") struct FileNameTests {
        private func real(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }

        @Test("The linker cache's libraries have the kernel's name, in labels and lists")
        func cachedLibrariesHaveTheKernelsName() throws {
            let libssl = try LibraryCopy.system("libssl.so.3")
            let daemon = try Daemon()
            let server = try OpenSSLServer(TestCertificates())
            _ = try server.connect()
            let metrics = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["role": "server"]) == 1 }
            for name in ["tlswatch_probes", "tlswatch_probe_hits_total"] {
                let names = Set(metrics.all(name, ["stack": "openssl"]).compactMap { $0.labels["library"] })
                #expect(names.contains(libssl), "\(names)")
                #expect(names.allSatisfy { real($0) == $0 || $0 == "other" }, "\(names)")
                #expect(!names.contains { $0.contains("libcrypto") }, "it is part of its libssl")
            }
            let targets = try Tlswatch.run(["targets"])
            let files = targets.output.split(separator: "\n").filter { $0.hasPrefix("/") }.map(String.init)
            #expect(files.count { real($0) == libssl } == 1, "\(targets.output)")
            #expect(files.contains(libssl))
            #expect(!files.contains { $0.contains("libcrypto") })
        }

        @Test("A library named by a link is reported by the name of the file")
        func aLinkedLibraryHasItsFilesName() throws {
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let link = directory.file("libssl.so.link")
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: copy.libssl)
            let capture = try Capture(["--library", link])
            let server = try AnyServer(TestCertificates(), environment: copy.environment)
            try server.connect()
            let rows = try capture.finish(expecting: 1) { $0.isServer }
            #expect(rows.map(\.library) == [copy.libssl], "\(rows)")
            server.stop()
        }
    }
}
