import TestSupport
import Foundation
import Testing

extension KernelTests {
    @Suite("What is left behind") struct CleanupTests {
        @Test(
            "The end of a capture leaves no program and no link behind, and the servers serve on",
            arguments: [SIGINT, SIGTERM, SIGKILL])
        func nothingLeft(_ signal: Int32) throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture()
            let held = KernelHoldings(of: capture.child.pid)
            #expect(!held.programs.isEmpty, "the check sees what is there")
            #expect(!held.links.isEmpty, "the check sees what is there")
            _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority)
            capture.child.stop(signal)
            #expect(capture.child.status == (signal == SIGKILL ? .signalled(SIGKILL) : .exited(0)))
            #expect(try held.areGone())
            _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority)
        }
    }
}
