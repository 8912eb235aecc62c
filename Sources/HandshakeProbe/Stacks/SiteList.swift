import Code

/// Collects probe sites, and the reasons for those that are missing or dear.
struct SiteList {
    let code: CodeReader
    private(set) var sites: [ProbeSite] = []
    var notes: [String] = []

    init(code: CodeReader) { self.code = code }

    /// Adds a site at the beginning of the function at `address`; `size` bounds it where the file has no unwind
    /// information. The TLS object is the first parameter, unless another place is named.
    mutating func add(
        _ hook: HookKind, _ symbol: String, _ address: UInt64, size: UInt64 = 0, object: ObjectPlace? = .parameter0,
        argument: ValuePlace? = nil, argument2: ValuePlace? = nil, bytes: UInt16 = 0, returns: Bool = false,
        flags: SiteFlags = [], phases: Phases = .all
    ) {
        let end = code.file.functionExtent(containing: address)?.upperBound ?? address.addingClamped(size)
        guard address < end, code.file.isCode(address) else {
            notes.append("\(symbol) is left out: the file does not say where it ends")
            return
        }
        let needed = [object, argument, argument2].compactMap { place in
            place.flatMap { Register.parameters.firstIndex(of: Int($0.register)) }
        }
        let chooser = SiteChooser(code: code)
        guard let site = chooser.choose(address..<end, parameters: needed, needsReturn: returns),
            let offset = code.file.fileOffset(ofAddress: site.address)
        else {
            notes.append("\(symbol) is left out: a loop leads back to its first instruction")
            return
        }
        if let note = site.note { notes.append("\(symbol) is single-stepped: \(note)") }
        var probe = ProbeSite(
            hook: hook, symbol: symbol, fileOffset: offset, mode: site.mode, object: object, argument: argument,
            argument2: argument2, bytes: bytes, returns: returns, phases: phases)
        probe.flags = flags
        append(probe)
    }

    /// Adds a site inside a function, at an instruction that the kernel emulates, unless `mode` says otherwise: then there is no
    /// other.
    mutating func add(
        _ hook: HookKind, _ symbol: String, at address: UInt64, mode: SiteMode = .emulated, object: ObjectPlace?,
        argument: ValuePlace? = nil, argument2: ValuePlace? = nil, bytes: UInt16 = 0, flags: SiteFlags = [],
        phases: Phases = .all
    ) {
        guard let offset = code.file.fileOffset(ofAddress: address) else { return }
        var site = ProbeSite(
            hook: hook, symbol: symbol, fileOffset: offset, mode: mode, isIndispensable: mode == .singleStep,
            object: object, argument: argument, argument2: argument2, bytes: bytes, phases: phases)
        site.flags = flags
        append(site)
    }

    private mutating func append(_ site: ProbeSite) {
        guard !sites.contains(where: { $0.hook == site.hook && $0.fileOffset == site.fileOffset }) else { return }
        sites.append(site)
    }
}

extension Fact {
    /// Why it was not found in the code of a function: for `doctor` and `targets`.
    func missing(in function: String, _ symbols: [String: ELFSymbol], places: Int) -> String {
        symbols[function] == nil
            ? "no \(self): \(function) is not in the symbol tables"
            : "no \(self): the code of \(function) gives \(places) places"
    }
}
