import Foundation

/// Long enough for a debug build on a busy machine; only a failure ever waits this long.
package let patience: Duration = .seconds(30)

/// Asks until the answer is yes or the time is up; says which. The pause only spares the processor:
/// nothing depends on its length.
package func eventually(within limit: Duration = patience, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now.advanced(by: limit)
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= end { return false }
        Thread.sleep(forTimeInterval: 0.002)
    }
}

/// `eventually` for tasks: blocks no thread, and the condition may itself wait.
package func becomesTrue(
    within limit: Duration = patience, _ condition: () async throws -> Bool
) async rethrows -> Bool {
    let end = ContinuousClock.now.advanced(by: limit)
    while true {
        if try await condition() { return true }
        if ContinuousClock.now >= end { return false }
        try? await Task.sleep(for: .milliseconds(2))
    }
}

/// Blocking work on a thread of its own, off those that the tasks run on.
package func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try work() }) }.start()
    }
}
