import Code

/// s2n-tls, as AWS's libraries and Python modules carry it, and as a shared library.
///
/// One function makes every handshake, whoever calls it, and its name is known wherever the linker has left any. The facts' places
/// are read from the code of the functions that return them.
package enum S2N: TLSStack {
    package static var name: String { "s2n" }
    package static var title: String { "s2n-tls" }
    package static var libraries: [String] { ["libs2n.so"] }
    /// Every error has its place in the source.
    package static var marks: [String] { ["/s2n_handshake_io.c:"] }
    package static var rules: SessionRules { .s2n }

    private static let negotiate = "s2n_negotiate"
    /// The ends of a connection's handshake, finished or not.
    private static let ends = ["s2n_connection_free", "s2n_connection_wipe"]
    private static let searchLimit: UInt64 = 64 << 20
    /// Less code than this holds no TLS stack.
    private static let smallestCode: UInt64 = 1 << 18

    package static func recognises(_ file: ELFFile) -> Bool {
        if file.exportsAny(of: [negotiate]) { return true }
        return file.codeSize >= smallestCode && marks.allSatisfy { DataSearch.holds(file, $0, limit: searchLimit) }
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.functions(named: [negotiate, ErrorNames.function] + ends + ConnectionFields.functions)
        guard let function = symbols[negotiate]?.address else {
            throw AnalysisError("its symbol tables have no function s2n_negotiate")
        }
        let call = try NegotiateCall(code, function)
        let fields = try ConnectionFields(code, symbols, call)

        var result = LibraryAnalysis(stack: name, version: nil, sites: [], notes: fields.notes)
        result.take(facts: fields.paths, expendable: ConnectionFields.expendable)
        result.descriptor = fields.descriptor
        // Without the library's own error number only the connection tells whether the handshake goes on.
        if !call.tellsError { result.waitResults = [] }
        var sites = SiteList(code: code)
        sites.add(.call, negotiate, at: call.begin, object: call.object)
        for exit in call.exits {
            sites.add(.callExit, "s2n_negotiate exit", at: exit.address, object: call.object, argument: exit.result)
        }
        if !call.tellsError {
            sites.notes.append("no reasons of failures without an alert: s2n_negotiate does not look at its error")
        } else if let names = symbols[ErrorNames.function] {
            result.reasons = ErrorNames.find(code, names)
        }
        for end in ends {
            guard let symbol = symbols[end] else {
                sites.notes.append("no end of connections by \(end): it is not in the symbol tables")
                continue
            }
            sites.add(.objectFree, end, symbol.address, size: symbol.size)
        }
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }
}
