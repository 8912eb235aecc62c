import Code

/// NSS (Firefox, Thunderbird, libcurl3-nss, the NSS tools): libssl3.so, since 3.30.
///
/// The functions that matter are hidden. An application can ask to be told of what they do, so the exported setters of these
/// callbacks say where a socket keeps them, and the functions that load them are the events.
package enum NSS: TLSStack {
    package static var name: String { "nss" }
    package static var title: String { "NSS" }
    package static var libraries: [String] { ["libssl3.so"] }
    package static var rules: SessionRules { .nss }

    private static let exports = ["SSL_ForceHandshake"]
    private static let versionText = "Version: NSS "
    private static let searchLimit: UInt64 = 16 << 20

    package static func recognises(_ file: ELFFile) -> Bool { file.exportsAny(of: exports) }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let layout = try SocketLayout(code)
        let callbacks = CallbackSites(layout: layout)
        guard let finish = callbacks.finish() else {
            throw AnalysisError("not one function calls what SSL_HandshakeCallback sets")
        }
        let calls = HandshakeLoops(layout: layout)
        let loops = calls.loops()
        guard !loops.isEmpty else { throw AnalysisError("no loop over a handshake's steps has the known shape") }

        guard let server = layout.server else {
            throw AnalysisError("a client's first step is in the same place of a page as a server's")
        }

        let facts = FactLayout(layout)
        var result = LibraryAnalysis(stack: name, version: version(file), sites: [], notes: facts.notes)
        result.take(facts: facts.paths, expendable: expendable)
        result.server = server
        var sites = SiteList(code: code)
        for (number, loop) in loops.enumerated() {
            let name = loops.count == 1 ? "ssl_Do1stHandshake" : "ssl_Do1stHandshake (\(number + 1))"
            sites.add(.call, name, at: loop.entry, object: loop.object, argument2: loop.next, flags: .steps)
            sites.add(
                .callExit, "\(name) step", at: loop.exit, object: loop.exitObject, argument: .result,
                argument2: loop.exitNext, flags: [.steps, .inside])
        }
        add(&sites, "SSL_ForceHandshake", calls.force())
        for name in ["SSL_AuthCertificateComplete", "SSL_ClientCertCallbackComplete"] {
            add(&sites, name, calls.completion(name))
        }
        sites.add(.callExit, "ssl_FinishHandshake", finish)
        addEvents(&sites, callbacks)
        addMoments(&sites, callbacks, file)
        if let close = SocketOperations.close(code) {
            sites.add(.objectFree, "ssl_SecureClose", close)
        } else {
            sites.notes.append("no end of sockets: their operations are in no known table")
        }
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }

    private static func add(_ sites: inout SiteList, _ name: String, _ call: HandshakeLoops.Resumption?) {
        guard let call else {
            sites.notes.append("what goes on in \(name) is seen by its end alone: its code has no known shape")
            return
        }
        sites.add(.call, name, at: call.entry, object: call.object, flags: .continues)
        sites.add(
            .callExit, "\(name) exit", at: call.exit, object: call.exitObject, argument: .result, flags: .inside)
    }

    private static func addEvents(_ sites: inout SiteList, _ callbacks: CallbackSites) {
        if let sent = callbacks.fatalAlertSent() {
            sites.add(.fatal, "SSL3_SendAlert", at: sent.address, object: sent.object, argument: sent.argument)
        } else {
            sites.notes.append("no alerts sent: not one function calls what SSL_AlertSentCallback sets")
        }
        if let received = callbacks.alertReceived() {
            sites.add(
                .fatal, "ssl3_HandleAlert", at: received.address, object: received.object,
                argument: received.argument, argument2: received.argument2)
        } else {
            sites.notes.append("no alerts received: not one place calls what SSL_AlertReceivedCallback sets")
        }
    }

    private static func addMoments(_ sites: inout SiteList, _ callbacks: CallbackSites, _ file: ELFFile) {
        let keys = KeySites(code: sites.code).sites()
        for (number, site) in keys.enumerated() {
            sites.add(
                .keyChange, "tls13_SetCipherSpec (\(number + 1))", at: site.address, object: site.object,
                phases: [.on, .full])
        }
        if keys.count < 2 {
            sites.notes.append("key-exchange times of \(keys.count) of 2 roles: the others' code has no known shape")
        }
        if let chosen = callbacks.protocolChosen() {
            sites.add(
                .alpnSelect, "ssl3_SelectAppProtocol", at: chosen.address, object: chosen.object, phases: [.on, .full])
        } else {
            sites.notes.append("no ALPN time of servers: no call of a known shape chooses the protocol")
        }
        if let answer = callbacks.protocolAnswer(ExtensionHandlers.applicationProtocol(file)) {
            sites.add(.alpnAnswer, "ssl3_ClientHandleAppProtoXtn", answer, phases: [.on, .full])
        } else {
            sites.notes.append("no ALPN time of clients: the tables of extensions do not tell who reads the answer")
        }
    }

    /// `3.87.1` of `Version: NSS 3.87.1`.
    private static func version(_ file: ELFFile) -> String? {
        var found: String?
        DataSearch.find(file, versionText, limit: searchLimit) { bytes, offset in
            guard let text = bytes.text(at: offset, limit: 64) else { return false }
            let word = text.dropFirst(versionText.count).prefix { $0.isNumber || $0 == "." }
            if word.contains(".") { found = String(word) }
            return found != nil
        }
        return found
    }
}
