import Foundation

/// What `make deps` fetches for the tests.
package enum TestCache {
    /// Where scripts/fetch-tls-builds.sh unpacks it.
    package static let directory: String = {
        let environment = ProcessInfo.processInfo.environment
        func given(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let path = given("TLSWATCH_TEST_CACHE") { return path }
        return (given("XDG_CACHE_HOME") ?? (given("HOME") ?? "/var/tmp") + "/.cache") + "/tlswatch-tests"
    }()
}
