import Code

/// GnuTLS 3.7 and 3.8: the shared library, as distributions and Python packages carry it.
///
/// One function makes every handshake, whoever calls it; it is exported. The facts' places are read from the code of the exported
/// functions that return them, the moments inside a handshake from hidden functions that the library's own debug texts name.
package enum GnuTLS: TLSStack {
    package static var name: String { "gnutls" }
    package static var title: String { "GnuTLS" }
    package static var libraries: [String] { ["libgnutls.so", "libgnutls-"] }
    package static var rules: SessionRules { .gnuTLS }

    private static let handshake = "gnutls_handshake"

    package static func recognises(_ file: ELFFile) -> Bool { file.exportsAny(of: [handshake]) }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.functions(named: [handshake, alertSend, free, checkVersion] + SessionLayout.getters)
        guard let function = symbols[handshake]?.address else {
            throw AnalysisError("it exports no function gnutls_handshake")
        }
        let calls = try HandshakeCall(code, function)
        let layout = SessionLayout(code, symbols, calls)

        var result = LibraryAnalysis(
            stack: name, version: version(code, symbols[checkVersion]), sites: [], notes: layout.notes)
        result.take(facts: layout.paths, expendable: SessionLayout.expendable)
        result.descriptor = layout.descriptor.map { OwnDescriptor(offset: $0, shape: .word) }
        var sites = SiteList(code: code)
        sites.add(.call, handshake, at: calls.begin, object: calls.object)
        for exit in calls.exits {
            sites.add(
                .callExit, "gnutls_handshake exit", at: exit.address, mode: exit.mode, object: calls.object,
                argument: exit.result)
        }
        if calls.exits.contains(where: { $0.mode == .singleStep }) {
            sites.notes.append(
                "gnutls_handshake exit is single-stepped: the kernel emulates no instruction that all its ways out share"
            )
        }
        if let alert = symbols[alertSend] {
            sites.add(
                .alertSent, alertSend, alert.address, size: alert.size, argument: .parameter2, argument2: .parameter1)
        } else {
            sites.notes.append("no alerts sent: gnutls_alert_send is not in the symbol tables")
        }
        if let free = symbols[free] { sites.add(.objectFree, Self.free, free.address, size: free.size) }
        addMoments(&sites, DebugNames(code, Moment.allCases.map(\.rawValue)))
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }

    /// The application sends alerts, after the handshake has failed.
    private static let alertSend = "gnutls_alert_send"
    private static let free = "gnutls_deinit"
    private static let checkVersion = "gnutls_check_version"

    /// Hidden functions.
    private enum Moment: String, CaseIterable {
        case derive = "_wrap_nettle_pk_derive"
        case keys = "_tls13_connection_state_init"
        case readKeys = "_tls13_read_connection_state_init"
        case writeKeys = "_tls13_write_connection_state_init"
        case oldKeys = "_gnutls_connection_state_init"
        case alpn = "_gnutls_alpn_recv_params"
    }

    private static func addMoments(_ sites: inout SiteList, _ names: DebugNames) {
        func add(
            _ moment: Moment, _ hook: HookKind, _ phases: Phases, object: ObjectPlace? = .parameter0,
            argument: ValuePlace? = nil
        ) -> Bool {
            guard let function = names.functions[moment.rawValue] else { return false }
            sites.add(hook, moment.rawValue, function, object: object, argument: argument, phases: phases)
            return true
        }
        // The stage of TLS 1.3's keys is the second parameter; below, there is one set.
        let hasKeys =
            add(.keys, .keyChange, [.on, .full], argument: .parameter1) && add(.oldKeys, .keyChange, [.on, .full])
        if !hasKeys {
            sites.notes.append("no key-exchange time: no one function has the debug text of its key changes")
        }
        _ = add(
            .readKeys, .keyChange, .full, argument: ValuePlace(.parameter1, offset: Int16(GnuTLSState.readKeys)))
        _ = add(
            .writeKeys, .keyChange, .full, argument: ValuePlace(.parameter1, offset: Int16(GnuTLSState.writeKeys)))
        if !add(.oldKeys, .newKeys, .off) {
            sites.notes.append("no renegotiations: no one function has the debug text of its key changes")
        }
        // Whose session it is for is not among its parameters.
        if !add(.derive, .masterSecret, [.on, .full], object: nil) {
            sites.notes.append("no key-exchange time of servers below TLS 1.3: no one function has its debug text")
        }
        if !add(.alpn, .alpnSelect, [.on, .full]) {
            sites.notes.append("the ALPN decision is seen at the next key change: no one function has its debug text")
        }
    }

    /// `gnutls_check_version(NULL)` returns "3.7.9".
    private static func version(_ code: CodeReader, _ getter: ELFSymbol?) -> String? {
        guard let getter else { return nil }
        for case .returned(.constant(let address)) in AbstractInterpreter(code: code)
            .run(getter.address, parameters: [0: .constant(0)])
        {
            guard let text = code.file.text(at: address, limit: 32), text.utf8.contains(UInt8(ascii: ".")),
                text.utf8.allSatisfy({ $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                )
            else { continue }
            return text
        }
        return nil
    }
}
