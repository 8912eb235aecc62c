import CEvents
import Code

/// A TLS implementation that tlswatch knows: a folder beside this file and a row in `TLSStacks.builtIn`. Everything else that
/// is to be known of it derives from here.
package protocol TLSStack: Sendable {
    /// In every output: `openssl`.
    static var name: String { get }
    /// In a sentence: `OpenSSL`.
    static var title: String { get }
    /// How the names of its shared libraries begin (`libssl.so`): the linker's cache is asked for them.
    static var libraries: [String] { get }
    /// The file beside a shared library that belongs to it; `nil` where there is none.
    static var companion: CompanionName? { get }
    /// Texts in the constants of a program that has the stack inside, all of them, and in no other's: known by them where
    /// its machine code cannot be read. None: not known so.
    static var marks: [String] { get }
    /// A quick look: could this file hold code of the stack?
    static func recognises(_ file: ELFFile) -> Bool
    /// Finds the probe sites and the facts' places.
    static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis
    /// What the numbers in its records mean.
    static var rules: SessionRules { get }
    /// The same of one version of it (`LibraryAnalysis.version`), where that is not the same.
    static func rules(version: String?) -> SessionRules
}

extension TLSStack {
    package static var companion: CompanionName? { nil }
    package static var marks: [String] { [] }
    package static func rules(version: String?) -> SessionRules { rules }
}

/// How the file is called that a shared library of a stack needs beside it, and whose version and probes are the library's:
/// as the library, but for how the name begins.
package struct CompanionName: Sendable, Equatable {
    /// How the names of the library begin: `libssl`.
    package var library: String
    /// How those of its companion begin: `libcrypto`.
    package var companion: String

    package init(of library: String, companion: String) {
        (self.library, self.companion) = (library, companion)
    }

    /// `libcrypto.so.3` for `libssl.so.3`, `/a/libcrypto.so.3` for `/a/libssl.so.3`; `nil` for what is no such library.
    func beside(_ library: String) -> String? {
        let start = library.lastIndex(of: "/").map(library.index(after:)) ?? library.startIndex
        guard library[start...].hasPrefix(self.library) else { return nil }
        return library[..<start] + companion + library[start...].dropFirst(self.library.count)
    }
}

/// The stacks, in the order in which a file is tried.
package struct TLSStacks: Sendable {
    package static let builtIn = TLSStacks([
        Go.self, OpenSSL.self, S2N.self, BoringSSL.self, GnuTLS.self, NSS.self, WolfSSL.self, MbedTLS.self,
        Rustls.self,
    ])

    let all: [any TLSStack.Type]

    init(_ all: [any TLSStack.Type]) { self.all = all }

    /// The analysis by the first stack that recognises the file and can read it; `nil` where none recognises it.
    ///
    /// - Throws: the first one's error where none can read it.
    package func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis? {
        var failure: AnalysisError?
        for stack in all where stack.recognises(file) {
            do throws(AnalysisError) {
                return try stack.analyse(file)
            } catch {
                // Texts are in what looks for a stack, too, and it may have another inside.
                var error = error
                error.stack = stack.name
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return nil
    }

    func named(_ name: String) -> (any TLSStack.Type)? { all.first { $0.name == name } }

    /// Their names in a sentence.
    var titles: String { all.map { $0.title }.joined(separator: ", ") }

    /// How the names of shared libraries begin that hold one, and of their companions.
    var libraries: [String] {
        all.flatMap { stack in stack.libraries + stack.libraries.compactMap { stack.companion?.beside($0) } }
    }

    /// The stack that a shared library's file name stands for.
    func named(ofLibrary name: some StringProtocol) -> (any TLSStack.Type)? {
        all.first { $0.libraries.contains { name.hasPrefix($0) } }
    }

    /// What the companion of a shared library is called, by its own name or path.
    func companion(beside library: String) -> String? {
        all.lazy.compactMap { $0.companion?.beside(library) }.first
    }
}

/// Why a file that holds a known TLS stack cannot be observed.
package struct AnalysisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed and why, in a sentence.
    package var description: String
    /// The stack, where the file has it and is of a release that is too old to be observed.
    package var outdated: String?
    /// The stack whose analysis failed, where several were tried.
    package var stack: String?

    package init(_ description: String, outdated: String? = nil) {
        (self.description, self.outdated) = (description, outdated)
    }
}
