import CEvents
import Code

/// Mbed TLS 2.28 to 3.6: the shared library, and programs that export its functions.
///
/// A handshake is a series of steps. `mbedtls_ssl_handshake` works through them, and a program may do so itself with
/// `mbedtls_ssl_handshake_step`: steps between which the thread does not wait are one call. Every step begins by sending what an
/// earlier one has left, and that is where it is probed. Functions and facts are found by the exported functions.
package enum MbedTLS: TLSStack {
    package static var name: String { "mbedtls" }
    package static var title: String { "Mbed TLS" }
    package static var libraries: [String] { ["libmbedtls.so", "libmbedtls-"] }
    package static var rules: SessionRules { .mbedTLS }

    static let step = "mbedtls_ssl_handshake_step"
    static let roles = ["mbedtls_ssl_handshake_client_step", "mbedtls_ssl_handshake_server_step"]
    private static let modernRoles = [
        "mbedtls_ssl_tls13_handshake_client_step", "mbedtls_ssl_tls13_handshake_server_step",
    ]
    static let handshake = "mbedtls_ssl_handshake"
    /// The functions that complete a handshake: up to TLS 1.2, and 1.3.
    static let wrapUps = ["mbedtls_ssl_handshake_wrapup", "mbedtls_ssl_tls13_handshake_wrapup"]
    private static let alert = "mbedtls_ssl_send_alert_message"
    private static let free = "mbedtls_ssl_free"
    /// Functions of established connections, where a read that has to wait is no handshake's.
    private static let others = [
        "mbedtls_ssl_read", "mbedtls_ssl_read_record", "mbedtls_ssl_write", "mbedtls_ssl_renegotiate",
        "mbedtls_ssl_close_notify", alert,
    ]

    package static func recognises(_ file: ELFFile) -> Bool { file.exportsAny(of: [step]) }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.functions(
            named: [step, handshake, alert, free] + roles + modernRoles + wrapUps + others + ContextLayout.getters)
        let calls = TestedCalls(code)
        guard let loop = HandshakeLoop(code, symbols[handshake]) else {
            throw AnalysisError("the loop of mbedtls_ssl_handshake over the steps has no known shape")
        }
        let layout = ContextLayout(code, symbols, state: loop.state)

        var result = LibraryAnalysis(stack: name, version: version(file), sites: [], notes: layout.notes)
        result.take(facts: layout.paths, expendable: ContextLayout.expendable)
        result.descriptor = layout.descriptor.map { OwnDescriptor(offset: $0, shape: .behind) }
        result.finished = MbedTLSState.finished(over: loop.over)
        var sites = SiteList(code: code)
        try addSteps(&sites, calls, symbols)
        addLoop(&sites, loop)
        for name in wrapUps {
            if let function = symbols[name] { sites.add(.callExit, name, function.address, size: function.size) }
        }
        guard sites.sites.contains(where: { $0.symbol == wrapUps[0] }) else {
            throw AnalysisError("mbedtls_ssl_handshake_wrapup is not in the symbol tables")
        }
        if let function = symbols[alert] {
            sites.add(
                .alertSent, alert, function.address, size: function.size, argument: .parameter2, argument2: .parameter1,
                flags: .step)
        } else {
            sites.notes.append("no alerts sent: \(alert) is not in the symbol tables")
        }
        if let function = symbols[free] { sites.add(.objectFree, free, function.address, size: function.size) }
        addMoments(&sites, calls, symbols, layout)
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }

    // MARK: steps

    private static func addSteps(
        _ sites: inout SiteList, _ calls: TestedCalls, _ symbols: [String: ELFSymbol]
    ) throws(AnalysisError) {
        // The step itself, and before 3.0 what it calls by the role.
        let all = calls.of("mbedtls_ssl_flush_output")
        var begins = all.filter { $0.function == symbols[step]?.address }
        if begins.isEmpty { begins = all.filter { call in roles.contains { symbols[$0]?.address == call.function } } }
        guard !begins.isEmpty else {
            throw AnalysisError("no step of a handshake begins with mbedtls_ssl_flush_output")
        }
        for (number, call) in begins.enumerated() {
            sites.add(
                .call, begins.count == 1 ? step : "\(step) (\(number + 1))", at: call.jump, object: call.object,
                argument: .result, flags: .step)
        }
        let failures = failures(calls, symbols)
        for (number, failure) in failures.enumerated() {
            sites.add(
                .callExit, "\(step) failure (\(number + 1))", at: failure.address, object: failure.object,
                argument: failure.result, flags: .step)
        }
        if failures.isEmpty {
            sites.notes.append(
                "waits of programs that make a handshake step by step are not seen: no failing step has a known shape")
        }
    }

    /// Where a step fails, or has to wait. Since 3.0 there is one such place; before, there is one behind each message that is
    /// read or written.
    private static func failures(_ calls: TestedCalls, _ symbols: [String: ELFSymbol]) -> [TestedCalls.Failure] {
        let common = (roles + modernRoles).flatMap { calls.of($0) }
            .filter { $0.function == symbols[step]?.address }.compactMap(\.failure).filter(\.isOnlyFailure)
        if let failure = common.first { return [failure] }
        let excluded = Set(others.compactMap { symbols[$0]?.address })
        let messages = ["mbedtls_ssl_read_record", "mbedtls_ssl_fetch_input", "mbedtls_ssl_write_handshake_msg"]
        // A write fails seldom: it is not worth a hit where it does not.
        return messages.flatMap { name in
            calls.of(name).filter { !excluded.contains($0.function) }.compactMap(\.failure).filter {
                $0.isOnlyFailure || name != messages[2]
            }
        }
    }

    private static func addLoop(_ sites: inout SiteList, _ loop: HandshakeLoop) {
        guard let begin = loop.begin, let exit = loop.exit else {
            sites.notes.append(
                "mbedtls_ssl_handshake is seen by its steps alone: the kernel emulates no instruction around its loop")
            return
        }
        sites.add(.call, handshake, at: begin, object: loop.object)
        sites.add(
            .callExit, "\(handshake) exit", at: exit.address, object: loop.object, argument: exit.result, flags: .inside
        )
    }

    // MARK: moments

    private static func addMoments(
        _ sites: inout SiteList, _ calls: TestedCalls, _ symbols: [String: ELFSymbol], _ layout: ContextLayout
    ) {
        let keys = calls.of("mbedtls_ssl_derive_keys") + calls.of("mbedtls_ssl_tls13_compute_handshake_transform")
        for (number, call) in keys.enumerated() {
            sites.add(
                .keyChange, "handshake keys (\(number + 1))", at: call.jump, object: call.object, phases: [.on, .full])
        }
        // Below TLS 1.3: a client reads the server's share with its parameters, a server uses the client's.
        let shares = [
            (roles[0], ["mbedtls_ecdh_read_params", "mbedtls_dhm_read_params"]),
            (roles[1], ["mbedtls_ecdh_calc_secret", "mbedtls_dhm_calc_secret"]),
        ]
        var found = 0
        for (role, names) in shares {
            for name in names {
                for call in calls.places(of: name) where call.function == symbols[role]?.address {
                    sites.add(.masterSecret, name, at: call.address, object: nil, phases: [.on, .full])
                    found += 1
                }
            }
        }
        if keys.isEmpty || found < 2 {
            sites.notes.append(
                "no key-exchange time, or of one role alone: the calls that make keys have no known shape")
        }
        let decisions = layout.protocolStores(of: roles + modernRoles)
        for (number, site) in decisions.enumerated() {
            sites.add(
                .alpnSelect, "ALPN decision (\(number + 1))", at: site.address, object: site.object,
                phases: [.on, .full])
        }
        if decisions.count < 2 {
            sites.notes.append("ALPN times of \(decisions.count) of 2 roles: nothing else stores the protocol")
        }
    }

    private static let versionMark = "bed TLS "
    private static let searchLimit: UInt64 = 16 << 20

    /// `3.5.1` of `Mbed TLS 3.5.1`, which is in libmbedcrypto where that is a file of its own.
    private static func version(_ file: ELFFile) -> String? {
        var found: String?
        DataSearch.find(file, versionMark, limit: searchLimit) { bytes, offset in
            guard let text = bytes.text(at: offset, limit: 64) else { return false }
            let word = text.dropFirst(versionMark.count)
            guard word.contains("."), word.allSatisfy({ $0.isNumber || $0 == "." }) else { return false }
            found = String(word)
            return true
        }
        return found
    }
}
