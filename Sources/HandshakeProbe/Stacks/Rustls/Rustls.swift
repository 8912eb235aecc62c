import Code

/// rustls 0.23, inside programs and libraries written in Rust, stripped or not.
///
/// A handshake is no one call there: each message is handled by a method of the state that waits for it. States are found by
/// the shape of their tables, everything else by the code of their methods; of versions only two enumerations are believed, and
/// what confirms them is looked for in the code.
package enum Rustls: TLSStack {
    package static var name: String { "rustls" }
    package static var title: String { "rustls" }
    package static var libraries: [String] { [] }
    package static var rules: SessionRules { .rustls }

    /// Until 0.22 messages and errors are laid out otherwise, from 0.24 on states are no trait objects.
    static let release = "0.23."

    /// Files with less code than this hold no TLS stack.
    private static let smallestCode: UInt64 = 1 << 18

    package static func recognises(_ file: ELFFile) -> Bool {
        return file.codeSize >= smallestCode && version(of: file)?.hasPrefix(release) ?? false
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        guard file.kind == .relocatable else {
            throw AnalysisError("it is linked to fixed addresses: the states of rustls cannot be told")
        }
        guard let states = RustlsStates(code) else {
            throw AnalysisError("the states of rustls are not found")
        }
        let calls = try RustlsCalls(code, states)
        var sites = SiteList(code: code)
        for (number, state) in states.waiting.enumerated() {
            sites.add(
                .messageReceived, "State::handle (\(number + 1))", state.handle,
                object: .memory(.parameter2), argument: .parameter3, argument2: .parameter1,
                bytes: UInt16(min(state.size, Self.stateLimit)))
        }
        for (number, send) in calls.sends.enumerated() {
            sites.add(.messageSent, "send_msg" + (number > 0 ? " (\(number + 1))" : ""), send, argument: .parameter1)
        }
        for done in try calls.completions(states) {
            sites.add(.completed, "handshake complete", at: done, object: nil)
        }
        for failure in calls.failures {
            sites.add(
                .failed, "handshake failed", at: failure.call, object: failure.object,
                argument: .memory(.parameter1), bytes: failure.bytes)
        }
        if let hello = states.awaitsHello {
            sites.add(
                .stateDropped, "ExpectServerHello dropped", hello.drop, object: nil, argument2: .parameter0,
                bytes: UInt16(min(hello.size, Self.stateLimit)))
        } else {
            sites.notes.append(
                "if there are clients in it, those that are given up before their ServerHello end as timeout: what drops their "
                    + "state is not found")
        }
        var result = LibraryAnalysis(stack: name, version: version(of: file), sites: sites.sites, notes: sites.notes)
        if calls.failures.isEmpty { result.notes.append("failures are not seen: where they are kept is not found") }
        return result
    }

    /// More of a state is not looked at.
    private static let stateLimit = 1023

    // MARK: version

    private static let searchLimit: UInt64 = 256 << 20
    private static let longestVersion = 24

    /// Of the path of its source files, which stands in what a panic prints; `nil` where the file has none.
    static func version(of file: ELFFile) -> String? {
        file.remembered("rustls version") {
            var found: String?
            DataSearch.find(file, "/rustls-", limit: searchLimit) { bytes, offset in
                let text = bytes[(offset + 8)...].prefix(longestVersion).prefix { $0 != UInt8(ascii: "/") }
                // Behind it come its modules; other crates begin with the same name.
                guard text.count < longestVersion, let first = text.first, first >= 0x30, first <= 0x39,
                    bytes[(offset + 8 + text.count)...].starts(with: Array("/src/".utf8)),
                    text.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
                else { return false }
                // A program may have two releases inside.
                let version = String(decoding: text, as: UTF8.self)
                if found == nil || version.hasPrefix(release) { found = version }
                return version.hasPrefix(release)
            }
            return found
        }
    }
}
