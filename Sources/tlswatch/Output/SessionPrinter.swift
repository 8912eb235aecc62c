import Glibc
import HandshakeProbe
import Handshakes

enum OutputFormat: String, CaseIterable {
    case table, json, summary, waterfall, trace
}

/// Which sessions are printed, and as what.
struct SessionSelection {
    var format: OutputFormat
    /// `nil`: all.
    var filter: HandshakeFilter?
    /// What the summary is grouped by; empty: by nothing.
    var keys: [HandshakeKey] = []
}

/// Prints sessions as they end, up to a limit, and the summary.
struct SessionPrinter {
    private let selection: SessionSelection
    private let file: OutputFile
    private let limit: UInt64?
    private let table: TableFormat
    private let waterfall: WaterfallFormat
    private var trace = TraceFormat()
    private var summary = Summary()
    private var groups: HandshakeGroups?
    /// Those that were not selected.
    private var passedOver: UInt64 = 0
    /// Those that sessions were of, selected or not, as many as are kept.
    private(set) var processes: Set<UInt32> = []
    private static let processLimit = 100_000
    private var lastProcess: UInt32?
    private var buffer: [UInt8] = []

    init(_ selection: SessionSelection, file: OutputFile, limit: UInt64?) {
        self.selection = selection
        self.file = file
        self.limit = limit
        let width = file.columns ?? TableFormat.standardWidth
        table = TableFormat(colour: file.takesColour, width: width)
        waterfall = WaterfallFormat(colour: file.takesColour, width: width)
        if !selection.keys.isEmpty { groups = HandshakeGroups(by: selection.keys) }
    }

    /// The limit is reached, or nobody reads any more.
    var isDone: Bool { limit.map { summary.sessions >= $0 } ?? false || file.isClosed }

    func begin() throws(CommandFailure) {
        switch selection.format {
        case .table: try file.write(table.header() + "\n")
        case .trace: try file.write(TraceFormat.head)
        case .json, .summary, .waterfall: break
        }
    }

    mutating func print(_ handshakes: [Handshake]) throws(CommandFailure) {
        buffer.removeAll(keepingCapacity: true)
        // By index: a session is large, and a loop over the elements copies each.
        for index in handshakes.indices where !isDone {
            guard take(handshakes[index]), groups == nil else { continue }
            switch selection.format {
            case .json: JSONLine.append(handshakes[index], to: &buffer)
            case .table: buffer += (table.line(handshakes[index]) + "\n").utf8
            case .waterfall: buffer += waterfall.text(handshakes[index]).utf8
            case .trace: trace.append(handshakes[index], to: &buffer)
            case .summary: break
            }
        }
        if !buffer.isEmpty { try file.write(buffer) }
    }

    /// Takes sessions into the summary alone: they cannot be written any more.
    mutating func count(_ handshakes: [Handshake]) {
        for handshake in handshakes where !isDone { _ = take(handshake) }
    }

    /// Whether it is one of those that were selected.
    private mutating func take(_ handshake: Handshake) -> Bool {
        if handshake.pid != lastProcess, processes.count < Self.processLimit { processes.insert(handshake.pid) }
        lastProcess = handshake.pid
        if let filter = selection.filter, !filter.passes(handshake) {
            passedOver += 1
            return false
        }
        summary.add(handshake)
        groups?.add(handshake)
        return true
    }

    /// The summary goes to standard error, unless it is what was asked for and can be written.
    mutating func finish(
        inFlight: Int, lost: UInt64, unprinted: UInt64 = 0, failure: CommandFailure? = nil
    ) throws(CommandFailure) {
        if selection.format == .trace, failure == nil { try file.write(trace.tail) }
        let text = summary.text(
            inFlight: inFlight, lost: lost, unprinted: unprinted, passedOver: selection.filter == nil ? nil : passedOver
        )
        if failure == nil, groups != nil {
            let table = GroupTable(keys: selection.keys, width: file.columns)
            let rows = groups?.rows() ?? []
            try file.write(selection.format == .json ? table.json(rows) : table.text(rows))
            tell(String(text.dropLast()))
        } else if selection.format == .summary, failure == nil {
            try file.write(text)
        } else {
            tell(String(text.dropLast()))
        }
    }
}
