import Foundation
import Handshakes
import TestSupport
import Testing

/// Ways of building a Go program that change what its code looks like, or what it puts up with.
extension KernelTests.GoTests {
    private static var newest: String { GoToolchain.versions[2] }

    private static let stamps =
        [[], ["12", "resumed"]] + (GoToolchain.triesAll ? [["resumed"], ["12"]] : []) as [[String]]

    @Test("P50 and P99 of 2,000 handshakes are the program's own, within 1 % or 20 µs", arguments: stamps)
    func quantiles(_ options: [String]) throws {
        let run = try GoProgram(Self.newest).observe(["stamps", "2000"] + options)
        for role in ["client", "server"] {
            let own = run.witnesses.filter { $0.role == role && $0.completed }
            let rows = run.rows.filter { $0.role == role && $0.isCompleted }
            // From before the call to its last read or write: what it computes then is no more than its Finished message.
            let least = own.map { $0.last - $0.start }
            try expectQuantiles(
                role, of: rows.compactMap(\.duration), most: own.map { $0.end - $0.start }, least: least,
                leastInTail: least)
        }
    }

    @Test("A FIPS 140 build, which checks its own code when it starts, runs and is observed") func fips() throws {
        let program = try GoProgram(Self.newest, environment: ["GOFIPS140": "latest"])
        let run = try program.observe(["load", "40"], environment: ["GODEBUG": "fips140=on"])
        #expect(run.output == "done 40\n")
        #expect(run.rows.count { $0.isCompleted } == 80)
        #expect(run.rows.count == 80)
        #expect(Set(run.rows.compactMap(\.role)) == ["client", "server"])
    }

    @Test("Built along a profile, which moves calls into their callers, and linked by C's linker") func profile() throws
    {
        let folder = try TemporaryDirectory()
        let profile = folder.file("cpu.pprof")
        let plain = try GoProgram(Self.newest)
        let load = try ChildProcess.run(plain.path, ["load", "300"], environment: ["GOHANDSHAKES_PROFILE": profile])
        #expect(load.output == "done 300\n")
        let flags = ["-pgo=\(profile)", "-ldflags=-linkmode=external"]
        try compare(GoProgram(Self.newest, flags, environment: ["CGO_ENABLED": "1"]))
    }

    @Test("A library written in Go, in a process that is not") func shared() throws {
        let directory = try TemporaryDirectory()
        let toolchain = try GoToolchain(Self.newest)
        let source = directory.file("source")
        try FileManager.default.copyItem(atPath: resource("Programs/gohandshakes"), toPath: source)
        let exported = """
            package main

            import "C"

            //export Load
            func Load(count int) {
            \tca := newAuthority()
            \t(&world{ca, ca.valid("a.example")}).load(count, false)
            }
            """
        try exported.write(toFile: source + "/export.go", atomically: true, encoding: .utf8)
        let library = directory.file("libload.so")
        try toolchain.build(source, to: library, ["-buildmode=c-shared"], environment: ["CGO_ENABLED": "1"])
        let output = directory.file("rows.json")
        let script = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).Load(ctypes.c_long(20))"
        let result = try ChildProcess.run(
            Tlswatch.binary(),
            [
                "capture", "--format", "json", "--output", output, "--library", library, "--", "python3", "-c", script,
                library,
            ])
        #expect(result.status == .exited(0), "\(result.errors)")
        #expect(result.output == "done 20\n")
        let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n").map(String.init)
        let rows = try SessionRow.parse(lines)
        expectSane(rows)
        #expect(rows.count == 40)
        for row in rows {
            #expect(row.isCompleted, "\(row)")
            #expect(row.stack == "go", "\(row)")
            #expect(row.library == library, "\(row)")
            #expect(row.socketConfidence == "exact", "\(row)")
        }
    }

    @Test("uTLS in a Python process, with a client's connection of a type of its own") func utls() throws {
        let folder = try TLSBuild.cache() + "/go-utls/tls_client/dependencies"
        let library = folder + "/tls-client-linux-ubuntu-amd64.so"
        try #require(FileManager.default.fileExists(atPath: library), "run `make deps`")
        let certificates = try TestCertificates()
        let caddy = try Caddy(certificates)
        let capture = try Capture(["--library", library])
        let identities = ["chrome_120", "firefox_117", "safari_16_0"]
        let client = try ChildProcess.run(
            "python3", [resource("Scripts/utls_requests.py"), library, "\(caddy.port)"] + identities)
        #expect(client.status == .exited(0), "\(client.errors)")
        // The last one holds the certificate against authorities that do not know it.
        let statuses = client.output.split(separator: "\n").map(String.init)
        #expect(statuses.count { $0 == "200" } == identities.count, "\(statuses)")
        #expect(statuses.count == identities.count + 1 && statuses.last != "200", "\(statuses)")
        let rows = try capture.finish(expecting: statuses.count) { $0.pid == Int(client.pid) }
        expectSane(rows)
        let completed = rows.filter(\.isCompleted)
        let complete = try eventually { try caddy.logged().count >= identities.count }
        try #require(complete)
        let logged = try caddy.logged()
        #expect(completed.count == logged.count)
        for row in completed {
            let text = Comment(rawValue: "\(row)")
            let entry = try #require(logged.first { row.local?.hasSuffix(":\($0.remotePort)") == true }, text)
            #expect(row.isClient, text)
            #expect(row.stack == "go", text)
            #expect(row.tlsVersion == IANA.version(UInt32(entry.version)), text)
            #expect(row.cipher == IANA.cipher(UInt16(entry.cipher)), text)
            #expect(row.alpn ?? "" == entry.alpn, text)
            #expect(row.resumed == entry.resumed, text)
            #expect(row.socketConfidence == "exact", text)
            #expect(row.keyExchange != nil, text)
        }
        let failed = rows.filter { !$0.isCompleted }
        #expect(failed.map(\.reason) == ["unknown_ca"], "\(failed)")
        #expect(failed.map(\.alertDirection) == ["sent"], "\(failed)")
    }
}
