import CBPF
import Glibc

/// Why the kernel side could not do something: what failed, on what, why, and what to do.
package struct BPFError: Error, Sendable, CustomStringConvertible {
    /// What the failure means for the command's exit status.
    package enum Category: Sendable {
        /// A capability is missing: exit status 77.
        case privilege
        /// The kernel lacks what is needed: exit status 69.
        case unsupported
        /// A file or argument is at fault: exit status 65.
        case input
        /// Anything else the system refused.
        case system
    }

    package var category: Category
    /// What is the matter: `cannot load the BPF programs`.
    package var statement: String
    /// errno, positive; 0 where there is none.
    package var errno: Int32
    /// What to do about it, or what the kernel said.
    package var advice: String?

    /// - Parameter operation: what failed, and its object: `load the BPF programs`.
    package init(_ category: Category, operation: String, errno: Int32 = 0, advice: String? = nil) {
        self.init(category, statement: "cannot \(operation)", errno: errno, advice: advice)
    }

    package init(_ category: Category, statement: String, errno: Int32 = 0, advice: String? = nil) {
        self.category = category
        self.statement = statement
        self.errno = errno
        self.advice = advice
    }

    /// Maps a negative return or errno of a BPF call: EPERM and EACCES are missing privileges.
    package static func from(_ code: Int32, operation: String, advice: String? = nil) -> BPFError {
        let number = abs(code)
        let category: Category =
            switch number {
            case EPERM, EACCES: .privilege
            case ENOSYS, EOPNOTSUPP, ENOTSUP: .unsupported
            default: .system
            }
        return BPFError(category, operation: operation, errno: number, advice: advice)
    }

    package var description: String {
        var text = statement
        if errno != 0 {
            text += ": \(errnoText(errno))"
        }
        if let advice {
            text += ". \(advice)"
        }
        return text
    }
}
