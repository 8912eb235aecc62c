/// What is wrong with a configuration file, or with a file that it names, and where.
struct WebConfigurationError: Error, Equatable, CustomStringConvertible {
    var file: String
    /// From one; `nil` where it is no line's fault.
    var line: Int?
    /// `tls_server_config.cert_file`; `nil` where the file as a whole is wrong.
    var key: String?
    var reason: String

    var description: String {
        "\(file)\(line.map { ":\($0)" } ?? ""): \(key.map { "\($0): " } ?? "")\(reason)"
    }
}
