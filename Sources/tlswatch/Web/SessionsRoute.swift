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
                    throw Fault(message: "there are the parameters 'where' and 'limit'\(meant)")
                }
            }
        }
    }

    func respond(to request: Request) -> Response {
        guard let recent = source.snapshot()?.recent else { return plain(.serviceUnavailable, "starting\n") }
        let query: Query
        do {
            query = try Query(request.uri.queryParameters.map { (String($0.key), String($0.value)) })
        } catch {
            return plain(.badRequest, error.message + "\n")
        }
        let found = recent.newest(query.limit) { query.filter?.passes($0) ?? true }
        let headers: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: Self.body(found))))
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
