import CBPF
import Synchronization

/// libbpf's own warnings, kept for error messages instead of being printed.
enum LibbpfLog {
    private static let lines = Mutex<[String]>([])

    /// Routes libbpf's messages here. Idempotent; any thread.
    static func capture() {
        unsafe tlswatch_set_log_sink { message in
            guard let message = unsafe message else { return }
            let text = unsafe String(cString: message)
            LibbpfLog.lines.withLock { lines in
                lines.append(contentsOf: text.split(separator: "\n").map(String.init))
                if lines.count > 40 { lines.removeFirst(lines.count - 40) }
            }
        }
    }

    /// The last few lines, for a person.
    static func recent() -> String {
        lines.withLock { lines in lines.suffix(8).joined(separator: " | ") }
    }
}
