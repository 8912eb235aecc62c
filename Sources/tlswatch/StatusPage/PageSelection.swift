import Handshakes

/// Which sessions the page's lists are about: what was asked for in the page's address, by `/?sni=…&comm=…&stack=…&where=…`.
struct PageSelection: Sendable {
    /// The fields that have a parameter of their own, and what the page calls them.
    static let fields = [("sni", "Server name"), ("comm", "Process"), ("stack", "TLS stack")]
    static let condition = "where"

    /// As they were given, by the parameter's name; those without a value are left out.
    private(set) var given: [String: String] = [:]
    /// All of it as one condition.
    private(set) var filter: HandshakeFilter?
    /// Why it cannot be answered: no session is shown then.
    private(set) var fault: String?

    init() {}

    /// - Parameter parameters: names and values, decoded.
    init(_ parameters: [(name: String, value: String)]) {
        let known = Self.fields.map(\.0) + [Self.condition]
        for (name, value) in parameters where !value.isEmpty {
            guard known.contains(name) else {
                let meant = NearestName.of(name, among: known).map { "; did you mean '\($0)'?" } ?? ""
                fault = "unknown parameter '\(PeerText.clean(String(name.prefix(40))))'\(meant)"
                return
            }
            guard given.updateValue(value, forKey: name) == nil else {
                fault = "\(name) is given twice"
                return
            }
        }
        var conditions = Self.fields.compactMap { name, _ in given[name].map { "\(name) = \(Self.quoted($0))" } }
        do {
            if let condition = given[Self.condition] {
                // By itself first: the place of a fault is in what was written.
                _ = try HandshakeFilter(condition)
                conditions.append(conditions.isEmpty ? condition : "(\(condition))")
            }
            if !conditions.isEmpty { filter = try HandshakeFilter(conditions.joined(separator: " and ")) }
        } catch {
            fault = "\(error)"
        }
    }

    var isEmpty: Bool { given.isEmpty && fault == nil }

    /// Whether the lists show the session.
    func passes(_ handshake: Handshake) -> Bool { fault == nil && filter?.passes(handshake) ?? true }

    /// The same question to `/sessions`: a relative address.
    var sessions: String {
        guard let filter else { return "sessions" }
        return "sessions?where=\(Self.encoded(filter.description))"
    }

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// RFC 3986 section 2.1.
    private static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { result, byte in
            let isPlain =
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || "-._~".utf8.contains(byte)
            if isPlain {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }
}

extension StatusPage {
    /// A form that any browser sends, with or without scripts. Outside of what the script replaces: nothing that is being
    /// written is lost.
    static func form(_ selection: PageSelection) -> HTML {
        var html: HTML = "<form class=\"select\" method=\"get\" role=\"search\" aria-label=\"Select sessions\">"
        for (name, title) in PageSelection.fields { html += input(name, title, selection) }
        html += input(PageSelection.condition, "Condition", selection)
        html += "<button>Select</button>"
        if !selection.isEmpty { html += " <a href=\".\">all sessions</a>" }
        return html + "</form>"
    }

    private static func input(_ name: String, _ title: String, _ selection: PageSelection) -> HTML {
        """
        <label class="\(name)">\(title) <input name="\(name)" value="\(given: selection.given[name] ?? "")" \
        autocapitalize="off" autocomplete="off" spellcheck="false"></label>
        """
    }

    /// What the selection is about, or what is wrong with it.
    static func selected(_ selection: PageSelection) -> HTML {
        if let fault = selection.fault {
            return """
                <p class="notice warn" role="note"><strong>No session is selected:</strong> \
                <span class="fault">\(given: fault)</span></p>
                """
        }
        guard let filter = selection.filter else { return "" }
        return """
            <p class="notice" role="note"><strong>Selected:</strong> <code>\(given: filter.description)</code>. The lists \
            of sessions are limited to it; all figures are of all sessions.</p>
            """
    }
}
