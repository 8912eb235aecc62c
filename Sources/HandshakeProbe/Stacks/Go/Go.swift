import Code

/// crypto/tls of Go 1.18 and later, linked into programs and into libraries.
///
/// Nothing here depends on a version's layout: functions are found by name in the runtime's own tables, fields by name in the
/// type data, and the two sites by the code around the one call that every handshake passes.
package enum Go: TLSStack {
    package static var name: String { "go" }
    package static var title: String { "Go's crypto/tls" }
    package static var libraries: [String] { [] }
    package static var marks: [String] { ["crypto/tls.(*Conn).handshakeContext"] }
    package static var rules: SessionRules { .go }

    /// Go's own package; others of the same analysis are forks of it.
    static let package = "crypto/tls"
    /// Since 1.17 every handshake of either role passes this method.
    static let method = ".(*Conn).handshakeContext"
    /// A program that has it, and not the one above, was made by an older Go.
    private static let oldMethod = ".(*Conn).Handshake"

    package static func recognises(_ file: ELFFile) -> Bool {
        guard GoBinary.isGo(file) else { return false }
        do throws(GoError) {
            return try !GoBinary(file).functionNames(endingIn: method, limit: 1).isEmpty
        } catch {
            // What it is said to be may still be said of it: that is cheap where it is no TLS program.
            return error == .notGo ? false : DataSearch.holds(file, package + oldMethod, limit: searchLimit)
        }
    }

    private static let searchLimit: UInt64 = 128 << 20

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let binary: GoBinary
        do throws(GoError) {
            binary = try GoBinary(file)
        } catch {
            throw AnalysisError(error, version: GoBinary.version(of: file))
        }
        let packages = packages(binary)
        guard let types = binary.types() else {
            throw AnalysisError("it was made by Go, and its type data is of no known kind")
        }
        var found: [LibraryAnalysis] = []
        var failures: [(package: String, error: AnalysisError)] = []
        for package in packages {
            do throws(AnalysisError) {
                found.append(try analyse(package, binary, types, file))
            } catch {
                failures.append((GoLayout.importPath(package), error))
            }
        }
        guard var result = found.first else {
            throw failures.first?.error ?? AnalysisError("it has no handshakeContext of crypto/tls")
        }
        result.forks = Array(found.dropFirst())
        // Whoever asks about the file asks about all that is in it.
        result.notes += result.forks.flatMap(\.notes)
        result.notes += failures.map { "handshakes of \($0.package) are not observed: \($0.error)" }
        return result
    }

    private static func analyse(
        _ package: String, _ binary: GoBinary, _ types: GoTypes, _ file: ELFFile
    ) throws(AnalysisError) -> LibraryAnalysis {
        let path = GoLayout.importPath(package)
        let layout = try GoLayout(package: package, types)
        let sites = try GoSites(
            package: package, layout: layout, functions: binary.functions(of: package), code: CodeReader(file))
        var result = LibraryAnalysis(
            stack: name, version: binary.version, sites: sites.sites,
            notes: (layout.notes + sites.notes).map { path == Self.package ? $0 : "\(path): \($0)" })
        result.take(facts: layout.facts, expendable: GoLayout.expendable)
        result.interfaces = GoInterfaces(package: path, layout: layout, types).layout
        return result
    }

    /// Packages of one file that are observed; the largest number seen is 2.
    private static let packageLimit = 8

    /// The packages with a handshake, Go's own first.
    private static func packages(_ binary: GoBinary) -> [String] {
        let names = Set(binary.functionNames(endingIn: method).map { String($0.dropLast(method.utf8.count)) })
        return Array(names.sorted { ($0 != package ? 1 : 0, $0) < ($1 != package ? 1 : 0, $1) }.prefix(packageLimit))
    }
}

extension AnalysisError {
    init(_ error: GoError, version: String?) {
        switch error {
        case .tooOld:
            let made = version.map { "it was made by \($0)" } ?? "it was made by an old Go"
            self.init("\(made); Go 1.18 or later can be observed", outdated: Go.name)
        case .unknown(let what): self.init("it was made by Go, and \(what)")
        case .notGo: self.init("it was not made by Go")
        }
    }
}
