import CCapstone
import Code

/// One instruction of `change_cipher_state` that a handshake passes once, when its first keys are installed, and that none of
/// the function's other calls comes to: it is called four times in a handshake of TLS 1.3, and each hit costs.
struct KeyChangeSites {
    let code: CodeReader

    /// What the function's second parameter says (ssl/ssl_local.h): SSL3_CC_READ 1, SSL3_CC_WRITE 2, SSL3_CC_CLIENT 0x10,
    /// SSL3_CC_SERVER 0x20, SSL3_CC_EARLY 0x40, SSL3_CC_HANDSHAKE 0x80, SSL3_CC_APPLICATION 0x100.
    struct Changes {
        /// With which a server and a client install the first keys.
        var first: [UInt64]
        var others: [UInt64]

        static let tls13 = Changes(first: [0xa2, 0x91], others: [0xa1, 0x92, 0x121, 0x122, 0x111, 0x112, 0x61, 0x52])
        /// Below, in a full handshake: a server reads with the new keys first, a client writes. A resumed one has no key
        /// exchange.
        static let tls12 = Changes(first: [0x21, 0x12], others: [0x11, 0x22])
    }

    /// Instructions of the function that are tried.
    private static let candidateLimit = 8

    /// For where a change comes to at all: the same ways over and over show nothing new.
    private var walker: AbstractInterpreter { interpreter(steps: 20_000, visits: 4, forks: 1024) }

    /// For whether it can be done some way: each of its steps may fail, and all failures have their end in common.
    private var prover: AbstractInterpreter { interpreter(steps: 60_000, visits: 512, forks: 2048) }

    private func interpreter(steps: Int, visits: Int, forks: Int) -> AbstractInterpreter {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        interpreter.mergesPaths = true
        interpreter.stepLimit = steps
        interpreter.visitLimit = visits
        interpreter.forkLimit = forks
        return interpreter
    }

    /// The site; `nil` where no instruction has a way of its own, as far as the code shows.
    func firstKeys(in function: UInt64, _ changes: Changes) -> InnerSites.Site? {
        let walks = changes.first.map { prover.walk(function, parameters: [1: .constant($0)]) }
        guard var common = walks.first?.passed, walks.allSatisfy({ Self.succeeds($0.events) }) else { return nil }
        for walk in walks.dropFirst() {
            common = common.filter { walk.passed[$0.key] != nil }
            for (address, held) in walk.passed { common[address]? &= held }
        }
        for change in changes.others {
            let others = walker.walk(function, parameters: [1: .constant(change)]).passed
            common = common.filter { others[$0.key] == nil }
        }
        let candidates = common.compactMap { address, held -> (Instruction, InnerSites.Site)? in
            guard let instruction = code.instruction(at: address), SiteChooser.isEmulated(instruction),
                let register = Register.first(of: held)
            else { return nil }
            return (
                instruction, InnerSites.Site(address: address, object: ObjectPlace(register: UInt8(register)))
            )
        }.sorted { left, right in
            // The cheapest first, then in the order of the code.
            let cheap = (SiteChooser.leavesStack(left.0), SiteChooser.leavesStack(right.0))
            return cheap.0 == cheap.1 ? left.1.address < right.1.address : cheap.0
        }
        return candidates.prefix(Self.candidateLimit).first { _, site in
            changes.first.allSatisfy { !succeeds(function, with: $0, around: site.address) }
                && isPassedOnce(site.address, function)
        }?.1
    }

    private static func succeeds(_ events: [AbstractInterpreter.Event]) -> Bool {
        events.contains(.returned(.constant(1))) || events.contains(.returned(.unknown))
    }

    /// Whether the function can install the keys without coming to `site`.
    private func succeeds(_ function: UInt64, with change: UInt64, around site: UInt64) -> Bool {
        var prover = prover
        prover.walls = [site]
        return Self.succeeds(prover.run(function, parameters: [1: .constant(change)]))
    }

    /// Whether no loop of the function leads back to `site`.
    private func isPassedOnce(_ site: UInt64, _ function: UInt64) -> Bool {
        guard let extent = code.file.functionExtent(containing: function),
            let instruction = code.instruction(at: site, before: extent.upperBound)
        else { return false }
        let finder = InnerSites(code: code)
        let body = finder.instructions(extent)
        var ways = [instruction.end]
        if instruction.kind != TLSWATCH_OP_CALL, let target = instruction.directTarget { ways.append(target) }
        return !ways.contains { finder.isReached(site, from: $0, body) }
    }
}
