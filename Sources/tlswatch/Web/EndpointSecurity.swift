import Glibc
import NIOCore
import NIOSSL

/// TLS as a web configuration says, with its files read: makes each connection's handler. For any thread.
struct EndpointSecurity: Sendable {
    private let context: NIOSSLContext
    private let authentication: WebConfiguration.ClientAuthentication
    private let allowedNames: [String]

    /// - Parameter file: the configuration file, for messages.
    init(_ tls: WebConfiguration.TLS, file: String) throws(WebConfigurationError) {
        authentication = tls.clientAuthentication
        allowedNames = tls.clientAllowedNames
        let chain = try Self.certificates(tls.certificate, file)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(try Self.key(tls.key, file)))
        configuration.minimumTLSVersion = tls.minimumVersion.library
        configuration.maximumTLSVersion = tls.maximumVersion.library
        configuration.applicationProtocols = ["http/1.1"]
        if !tls.curves.isEmpty { configuration.curves = tls.curves.map { NIOTLSCurve(rawValue: $0.number) } }
        let chosen = tls.cipherSuites.filter { !$0.isTLS13 }
        if !chosen.isEmpty {
            configuration.cipherSuiteValues = chosen.map { NIOTLSCipher(rawValue: $0.number) }
        } else if !tls.cipherSuites.isEmpty {
            // Only TLS 1.3's were named, and they are fixed: nothing is left for the older versions.
            guard tls.maximumVersion == .tls13 else {
                throw WebConfigurationError(
                    file: file, line: nil, key: "tls_server_config.cipher_suites",
                    reason: "names no suite for \(tls.maximumVersion.rawValue)")
            }
            configuration.minimumTLSVersion = .tlsv13
        }
        switch tls.clientAuthentication {
        case .none: configuration.certificateVerification = .none
        case .request, .verifyIfGiven: configuration.certificateVerification = .optionalVerification
        case .requireAny, .requireAndVerify: configuration.certificateVerification = .noHostnameVerification
        }
        if let authority = tls.clientAuthority {
            configuration.trustRoots = .certificates(try Self.certificates(authority, file))
        }
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw WebConfigurationError(
                file: file, line: nil, key: "tls_server_config",
                reason: "certificate and key do not fit together, or cannot be used: \(error)")
        }
    }

    /// All that is wrong with the files and texts that TLS is to be made from.
    static func faults(of tls: WebConfiguration.TLS, file: String) -> [WebConfigurationError] {
        var faults: [WebConfigurationError] = []
        func attempt(_ body: () throws(WebConfigurationError) -> Void) {
            do throws(WebConfigurationError) { try body() } catch { faults.append(error) }
        }
        attempt { () throws(WebConfigurationError) in _ = try certificates(tls.certificate, file) }
        attempt { () throws(WebConfigurationError) in _ = try key(tls.key, file) }
        if let authority = tls.clientAuthority {
            attempt { () throws(WebConfigurationError) in _ = try certificates(authority, file) }
        }
        // What they come to together.
        if faults.isEmpty {
            attempt { () throws(WebConfigurationError) in _ = try EndpointSecurity(tls, file: file) }
        }
        return faults
    }

    /// For one connection, on its event loop.
    func makeHandler() -> NIOSSLServerHandler {
        let allowedNames = allowedNames
        switch authentication {
        case .none, .verifyIfGiven:
            return NIOSSLServerHandler(context: context)
        case .request, .requireAny:
            // In place of the check against an authority.
            return NIOSSLServerHandler(
                context: context,
                customVerificationCallback: { certificates, promise in
                    let passes = certificates.first.map { Self.names(of: $0, fit: allowedNames) } ?? false
                    promise.succeed(passes ? .certificateVerified : .failed)
                })
        case .requireAndVerify:
            guard !allowedNames.isEmpty else { return NIOSSLServerHandler(context: context) }
            // After that check.
            return ._makeSSLServerHandler(context: context) { certificate, channel in
                Self.names(of: certificate, fit: allowedNames)
                    ? channel.eventLoop.makeSucceededVoidFuture()
                    : channel.eventLoop.makeFailedFuture(NIOSSLExtraError.failedToValidateHostname)
            }
        }
    }

    /// Whether one of the certificate's alternative names is one of these; with none given, any certificate fits.
    private static func names(of certificate: NIOSSLCertificate, fit allowed: [String]) -> Bool {
        guard !allowed.isEmpty else { return true }
        return certificate._subjectAlternativeNames().contains { name in
            let bytes = Array(name.contents)
            switch name.nameType {
            case .dnsName, .email, .uri: return allowed.contains { Array($0.utf8) == bytes }
            case .ipAddress: return allowed.contains { address($0) == bytes }
            default: return false
            }
        }
    }

    /// An IP address's bytes in network order; `nil` where it is none.
    private static func address(_ text: String) -> [UInt8]? {
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: size)
            if unsafe inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }

    private static func certificates(
        _ source: WebConfiguration.Source, _ file: String
    ) throws(WebConfigurationError) -> [NIOSSLCertificate] {
        let bytes = try bytes(source, file)
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
            if !certificates.isEmpty { return certificates }
        } catch {}
        throw wrong(source, file, "holds no certificate in PEM")
    }

    private static func key(
        _ source: WebConfiguration.Source, _ file: String
    ) throws(WebConfigurationError) -> NIOSSLPrivateKey {
        let bytes = try bytes(source, file)
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw wrong(source, file, "holds no unencrypted private key in PEM")
        }
    }

    private static func bytes(
        _ source: WebConfiguration.Source, _ file: String
    ) throws(WebConfigurationError) -> [UInt8] {
        switch source {
        case .inline(let text, _): Array(text.utf8)
        case .file(let path, let key): try SmallFile.read(path, for: (file, key))
        }
    }

    private static func wrong(
        _ source: WebConfiguration.Source, _ file: String, _ reason: String
    ) -> WebConfigurationError {
        var reason = reason
        if case .file(let path, _) = source { reason = "\(path): \(reason)" }
        return WebConfigurationError(file: file, line: nil, key: source.key, reason: reason)
    }
}

extension TLSVersionName {
    fileprivate var library: TLSVersion {
        switch self {
        case .tls10: .tlsv1
        case .tls11: .tlsv11
        case .tls12: .tlsv12
        case .tls13: .tlsv13
        }
    }
}
