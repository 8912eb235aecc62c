import HandshakeProbe
import Testing

@testable import tlswatch

@Suite("The report of what was not observed") struct UnobservedReportTests {
    private func sighting(_ path: String, _ kind: Sighting.Kind, pids: Set<UInt32> = [7]) -> Sighting {
        Sighting(path: path, stack: "botan", kind: kind, processes: pids, command: "client")
    }

    @Test("Each file has a line that says who used it and why it was not observed")
    func eachFileHasALine() {
        let kind = Sighting.Kind.unobserved(reason: "unsupported_stack", detail: "Botan is not supported yet")
        #expect(
            UnobservedReport.lines([sighting("/a", kind), sighting("/b", kind, pids: [7, 8, 9])], omitted: 0) == [
                "not observed: /a (client): Botan is not supported yet (unsupported_stack)",
                "not observed: /b (client and 2 more processes): Botan is not supported yet (unsupported_stack)",
            ])
        #expect(
            UnobservedReport.lines([sighting("/c\u{1b}", .late(12_345_678))], omitted: 0) == [
                "observed late: /c\u{fffd} (client): probes were attached 12 ms after the library was loaded; "
                    + "handshakes before that are missing"
            ])
        #expect(UnobservedReport.lines([], omitted: 0).isEmpty)
        #expect(
            UnobservedReport.lines([sighting("/a", kind)], omitted: 0, byWire: true) == [
                "observed by packets only: /a (client): Botan is not supported yet (unsupported_stack)"
            ])
    }

    @Test("Ten lines at most, and one that counts the rest")
    func theRestOfTheLinesIsCounted() {
        let many = (0..<15).map { sighting("/\($0)", .late(nil)) }
        let lines = UnobservedReport.lines(many, omitted: 3)
        #expect(lines.count == 11)
        #expect(lines.last?.contains(" 8 more") == true)
    }
}
