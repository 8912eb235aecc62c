import HTTPTypes
import HandshakeProbe
import Handshakes
import Hummingbird

/// `/sessions`: the last failed and slow sessions, newest first, as a JSON array of what `--format json` prints.
struct SessionsRoute: Sendable {
    static let standardLimit = 100

    let source: MetricsSource

    /// What a request asks for, or what is wrong with it.
    struct Query {
        var filter: HandshakeFilter?
        var limit = SessionsRoute.standardLimit

        struct Fault: Error {
            var message: String
        }

        /// - Parameter parameters: names and values, decoded.
        init(_ parameters: [(name: String, value: String)]) throws(Fault) {
            for (name, value) in parameters {
                switch name {
                case "where":
                    do {
                        filter = try HandshakeFilter(value)
                    } catch {
                        throw Fault(message: "where: \(error)")
                    }
                case "limit":
                    guard let count = Int(value), (1...RecentSessions.limit).contains(count) else {
                        throw Fault(message: "limit: a number from 1 to \(RecentSessions.limit)")
                    }
                    limit = count
                default:
                    let meant = NearestName.of(name, among: ["where", "limit"]).map { "; did you mean '\($0)'?" } ?? ""
                    throw Fault(
                        message:
                            "unknown parameter '\(PeerText.clean(String(name.prefix(40))))'\(meant): the parameters are 'where' and 'limit'"
                    )
                }
            }
        }
    }

    func respond(to request: Request) -> Response {
        guard let recent = source.snapshot()?.recent else { return plain(.serviceUnavailable, "starting\n") }
        let query: Query
        do {
            query = try Query(Self.parameters(of: request.uri.query ?? ""))
        } catch {
            return plain(.badRequest, error.message + "\n")
        }
        let found = recent.newest(query.limit) { query.filter?.passes($0) ?? true }
        let headers: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: Self.body(found))))
    }

    /// Names and values of a query as forms and curl's `--data-urlencode` write it: a plus sign is a space.
    static func parameters(of query: String) -> [(name: String, value: String)] {
        query.split(separator: "&").map { parameter in
            let parts = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (decoded(parts[0]), parts.count == 2 ? decoded(parts[1]) : "")
        }
    }

    /// Percent-encoding undone (RFC 3986 section 2.1); what is none stays as it is.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, rest.first != UInt8(ascii: "+"),
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An array with a session on each line.
    static func body(_ handshakes: [Handshake]) -> [UInt8] {
        var body: [UInt8] = [UInt8(ascii: "[")]
        for (index, handshake) in handshakes.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body.append(UInt8(ascii: "\n"))
            JSONLine.append(handshake, to: &body)
            body.removeLast()
        }
        body += "\n]\n".utf8
        return body
    }
}
