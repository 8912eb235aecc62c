import CCapstone
import Code

/// wolfSSL (lighttpd's module, curl's builds with it, embedded systems): the shared library.
///
/// Four exported functions make handshakes, those of either role for TLS 1.3 and below; one goes over into another. That one is
/// complete shows where they look for the callback that tells the application.
package enum WolfSSL: TLSStack {
    package static var name: String { "wolfssl" }
    package static var title: String { "wolfSSL" }
    package static var libraries: [String] { ["libwolfssl.so"] }
    package static var rules: SessionRules { .wolfSSL }

    private static let functions = [
        "wolfSSL_accept", "wolfSSL_connect", "wolfSSL_accept_TLSv13", "wolfSSL_connect_TLSv13",
    ]
    private static let free = "wolfSSL_free"
    private static let libraryVersion = "wolfSSL_lib_version"
    /// Hidden.
    private static let keys = "DeriveTls13Keys"

    package static func recognises(_ file: ELFFile) -> Bool {
        file.exportsAny(of: ["wolfSSL_connect", "wolfSSL_accept"])
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.functions(
            named: functions + [free, libraryVersion] + WolfSSLLayout.getters)
        var layout = WolfSSLLayout(code, symbols)
        guard let callback = layout.callback else {
            throw AnalysisError("wolfSSL_SetHsDoneCb does not tell where a connection keeps its callback")
        }
        guard let error = layout.error else {
            throw AnalysisError("wolfSSL_want_read does not tell where a connection keeps its error")
        }
        guard let server = layout.server else {
            throw AnalysisError("wolfSSL_is_server does not tell where a connection keeps its role")
        }
        var sites = SiteList(code: code)
        var states: Set<Int32> = []
        let beginnings = Set(functions.compactMap { symbols[$0]?.address })
        for name in functions {
            guard let function = symbols[name] else {
                sites.notes.append("\(name) is not in the symbol tables")
                continue
            }
            let found = try HandshakeFunction(
                code, name, function.address, callback: callback,
                isSibling: { beginnings.contains(code.behindStub($0)) })
            states.insert(found.state)
            sites.add(.call, name, at: found.begin, object: found.object, flags: .joins)
            sites.add(.callExit, "\(name) done", at: found.done, object: found.object)
            for exit in found.exits {
                sites.add(
                    .callExit, "\(name) exit", at: exit.address, object: found.object,
                    argument: .memory(found.object, offset: error), flags: exit.flags)
            }
        }
        guard !states.isEmpty else { throw AnalysisError("none of its functions that make handshakes has a name") }
        layout.addStates(states)
        if let free = symbols[free] { sites.add(.objectFree, Self.free, free.address, size: free.size) }
        if let keys = DebugNames(code, [keys]).functions[keys] {
            sites.add(.keyChange, Self.keys, keys, argument: .parameter1, phases: [.on, .full])
        } else {
            sites.notes.append("no key-exchange time: no one function has the debug text of its key changes")
        }

        var result = LibraryAnalysis(
            stack: name, version: version(code, symbols[libraryVersion]), sites: sites.sites,
            notes: layout.notes + sites.notes)
        result.take(facts: layout.paths, expendable: WolfSSLLayout.expendable)
        result.server = server
        result.descriptor = layout.descriptor.map { OwnDescriptor(offset: $0, shape: .number) }
        return result
    }

    /// `wolfSSL_lib_version()` returns "5.5.4".
    private static func version(_ code: CodeReader, _ getter: ELFSymbol?) -> String? {
        guard let getter else { return nil }
        for case .returned(.constant(let address)) in AbstractInterpreter(code: code).run(getter.address) {
            guard let text = code.file.text(at: address, limit: 32), text.first?.isNumber ?? false,
                text.utf8.allSatisfy({ $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                )
            else { continue }
            return text
        }
        return nil
    }
}
