import Glibc
import Kernel

/// How long libraries are kept that no process maps any more.
///
/// Not at all, except where a program that starts later will find them and nobody wants to unmount them: replaced ones go,
/// and those of containers and of other mounts, which the probes keep busy. Never reads a clock: times are monotonic
/// nanoseconds.
struct LibraryRetention {
    /// A short program may run again.
    private static let patience: UInt64 = 1_000_000_000
    /// Between two looks whether the file of a kept library is still there.
    private static let keeping: UInt64 = 10_000_000_000
    /// Directories whose file systems stay mounted while the host runs.
    private static let systemPlaces = ["/", "/usr/lib"]

    /// Looks at files: they may have moved to where nothing answers.
    private let reader: ForeignReader

    init(reader: ForeignReader) { self.reader = reader }

    /// When a library was first seen without a process, and when it is next asked whether it is to be kept.
    private var unused: [Int: (since: UInt64, asked: UInt64)] = [:]

    /// Some process maps it, or it is gone.
    mutating func forget(_ identifier: Int) { unused[identifier] = nil }

    /// Whether a library without a process is to be let go of now.
    ///
    /// - Parameter isNamed: it was not met in a process: the user's, the linker cache's.
    mutating func isOver(_ identifier: Int, _ library: ObservedLibrary, isNamed: Bool, now: UInt64) -> Bool {
        guard let when = unused[identifier] else {
            unused[identifier] = (now, now + Self.patience)
            return false
        }
        guard now >= when.asked else { return false }
        guard willBeFound(library, isNamed: isNamed) else { return true }
        unused[identifier]?.asked = now + Self.keeping
        return false
    }

    /// The one of `candidates` that has been without a process longest, and long enough that nothing of it can be on its way
    /// any more.
    func longestUnused(among candidates: some Sequence<Int>, now: UInt64) -> Int? {
        let longest = candidates.compactMap { identifier in unused[identifier].map { (identifier, since: $0.since) } }
            .min { $0.since < $1.since }
        guard let longest, now > longest.since, now - longest.since >= Self.patience else { return nil }
        return longest.0
    }

    private func willBeFound(_ library: ObservedLibrary, isNamed: Bool) -> Bool {
        guard library.state == .attached else { return false }
        let answer = reader.look(at: .path(library.path), asking: HostView.root + library.path) {
            guard Self.isThere(library, root: HostView.root) || Self.isThere(library, root: "") else { return false }
            return isNamed || Self.isInSystemPlace(library)
        }
        // What does not answer has not gone.
        return answer.value ?? true
    }

    private static func isInSystemPlace(_ library: ObservedLibrary) -> Bool {
        systemPlaces.contains { name in
            var status = stat()
            return unsafe stat(HostView.root + name, &status) == 0
                && UInt64(status.st_dev) == library.identity.device
        }
    }

    private static func isThere(_ library: ObservedLibrary, root: String) -> Bool {
        guard let file = OpenFile(root + library.path) else { return false }
        return file.identity == library.identity
    }
}
