import TestSupport

/// Runs a program to its end, off the threads that the server under test answers on.
func run(_ program: String, _ arguments: [String]) async throws -> Finished {
    try await blocking { try ChildProcess.run(program, arguments, within: .seconds(120)) }
}

func makeAuthority(_ name: String, in directory: TemporaryDirectory) async throws -> CertificateAuthority {
    try await blocking { try CertificateAuthority(name, in: directory) }
}

extension CertificateAuthority {
    func issue(_ leaf: String, names: String) async throws {
        try await blocking { try issue(leaf, subject: nil, names: names) }
    }
}
