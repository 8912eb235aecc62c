import HTTPTypes
import Hummingbird

/// What every request passes before its route: method, the web configuration's rate limit and passwords; and the
/// headers that every answer bears.
struct Admission: RouterMiddleware {
    typealias Context = EndpointContext

    let configuration: WebConfigurationSource
    let authentication: BasicAuthentication
    let accounts: EndpointAccounts

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let current = configuration.current()
        var response: Response
        if let refusal = await refusal(request, current) {
            response = refusal
        } else {
            do {
                response = try await next(request, context)
            } catch let error as any HTTPResponseError {
                response = try error.response(from: request, context: context)
            }
        }
        for (name, value) in current.settings.headers {
            // What a route has set is its own: the status page's policy does not become a weaker one.
            if let field = HTTPField.Name(name), response.headers[field] == nil { response.headers[field] = value }
        }
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func refusal(_ request: Request, _ current: LoadedConfiguration) async -> Response? {
        guard request.method == .get || request.method == .head else {
            return refuse(.method, .methodNotAllowed, "Only GET and HEAD are served.\n", [.allow: "GET, HEAD"])
        }
        if let limiter = current.limiter, !limiter.admits() {
            return refuse(.rateLimited, .tooManyRequests, "The web configuration's rate limit is reached.\n")
        }
        guard !current.settings.users.isEmpty else { return nil }
        let verdict: BasicAuthentication.Verdict =
            if let credentials = Credentials(authorization: request.headers[.authorization]) {
                await authentication.check(credentials, users: current.settings.users)
            } else {
                .refused
            }
        switch verdict {
        case .accepted: return nil
        case .busy: return refuse(.busy, .serviceUnavailable, "Too many passwords to check.\n", [.retryAfter: "5"])
        case .refused:
            return refuse(
                .unauthorized, .unauthorized, "A name and a password are needed.\n",
                [.wwwAuthenticate: "Basic realm=\"tlswatch\""])
        }
    }

    private func refuse(
        _ reason: RequestRejection, _ status: HTTPResponse.Status, _ text: String, _ headers: HTTPFields = [:]
    ) -> Response {
        accounts.rejected(reason)
        var response = plain(status, text)
        for field in headers { response.headers[field.name] = field.value }
        return response
    }
}

/// An answer in plain text.
func plain(_ status: HTTPResponse.Status, _ text: String) -> Response {
    Response(
        status: status, headers: [.contentType: "text/plain; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: text)))
}
