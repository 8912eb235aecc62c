import Testing

/// Both sides of each equation of conservation.
struct Books {
    let hits, events, dropped, skipped, decoded, rejected, started, ended, inFlight: Double

    init(_ metrics: Metrics) {
        hits = metrics.sum("tlswatch_probe_hits_total")
        events = metrics.sum("tlswatch_events_total")
        dropped = metrics.sum("tlswatch_events_dropped_total")
        skipped = metrics.sum("tlswatch_events_skipped_total")
        decoded = metrics.sum("tlswatch_events_decoded_total")
        rejected = metrics.sum("tlswatch_events_rejected_total")
        started = metrics.sum("tlswatch_sessions_started_total")
        ended = metrics.sum("tlswatch_handshakes_total")
        inFlight = metrics.sum("tlswatch_handshakes_in_flight")
    }

    var balance: Bool {
        hits == events + dropped + skipped && events == decoded + rejected && started == ended + inFlight
    }
}

/// The books of an observer at rest (the contract's conservation), to the unit.
func expectConservation(_ metrics: Metrics, sourceLocation: SourceLocation = #_sourceLocation) {
    let books = Books(metrics)
    #expect(books.hits > 0, sourceLocation: sourceLocation)
    #expect(books.events > 0, sourceLocation: sourceLocation)
    #expect(books.started > 0, sourceLocation: sourceLocation)
    #expect(books.hits == books.events + books.dropped + books.skipped, "\(books)", sourceLocation: sourceLocation)
    #expect(books.events == books.decoded + books.rejected, "\(books)", sourceLocation: sourceLocation)
    #expect(books.rejected == 0, "\(books)", sourceLocation: sourceLocation)
    #expect(books.started == books.ended + books.inFlight, "\(books)", sourceLocation: sourceLocation)
}
