import Glibc
import HandshakeProbe
import Kernel

/// Standard output or a file, written whole; a reader that went away is told apart from a failure.
final class OutputFile {
    private let descriptor: Int32
    private let owned: Bool
    private let name: String
    /// The reader closed its end (EPIPE): there is nobody left to write for.
    private(set) var isClosed = false

    init(path: String?) throws(CommandFailure) {
        guard let path else {
            descriptor = 1
            owned = false
            name = "standard output"
            return
        }
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CommandFailure(.system, "cannot write \(path): \(errnoText(errno))") }
        owned = true
        name = path
    }

    deinit {
        if owned { close(descriptor) }
    }

    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// A terminal whose user has not asked for none.
    var takesColour: Bool { isTerminal && environment("NO_COLOR") == nil }

    /// The terminal's width now; `nil` for what is none.
    var columns: Int? { isTerminal ? TerminalSize.of(descriptor)?.columns : nil }

    func write(_ bytes: [UInt8]) throws(CommandFailure) {
        var offset = 0
        while offset < bytes.count, !isClosed {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress.map { unsafe $0 + offset }, buffer.count - offset)
            }
            if count > 0 {
                offset += count
            } else if errno == EPIPE {
                isClosed = true
            } else if errno != EINTR {
                throw CommandFailure(.system, "cannot write \(name): \(errnoText(errno))")
            }
        }
    }

    func write(_ text: String) throws(CommandFailure) { try write(Array(text.utf8)) }
}
