import Code

/// rustls 0.21 to 0.23, inside programs and libraries written in Rust, stripped or not.
///
/// A handshake is no one call there: each message is handled by a method of the state that waits for it. States are found by
/// the shape of their tables, everything else by the code of their methods; of versions only two enumerations are believed, and
/// what confirms them is looked for in the code.
package enum Rustls: TLSStack {
    package static var name: String { "rustls" }
    package static var title: String { "rustls" }
    package static var libraries: [String] { [] }
    package static var rules: SessionRules { .rustls(nil) }
    package static func rules(version: String?) -> SessionRules { .rustls(version.flatMap(RustlsRelease.init)) }

    /// Files with less code than this hold no TLS stack.
    private static let smallestCode: UInt64 = 1 << 18

    package static func recognises(_ file: ELFFile) -> Bool {
        file.codeSize >= smallestCode && !releases(of: file).isEmpty
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        guard file.kind == .relocatable else {
            throw AnalysisError("it is linked to fixed addresses: the states of rustls cannot be told")
        }
        let code = CodeReader(file)
        let tables = file.traitTables
        let taken = TakenAddresses(file)
        let releases = releases(of: file)
        var found: [LibraryAnalysis] = []
        var failures: [(version: String, error: AnalysisError)] = []
        for release in releases {
            do throws(AnalysisError) {
                try found.append(analyse(code, tables, taken, release, among: releases))
            } catch { failures.append((release.version, error)) }
        }
        guard var result = found.first else {
            throw failures.first?.error ?? AnalysisError("the states of rustls are not found")
        }
        result.forks = Array(found.dropFirst())
        result.notes += result.forks.flatMap { fork in fork.notes.map { "rustls \(fork.version ?? ""): \($0)" } }
        result.notes += failures.map { "the rustls \($0.version) in it is not observed: \($0.error.description)" }
        return result
    }

    /// One release, of those that a file has inside.
    private static func analyse(
        _ code: CodeReader, _ tables: [TraitTable], _ taken: TakenAddresses, _ release: RustlsRelease,
        among releases: [RustlsRelease]
    ) throws(AnalysisError) -> LibraryAnalysis {
        let others = releases.filter { $0.version != release.version }
        guard let states = RustlsStates(code, tables, taken, release, besides: others) else {
            throw AnalysisError("the states of rustls are not found")
        }
        let calls = try RustlsCalls(
            code, states, release, isConfusable: others.contains { $0.notComplete == release.notComplete })
        var sites = SiteList(code: code)
        for (number, state) in states.waiting.enumerated() {
            sites.add(
                .messageReceived, "State::handle (\(number + 1))", state.handle,
                object: .memory(.parameter2), argument: .parameter3, argument2: .parameter1,
                bytes: UInt16(min(state.size, Self.stateLimit)))
        }
        for (number, send) in calls.sends.enumerated() {
            let tag = RustlsPayloadTag(code, send: send.function, calledAt: send.calls)
            sites.add(
                .messageSent, "send_msg" + (number > 0 ? " (\(number + 1))" : ""), send.function,
                argument: .parameter1,
                argument2: tag.map { .memory(.parameter1, offset: $0.offset) }, bytes: tag?.alert ?? 0)
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
        return LibraryAnalysis(stack: name, version: release.version, sites: sites.sites, notes: sites.notes)
    }

    /// More of a state is not looked at.
    private static let stateLimit = 1023

    // MARK: version

    private static let searchLimit: UInt64 = 256 << 20
    private static let longestVersion = 24

    /// Of those that are observed, by the paths of its source files, which stand in what a panic prints: the newest first. None
    /// where the file has no such texts.
    static func releases(of file: ELFFile) -> [RustlsRelease] {
        file.remembered("rustls releases") {
            var found: [RustlsRelease] = []
            DataSearch.find(file, "/rustls-", limit: searchLimit) { bytes, offset in
                let text = bytes[(offset + 8)...].prefix(longestVersion).prefix { $0 != UInt8(ascii: "/") }
                // Behind it come its modules; other crates begin with the same name.
                guard text.count < longestVersion, let first = text.first, first >= 0x30, first <= 0x39,
                    bytes[(offset + 8 + text.count)...].starts(with: Array("/src/".utf8)),
                    text.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
                    let release = RustlsRelease(String(decoding: text, as: UTF8.self))
                else { return false }
                if !found.contains(where: { $0.series == release.series }) { found.append(release) }
                return false
            }
            return found.sorted { $0.series > $1.series }
        }
    }
}
