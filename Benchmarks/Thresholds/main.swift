// Figures that must not grow: `make bench`, `make bench-allocations` for those that no busy machine disturbs, and
// `make bench-analysis`, of the files that it is given. Exits with 1 where one is past its limit. A change that needs more
// raises the limit in its own commit, and says why.
import Glibc

/// The exit status.
func readFiles(_ paths: [String]) -> Int32 {
    var report = Report()
    expectAnalyses(&report, paths)
    return finish(report)
}

/// The exit status.
func run(times: Bool) -> Int32 {
    guard let recordings = Recordings() else {
        print("no recordings could be made in /tmp")
        return 2
    }
    var report = Report()
    expectWindows(&report)
    expectSessions(&report, recordings)
    if times {
        expectInsertionTime(&report)
        expectSessionTime(&report, recordings)
        expectConditionTime(&report, recordings)
    }
    print("(\(report.sink & 1))")
    return finish(report)
}

private func finish(_ report: Report) -> Int32 {
    if report.failures > 0 { print("\(report.failures) past the limit") }
    return report.failures == 0 ? 0 : 1
}

let arguments = CommandLine.arguments.dropFirst()
exit(
    arguments.first == "--analyses"
        ? readFiles(Array(arguments.dropFirst())) : run(times: !arguments.contains("--allocations")))
