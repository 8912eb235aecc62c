import Testing

@testable import HandshakeProbe

/// Sites inside functions, on small assembled ones: each form that is known, and each that must be refused.
@Suite struct InnerSitesTests {
    /// push r15; mov r15, rdi; call; add dword [r15+0x6c], 1
    private static let entry: [UInt8] =
        [0x41, 0x57, 0x49, 0x89, 0xff, 0xe8, 0, 0, 0, 0, 0x41, 0x83, 0x47, 0x6c, 0x01]
    /// sub dword [r15+0x6c], 1
    private static let lower: [UInt8] = [0x41, 0x83, 0x6f, 0x6c, 0x01]
    /// mov rdi, rbp; call; pop r15; ret
    private static let leave: [UInt8] = [0x48, 0x89, 0xef, 0xe8, 0, 0, 0, 0, 0x41, 0x5f, 0xc3]

    private func exits(_ code: [UInt8]) throws -> [InnerSites.Site]? {
        let start = CodeImage.codeAddress
        return InnerSites(code: try CodeImage.reader(code)).exits(in: start..<start + UInt64(code.count))
    }

    private func place(_ offset: Int) -> UInt64 { CodeImage.codeAddress + UInt64(offset) }

    @Test("The call behind the lowered count, with the object in the register that holds it")
    func found() throws {
        let code = Self.entry + Self.lower + Self.leave
        let site = InnerSites.Site(
            address: place(Self.entry.count + Self.lower.count + 3), object: ObjectPlace(.r15, offset: 0))
        #expect(try exits(code) == [site])
    }

    @Test("inc and dec, and an address inside the object: what it is off by is taken away again")
    func otherForms() throws {
        // push rbx; lea rbx, [rdi+0x48]; inc dword [rbx+0x24]; dec dword [rbx+0x24]; addr32 call; pop rbx; ret
        let code: [UInt8] =
            [0x53, 0x48, 0x8d, 0x5f, 0x48, 0xff, 0x43, 0x24, 0xff, 0x4b, 0x24, 0x67, 0xe8, 0, 0, 0, 0, 0x5b, 0xc3]
        #expect(
            try exits(code) == [InnerSites.Site(address: place(11), object: ObjectPlace(.rbx, offset: -0x48))])
    }

    @Test("Every way out has its site, and the register may serve for other things in between")
    func twoExits() throws {
        // mov rbx, r15; mov r15, rcx; mov r15, rbx
        let elsewhere: [UInt8] = [0x4c, 0x89, 0xfb, 0x49, 0x89, 0xcf, 0x49, 0x89, 0xdf]
        let code = Self.entry + Self.lower + Self.leave + elsewhere + Self.lower + Self.leave
        let sites = try #require(try exits(code))
        #expect(sites.count == 2 && sites.allSatisfy { $0.object == ObjectPlace(.r15) })
    }

    @Test(
        "Refused rather than guessed",
        arguments: [
            ("the count is never lowered", entry + leave),
            ("another field is lowered", entry + [0x41, 0x83, 0x6f, 0x70, 0x01] + leave),
            ("another register's field is lowered", entry + [0x41, 0x83, 0x6e, 0x6c, 0x01] + leave),
            ("the register changes on the way", entry + lower + [0x49, 0x89, 0xc7] + leave),
            ("nothing cheap stands behind it", entry + lower + [0x48, 0x89, 0xef, 0xc3]),
            ("a jump leads to the site itself", entry + [0xeb, 0x08] + lower + leave),
            (
                "the register holds another parameter",
                [0x41, 0x57, 0x49, 0x89, 0xf7] + entry[10...] + lower + leave
            ),
            ("the object is copied behind a call", [0xe8, 0, 0, 0, 0] + entry + lower + leave),
            ("one of two ways out is not shown", entry + lower + leave + lower + [0xc3]),
        ])
    func refused(_ why: String, _ code: [UInt8]) throws {
        #expect(try exits(code) == nil, "\(why)")
    }

    // MARK: calls

    /// push rbx; mov rbx, rdi
    private static let begin: [UInt8] = [0x53, 0x48, 0x89, 0xfb]
    /// xor esi, esi; call; test eax, eax; jle
    private static let asksSize: [UInt8] = [0x31, 0xf6, 0xe8, 0, 0, 0, 0, 0x85, 0xc0, 0x7e, 0x00]
    /// mov rsi, rbp; call; test eax, eax; jle
    private static let works: [UInt8] = [0x48, 0x89, 0xee, 0xe8, 0, 0, 0, 0, 0x85, 0xc0, 0x7e, 0x00]
    private static let end: [UInt8] = [0x5b, 0xc3]

    private func agreement(_ code: [UInt8], calls: [Int]) throws -> InnerSites.Agreement? {
        let start = CodeImage.codeAddress
        return InnerSites(code: try CodeImage.reader(code))
            .agreement(calls.map(place), in: start..<start + UInt64(code.count))
    }

    @Test("Of the call that asks for the size and the one that works, the second, and the jump on its result")
    func working() throws {
        let code = Self.begin + Self.asksSize + Self.works + Self.end
        let found = try #require(try agreement(code, calls: [6, 18]))
        #expect(found.call == InnerSites.Site(address: place(18), object: ObjectPlace(.rbx)))
        #expect(found.exit == InnerSites.Site(address: place(25), object: ObjectPlace(.rbx)))
    }

    @Test("Other numbers and kinds of calls are not understood, and so not probed")
    func otherCalls() throws {
        let both = Self.begin + Self.works + Self.works + Self.end
        #expect(try agreement(both, calls: [7, 19]) == nil, "neither asks for the size")
        let none = Self.begin + Self.asksSize + Self.asksSize + Self.end
        #expect(try agreement(none, calls: [6, 17]) == nil, "both ask for the size")
        let three = Self.begin + Self.asksSize + Self.works + Self.works + Self.end
        #expect(try agreement(three, calls: [6, 18, 30]) == nil, "three calls")
        // mov eax, ebx before the jump: the result is gone.
        let gone = Self.begin + Self.asksSize + [0x48, 0x89, 0xee, 0xe8, 0, 0, 0, 0, 0x89, 0xd8, 0x7e, 0x00] + Self.end
        #expect(try agreement(gone, calls: [6, 18]) == nil, "the result is overwritten")
    }

    @Test("Garbled code crashes nothing, and no site leaves the function")
    func fuzz() throws {
        var generator = SeededGenerator(seed: 11)
        let whole = Self.entry + Self.lower + Self.leave + Self.asksSize + Self.works + Self.end
        for _ in 0..<3_000 {
            var code = whole
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                code[Int.random(in: 0..<code.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            code = Array(code.prefix(Int.random(in: 1...code.count, using: &generator)))
            let range = CodeImage.codeAddress..<CodeImage.codeAddress + UInt64(code.count)
            let found = try exits(code) ?? []
            #expect(found.allSatisfy { range.contains($0.address) })
            let calls = [Int.random(in: 0..<60, using: &generator), Int.random(in: 0..<60, using: &generator)]
            if let agreement = try agreement(code, calls: calls) {
                #expect(range.contains(agreement.call.address) && range.contains(agreement.exit.address))
            }
        }
    }
}
