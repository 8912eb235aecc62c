import Foundation
import TestSupport

/// A session that `s_client -sess_out` keeps.
enum SessionTicket {
    /// Waits for one and copies it: each ticket overwrites the file, so that what is found may be half of one. Returns the copy.
    static func copy(of file: String, in directory: TemporaryDirectory, from client: ChildProcess) throws -> String {
        let copy = directory.file("ticket.pem")
        let came = try eventually {
            guard let text = try? String(contentsOfFile: file, encoding: .utf8), !text.isEmpty else { return false }
            try directory.write(text, to: "ticket.pem")
            return try ChildProcess.run("openssl", ["sess_id", "-in", copy, "-noout"]).status == .exited(0)
        }
        guard came else { throw HarnessError("no session came: \(client.situation)") }
        return copy
    }
}
