import CCapstone
import Code

/// Where a server has decided the application protocol: behind libssl's call of the callback that
/// `SSL_CTX_set_alpn_select_cb` sets (`tls_handle_alpn`). Unlike `SSL_select_next_proto`, which callbacks use for it or not, it
/// knows its connection, and is used for nothing else.
struct ALPNDecision {
    let code: CodeReader

    /// Functions that have the field's offset somewhere in their code, and are looked at.
    private static let candidateLimit = 200
    /// Larger code is not searched: as in `CallFinder`.
    private static let codeLimit: UInt64 = 16 << 20

    /// - Parameters:
    ///   - setter: `SSL_CTX_set_alpn_select_cb`.
    ///   - named: `tls_handle_alpn`, where the file names it.
    func site(setter: UInt64, named: UInt64?) -> InnerSites.Site? {
        guard let field = callbackField(setter) else { return nil }
        let functions = named.map { [$0] } ?? functions(with: field)
        let sites = functions.compactMap { site(in: $0, field) }
        return sites.count == 1 ? sites.first : nil
    }

    /// Offset of the callback in `SSL_CTX`.
    private func callbackField(_ setter: UInt64) -> Int32? {
        for case .stored(let place, .place(let value, width: 0)) in AbstractInterpreter(code: code).run(setter)
        where place.root == 0 && place.count == 0 && value.root == 1 && value.count == 0 && value.displacement == 0 {
            return place.displacement
        }
        return nil
    }

    /// Functions in whose code the offset stands.
    private func functions(with field: Int32) -> [UInt64] {
        let wanted = (0..<4).map { UInt8(truncatingIfNeeded: field >> (8 * $0)) }
        var found: Set<UInt64> = []
        for area in code.file.codeRanges where area.upperBound - area.lowerBound <= Self.codeLimit {
            let bytes = code.file.bytes(at: area.lowerBound, upTo: Int(area.upperBound - area.lowerBound))
            DataSearch.find(wanted, in: bytes) { offset in
                if let function = code.file.functionExtent(containing: area.lowerBound &+ UInt64(offset)) {
                    found.insert(function.lowerBound)
                }
                return found.count >= Self.candidateLimit
            }
        }
        return found.sorted()
    }

    /// Behind the one call through that field of the connection's context.
    private func site(in function: UInt64, _ field: Int32) -> InnerSites.Site? {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        // It is a short function.
        interpreter.stepLimit = 1000
        let walk = interpreter.walk(function)
        let calls = walk.targets.compactMap { address, target -> UInt64? in
            guard let read = target.field, read.root == 0, read.offsets.count == 2, read.offsets[1] == field,
                read.width == 8
            else { return nil }
            return address
        }
        guard calls.count == 1, let call = calls.first, let extent = code.file.functionExtent(containing: function)
        else { return nil }
        let finder = InnerSites(code: code)
        let body = finder.instructions(extent)
        guard let index = body.firstIndex(where: { $0.address == call }), index + 1 < body.count,
            let register = Register.first(of: walk.passed[body[index + 1].address] ?? 0),
            let address = finder.emulated(body, after: index, keeping: register, finder.jumpTargets(body))
        else { return nil }
        return InnerSites.Site(
            address: address, object: ObjectPlace(register: UInt8(register)))
    }
}
