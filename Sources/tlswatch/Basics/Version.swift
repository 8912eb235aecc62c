import CBuild

/// The release, in one place.
enum Version {
    static let current = "0.1.0"

    /// The commit that it was built from; `nil` where that was not known.
    static let revision = unsafe tlswatch_build_revision().map { unsafe String(cString: $0) }

    /// For `--version`: `tlswatch 0.1.0 (revision 0123456789ab, Swift 6.3.1)`.
    static let text: String = {
        let toolchain = unsafe tlswatch_build_toolchain().map { unsafe String(cString: $0) }
        return "tlswatch \(current) (revision \(revision ?? "unknown"), Swift \(toolchain ?? "of unknown version"))"
    }()
}
