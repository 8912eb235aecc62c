import Glibc

/// Why an ELF file cannot be read: what was attempted, on which part of the file, and the cause.
package struct ELFError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The step that failed.
    package enum Operation: String, Sendable, Equatable {
        case open, read, parse
    }

    package var operation: Operation
    /// The file, or the part of it: a path, `ELF header`, `program headers`.
    package var subject: String
    package var reason: String

    package init(_ operation: Operation, _ subject: String, _ reason: String) {
        self.operation = operation
        self.subject = subject
        self.reason = reason
    }

    /// What the system refused, in its own words.
    package init(_ operation: Operation, _ subject: String, errno number: Int32) {
        // glibc keeps a text for each thread since 2.32.
        let reason = unsafe strerror(number).map { unsafe String(cString: $0) }
        self.init(operation, subject, reason ?? "error \(number)")
    }

    package var description: String { "cannot \(operation.rawValue) \(subject): \(reason)" }
}
