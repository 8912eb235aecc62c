import CYAML

/// A node of a YAML document.
struct YAMLNode: Sendable {
    indirect enum Content: Sendable {
        /// Plain: without quotes, in no block.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        /// In the document's order; no scalar is twice among the keys.
        case mapping([(key: YAMLNode, value: YAMLNode)])
    }

    var content: Content
    /// Where it starts, from 1.
    var line: Int
}

/// Why a text is no YAML document.
struct YAMLError: Error {
    /// From 1, where one is known.
    var line: Int?
    /// Follows the file's name.
    var reason: String
}

/// Composes a document from libyaml's events. An alias is the node that it stands for.
@safe struct YAMLComposer: ~Copyable {
    private let parser: OpaquePointer
    private var anchors: [String: YAMLNode] = [:]
    private var depth = 0
    private var twice: [YAMLError] = []

    /// Collections inside each other: libyaml has no limit, and every one is a call here. The formats have four.
    static let deepest = 1_000

    /// The one document of a text, `nil` where there is none; and each mapping that has a key twice, which keeps the first.
    ///
    /// - Throws: `YAMLError`: no YAML, or more than one document.
    static func document(of text: String) throws(YAMLError) -> (node: YAMLNode?, twice: [YAMLError]) {
        var composer = try YAMLComposer(text)
        return (try composer.document(), composer.twice)
    }

    private init(_ text: String) throws(YAMLError) {
        let bytes = Array(text.utf8)
        let parser = unsafe bytes.withUnsafeBufferPointer {
            unsafe tlswatch_yaml_create($0.baseAddress, $0.count)
        }
        guard let parser = unsafe parser else { throw Self.wrong(nil) }
        unsafe self.parser = parser
    }

    deinit { unsafe tlswatch_yaml_destroy(parser) }

    private static func wrong(_ problem: String?, line: Int? = nil) -> YAMLError {
        YAMLError(line: line, reason: "is not YAML" + (problem.map { ": \($0)" } ?? ""))
    }

    private mutating func document() throws(YAMLError) -> YAMLNode? {
        _ = try next()  // the stream's start
        guard try next().kind != .streamEnd else { return nil }
        let node = try compose(next())
        _ = try next()  // the document's end
        let event = try next()
        guard event.kind == .streamEnd else { throw Self.wrong("but found another document", line: event.line) }
        return node
    }

    private mutating func compose(_ event: Event) throws(YAMLError) -> YAMLNode {
        let content: YAMLNode.Content
        switch event.kind {
        case .alias:
            guard let node = event.anchor.flatMap({ anchors[$0] }) else {
                throw Self.wrong("found undefined alias", line: event.line)
            }
            return node
        case .sequence, .mapping:
            guard depth < Self.deepest else { throw Self.wrong("it is nested too deeply", line: event.line) }
            depth += 1
            content = event.kind == .sequence ? .sequence(try elements()) : .mapping(try pairs())
            depth -= 1
        default: content = .scalar(event.text, isPlain: event.isPlain)
        }
        let node = YAMLNode(content: content, line: event.line)
        // Not before it is complete: it cannot hold itself.
        if let anchor = event.anchor { anchors[anchor] = node }
        return node
    }

    private mutating func elements() throws(YAMLError) -> [YAMLNode] {
        var elements: [YAMLNode] = []
        while true {
            let event = try next()
            if event.kind == .collectionEnd { return elements }
            elements.append(try compose(event))
        }
    }

    private mutating func pairs() throws(YAMLError) -> [(key: YAMLNode, value: YAMLNode)] {
        var pairs: [(key: YAMLNode, value: YAMLNode)] = []
        while true {
            let event = try next()
            if event.kind == .collectionEnd { break }
            let key = try compose(event)
            pairs.append((key, try compose(next())))
        }
        var lines: [String: Int] = [:]
        var again: Set<String> = []
        let unique = pairs.filter { pair in
            guard case .scalar(let text, _) = pair.key.content else { return true }
            if lines[text] == nil {
                lines[text] = pair.key.line
                return true
            }
            again.insert(text)
            return false
        }
        let sorted = again.sorted()
        if let first = sorted.first {
            twice.append(YAMLError(line: lines[first], reason: "has a key twice: \(sorted.joined(separator: ", "))"))
        }
        return unique
    }

    // MARK: events

    private struct Event {
        enum Kind { case streamEnd, alias, scalar, sequence, mapping, collectionEnd, boundary }

        var kind: Kind
        var text: String
        var isPlain: Bool
        var anchor: String?
        var line: Int

        init(_ event: tlswatch_yaml_event) {
            kind =
                switch unsafe tlswatch_yaml_kind(UInt32(event.kind)) {
                case TLSWATCH_YAML_STREAM_END: .streamEnd
                case TLSWATCH_YAML_ALIAS: .alias
                case TLSWATCH_YAML_SCALAR: .scalar
                case TLSWATCH_YAML_SEQUENCE_START: .sequence
                case TLSWATCH_YAML_MAPPING_START: .mapping
                case TLSWATCH_YAML_COLLECTION_END: .collectionEnd
                default: .boundary
                }
            text = unsafe String(
                decoding: UnsafeBufferPointer(start: event.text, count: event.length), as: UTF8.self)
            isPlain = unsafe event.plain
            anchor = unsafe event.anchor.map { unsafe String(cString: $0) }
            line = unsafe Int(event.line)
        }
    }

    private mutating func next() throws(YAMLError) -> Event {
        var event = unsafe tlswatch_yaml_event()
        guard unsafe tlswatch_yaml_next(parser, &event) else {
            let line = unsafe tlswatch_yaml_problem_line(parser)
            throw Self.wrong(
                unsafe tlswatch_yaml_problem(parser).map { unsafe String(cString: $0) },
                line: line > 0 ? Int(line) : nil)
        }
        return unsafe Event(event)
    }
}
