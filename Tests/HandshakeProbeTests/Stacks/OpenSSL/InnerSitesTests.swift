import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// Sites inside functions, on small assembled ones: each form that is known, and each that must be refused.
@Suite("Sites inside functions") struct InnerSitesTests {
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
    func theCallBehindTheLoweredCountIsFound() throws {
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
        #expect(sites.count == 2)
        #expect(sites.allSatisfy { $0.object == ObjectPlace(.r15) })
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
            ("a jump leads between the lowered count and the site", entry + [0x74, 0x05] + lower + leave),
            ("a byte that is no instruction may hide a way out", entry + lower + leave + [0x06] + lower + leave),
            ("one of two ways out is not shown", entry + lower + leave + lower + [0xc3]),
        ])
    func doubtfulFormsAreRefused(_ why: String, _ code: [UInt8]) throws {
        #expect(try exits(code) == nil, "\(why)")
    }

    @Test(
        "Each way to write a count up and down, and each register that calls leave alone",
        arguments: [
            (
                "add 1, sub 1", .r15, [0x49, 0x89, 0xff], [0x41, 0x83, 0x47, 0x6c, 0x01],
                [0x41, 0x83, 0x6f, 0x6c, 0x01]
            ),
            (
                "sub -1, add -1", .r15, [0x49, 0x89, 0xff], [0x41, 0x83, 0x6f, 0x6c, 0xff],
                [0x41, 0x83, 0x47, 0x6c, 0xff]
            ),
            (
                "a long displacement and a long number", .rbx, [0x48, 0x89, 0xfb],
                [0x81, 0x83, 0x84, 0, 0, 0, 1, 0, 0, 0], [0x81, 0xab, 0x84, 0, 0, 0, 1, 0, 0, 0]
            ),
            ("inc, dec", .rbx, [0x48, 0x89, 0xfb], [0xff, 0x43, 0x6c], [0xff, 0x4b, 0x6c]),
            ("inc, sub 1", .rbp, [0x48, 0x89, 0xfd], [0xff, 0x45, 0x6c], [0x83, 0x6d, 0x6c, 0x01]),
            (
                "r12, by its longer form", .r12, [0x49, 0x89, 0xfc], [0x41, 0xff, 0x44, 0x24, 0x6c],
                [0x41, 0xff, 0x4c, 0x24, 0x6c]
            ),
            ("r13", .r13, [0x49, 0x89, 0xfd], [0x41, 0xff, 0x45, 0x6c], [0x41, 0xff, 0x4d, 0x6c]),
            ("r14", .r14, [0x49, 0x89, 0xfe], [0x41, 0xff, 0x46, 0x6c], [0x41, 0xff, 0x4e, 0x6c]),
        ] as [(String, ValuePlace, [UInt8], [UInt8], [UInt8])])
    func everyFormOfCountingIsKnown(
        _ name: String, _ register: ValuePlace, _ copy: [UInt8], _ up: [UInt8], _ down: [UInt8]
    ) throws {
        // …; call; ret
        let code = copy + up + down + [0xe8, 0, 0, 0, 0, 0xc3]
        let site = InnerSites.Site(
            address: place(copy.count + up.count + down.count), object: ObjectPlace(register))
        #expect(try exits(code) == [site], "\(name)")
    }

    @Test("The longest and the shortest way to an address inside the object", arguments: [Int32(-0x7fff), 0x7fff, 1])
    func theFarthestAddressesAreReached(_ distance: Int32) throws {
        // lea rbx, [rdi+distance]; inc dword [rbx+0x24]; dec dword [rbx+0x24]; nop; ret
        let code = Self.lea(distance) + [0xff, 0x43, 0x24, 0xff, 0x4b, 0x24, 0x90, 0xc3]
        #expect(try exits(code)?.map(\.object) == [ObjectPlace(.rbx, offset: Int16(-distance))])
    }

    /// lea rbx, [rdi+distance]
    private static func lea(_ distance: Int32) -> [UInt8] {
        let bits = UInt32(bitPattern: distance)
        return [0x48, 0x8d, 0x9f] + (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
    }

    @Test(
        "Whatever the kernel emulates will do, and nothing else",
        arguments: [
            ("call", [0xe8, 0, 0, 0, 0], 0), ("addr32 call", [0x67, 0xe8, 0, 0, 0, 0], 0), ("nop", [0x90], 0),
            ("jmp", [0xeb, 0x00], 0), ("je", [0x74, 0x00], 0), ("push r14", [0x41, 0x56], 0),
            ("xor edx, edx; test eax, eax; js", [0x31, 0xd2, 0x85, 0xc0, 0x78, 0x00], 4),
            ("a longer nop; call", [0x0f, 0x1f, 0x40, 0x00, 0xe8, 0, 0, 0, 0], 4),
            ("call rax; nop", [0xff, 0xd0, 0x90], nil), ("jmp rax; nop", [0xff, 0xe0, 0x90], nil),
            ("ud2; nop", [0x0f, 0x0b, 0x90], nil), ("je with a hint; nop", [0x2e, 0x74, 0x00, 0x90], nil),
            ("rep ret; nop", [0xf3, 0xc3, 0x90], nil), ("pop r15; nop", [0x41, 0x5f, 0x90], nil),
            ("mov r15b, al; nop", [0x41, 0x88, 0xc7, 0x90], nil),
        ] as [(String, [UInt8], Int?)])
    func onlyEmulatedSitesAreTaken(_ name: String, _ behind: [UInt8], _ offset: Int?) throws {
        let before = Self.entry + Self.lower
        #expect(
            try exits(before + behind + [0xc3])?.map(\.address) == offset.map { [place(before.count + $0)] }, "\(name)")
    }

    @Test("The site is among the twelve instructions behind the count, or there is none")
    func theSiteIsNearTheCount() throws {
        let before = Self.entry + Self.lower
        for (fillers, found) in [(0, true), (11, true), (12, false)] {
            // mov ecx, eax
            let code = before + Array(repeating: [0x89, 0xc1] as [UInt8], count: fillers).joined() + [0x90, 0xc3]
            #expect(try exits(code)?.map(\.address) == (found ? [place(before.count + 2 * fillers)] : nil))
        }
    }

    @Test("What restores a register does not count as using it for something else")
    func restoredRegistersAreNotUsed() throws {
        // push rbp; mov rbp, rdi; je +2; leave; ret; inc dword [rbp+8]; dec dword [rbp+8]; nop; pop rbp; ret
        let leave: [UInt8] = [
            0x55, 0x48, 0x89, 0xfd, 0x74, 0x02, 0xc9, 0xc3, 0xff, 0x45, 0x08, 0xff, 0x4d, 0x08, 0x90, 0x5d, 0xc3,
        ]
        #expect(try exits(leave)?.map(\.object) == [ObjectPlace(.rbp)])
        // push r15; mov r15, rdi; je +3; pop r15; ret; add; sub; …
        let pop = Self.entry[..<5] + [0x74, 0x03, 0x41, 0x5f, 0xc3] + Self.entry[10...] + Self.lower + Self.leave
        #expect(try exits(Array(pop))?.map(\.object) == [ObjectPlace(.r15)])
    }

    @Test("A jump to the lowering itself, or behind the site, is one way more to what is shown")
    func jumpsElsewhere() throws {
        let before = Self.entry + [0xeb, 0x00]
        #expect(try exits(before + Self.lower + Self.leave)?.map(\.address) == [place(before.count + 8)])
        let past = Self.entry + [0x74, 0x0d]
        #expect(try exits(past + Self.lower + Self.leave)?.map(\.address) == [place(past.count + 8)])
    }

    @Test(
        "No count of the object, or no object: refused",
        arguments: [
            ("16 bits wide", entry[..<10] + [0x66, 0x41, 0xff, 0x47, 0x6c, 0x66, 0x41, 0xff, 0x4f, 0x6c] + leave),
            ("64 bits wide", entry[..<10] + [0x49, 0xff, 0x47, 0x6c, 0x49, 0xff, 0x4f, 0x6c] + leave),
            (
                "an element of an array",
                entry[..<10] + [0x41, 0xff, 0x44, 0x8f, 0x6c, 0x41, 0xff, 0x4c, 0x8f, 0x6c] + leave
            ),
            ("a variable of the program", entry[..<10] + [0xff, 0x05, 6, 0, 0, 0, 0xff, 0x0d, 0, 0, 0, 0] + leave),
            (
                "changed by two",
                entry[..<10] + [0x41, 0x83, 0x47, 0x6c, 0x02, 0x41, 0x83, 0x6f, 0x6c, 0x02] + leave
            ),
            (
                "changed by a register",
                entry[..<10] + [0x41, 0x01, 0x47, 0x6c, 0x41, 0x29, 0x47, 0x6c] + leave
            ),
            ("only lowered", entry[..<10] + lower + leave),
            ("raised twice: add 1, sub -1", entry + [0x41, 0x83, 0x6f, 0x6c, 0xff] + leave),
            (
                "lowered 8 bytes on: lea r14, [rdi+8]",
                entry[..<5] + [0x4c, 0x8d, 0x77, 0x08] + entry[5...] + [0x41, 0x83, 0x6e, 0x6c, 0x01] + leave
            ),
            ("half the parameter: mov r15d, edi", [0x41, 0x89, 0xff] + entry[10...] + lower + leave),
            ("behind the parameter's end: mov rdi, rsi; mov r15, rdi", [0x48, 0x89, 0xf7] + entry + lower + leave),
            ("through it: mov r15, [rdi]", [0x4c, 0x8b, 0x3f] + entry[10...] + lower + leave),
            ("moved on: add r15, 8", entry[..<10] + [0x49, 0x83, 0xc7, 0x08] + entry[10...] + lower + leave),
            ("two values: mov r15, rsi", entry[..<5] + [0x49, 0x89, 0xf7] + entry[10...] + lower + leave),
            (
                "two distances: lea r15, [rdi+8]",
                entry[..<5] + [0x4c, 0x8d, 0x7f, 0x08] + entry[10...] + lower + leave
            ),
            (
                "of an array in it: lea r15, [rdi+rcx*4+8]",
                [0x4c, 0x8d, 0x7c, 0x8f, 0x08] + entry[10...] + lower + leave
            ),
            ("of another: lea r15, [rsi+8]", [0x4c, 0x8d, 0x7e, 0x08] + entry[10...] + lower + leave),
            (
                "further than a cookie tells",
                lea(0x8001) + [0xff, 0x43, 0x24, 0xff, 0x4b, 0x24, 0x90, 0xc3]
            ),
            ("in a register that calls change", [0x48, 0x89, 0xf9, 0xff, 0x41, 0x24, 0xff, 0x49, 0x24, 0x90, 0xc3]),
            ("a conditional jump leads to the site", entry + [0x74, 0x08] + lower + leave),
            ("a jump leads back to the site", entry + lower + leave + [0xeb, 0xf6]),
            ("a jump leads to the second site", entry + [0x74, 0x18] + lower + leave + lower + leave),
        ] as [(String, [UInt8])])
    func noCount(_ why: String, _ code: [UInt8]) throws {
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
    func theWorkingCallIsFound() throws {
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

    @Test(
        "Ways to pass null, and what only looks like it",
        arguments: [
            ("xor esi, esi", [0x31, 0xf6], true), ("mov esi, 0", [0xbe, 0, 0, 0, 0], true),
            ("xor rsi, rsi", [0x48, 0x31, 0xf6], true), ("mov esi, 1", [0xbe, 1, 0, 0, 0], false),
            ("xor esi, edx", [0x31, 0xd6], false), ("lea rsi, [rsp]", [0x48, 0x8d, 0x34, 0x24], false),
            ("xor esi, esi; mov rsi, rbp", [0x31, 0xf6, 0x48, 0x89, 0xee], false),
            ("xor esi, esi; another call", [0x31, 0xf6, 0xe8, 0, 0, 0, 0], false), ("nothing", [0x90], false),
        ] as [(String, [UInt8], Bool)])
    func waysToPassNullAreKnown(_ name: String, _ sets: [UInt8], _ isNull: Bool) throws {
        // …; call; mov rsi, rbp; call; test eax, eax; jle
        let code = Self.begin + sets + [0xe8, 0, 0, 0, 0] + Self.works + Self.end
        let (first, second) = (Self.begin.count + sets.count, Self.begin.count + sets.count + 8)
        let found = try agreement(code, calls: [first, second])
        #expect(found?.call.address == (isNull ? place(second) : nil), "\(name)")
    }

    @Test("The working call may come first, and both may be addr32 calls")
    func theWorkingCallMayComeFirst() throws {
        // mov rsi, rbp; addr32 call; test eax, eax; jle; xor esi, esi; addr32 call; …
        let works: [UInt8] = [0x48, 0x89, 0xee, 0x67, 0xe8, 0, 0, 0, 0, 0x85, 0xc0, 0x7e, 0x00]
        let asks: [UInt8] = [0x31, 0xf6, 0x67, 0xe8, 0, 0, 0, 0]
        let found = try agreement(Self.begin + works + asks + Self.end, calls: [7, 19])
        #expect(found?.call.address == place(7))
        #expect(found?.exit.address == place(15))
    }

    @Test("Without one register that holds the object throughout, the call is told without it")
    func withoutObject() throws {
        // push rbx; mov rbx, rsi
        let other = [0x53, 0x48, 0x89, 0xf3] + Self.asksSize + Self.works + Self.end
        let found = try #require(try agreement(other, calls: [6, 18]))
        #expect(found.call.object == nil)
        #expect(found.exit.object == nil)
        #expect(found.exit.address == place(25))
        // mov rbp, rdi; mov rbx, rdi
        let both = [0x48, 0x89, 0xfd, 0x48, 0x89, 0xfb] + Self.asksSize + Self.works + Self.end
        #expect(try agreement(both, calls: [8, 20])?.call.object == nil)
        // mov rbx, rax between the calls: it ceased to be the object.
        let lost = Self.begin + Self.asksSize + [0x48, 0x89, 0xc3] + Self.works + Self.end
        #expect(try agreement(lost, calls: [6, 21])?.call == InnerSites.Site(address: place(21), object: nil))
    }

    @Test("Calls and results that no cheap probe can stand on are left alone")
    func dearCalls() throws {
        // call [rip+0] is stepped.
        let indirect = Self.begin + Self.asksSize + [0x48, 0x89, 0xee, 0xff, 0x15, 0, 0, 0, 0, 0x85, 0xc0, 0x7e, 0x00]
        #expect(try agreement(indirect + Self.end, calls: [6, 18]) == nil, "the call")
        // test eax, eax; ret
        let bare = Self.begin + Self.asksSize + [0x48, 0x89, 0xee, 0xe8, 0, 0, 0, 0, 0x85, 0xc0, 0xc3]
        #expect(try agreement(bare, calls: [6, 18]) == nil, "the result")
        let whole = Self.begin + Self.asksSize + Self.works + Self.end
        #expect(try agreement(whole, calls: [6, 19]) == nil, "no instruction begins there")
        #expect(try agreement(whole, calls: [18]) == nil, "one call")
        let three = Self.begin + Self.asksSize + Self.asksSize + Self.works + Self.end
        #expect(try agreement(three, calls: [6, 17, 29]) == nil, "three calls, of which one works")
        // The first call's jle leads to the second's.
        var shared = whole
        shared[14] = 0x0a
        #expect(try agreement(shared, calls: [6, 18]) == nil, "the test of both results is one")
    }

    // MARK: in files

    /// Two functions that call an agreement twice, one that calls it once, and a state machine with two ways out.
    private static func source(_ derive: String) -> String {
        func function(_ name: String, _ body: String) -> String {
            ".type \(name), @function\n\(name): .cfi_startproc\n\(body)\nret\n.cfi_endproc\n.size \(name), . - \(name)\n"
        }
        let twice = """
            push %rbx; mov %rdi, %rbx; xor %esi, %esi; call \(derive); test %eax, %eax; jle 1f
            mov %rbp, %rsi; call \(derive); test %eax, %eax; jle 1f; 1: pop %rbx
            """
        let way = "subl $1, 0x6c(%r15); mov %rbp, %rdi; call nowhere; pop %r15"
        let text =
            ".text\n" + function("nowhere", "") + function("another", twice) + function("ssl_derive", twice)
            + function("once", "call \(derive)")
            + function(
                "state_machine", "push %r15; mov %rdi, %r15; addl $1, 0x6c(%r15); je 1f; \(way); ret; 1: \(way)")
        return "__asm__(" + text.split(separator: "\n").map { "\"\($0)\\n\"" }.joined(separator: "\n") + ");"
    }

    private static func finder(_ source: String) throws -> (InnerSites, [String: UInt64]) {
        let path = try Machine.compile(source, ["-shared", "-fPIC", "-nostdlib"])
        return (InnerSites(code: CodeReader(try ELFFile(path: path))), try Tool.symbols([path]))
    }

    @Test("In a file: the functions as its unwind table bounds them", .enabled(if: Machine.has(Machine.compiler)))
    func functionsEndWhereTheUnwindTableSays() throws {
        let (finder, symbols) = try Self.finder(Self.source("nowhere"))
        let machine = try #require(symbols["state_machine"])
        // push, mov, add, je, then sub and mov before the call; the second way is 16 bytes on.
        let addresses: [UInt64] = [machine + 20, machine + 36]
        #expect(finder.exits(of: machine) == addresses.map { InnerSites.Site(address: $0, object: ObjectPlace(.r15)) })
        #expect(finder.exits(of: try #require(symbols["ssl_derive"])) == nil)
        #expect(finder.exits(of: 0) == nil)
    }

    @Test(
        "In a file: the caller that is named, or every function that calls twice, its own or through a stub",
        .enabled(if: Machine.has(Machine.compiler)))
    func callersInAFileAreFound() throws {
        let (own, symbols) = try Self.finder(
            Self.source("EVP_PKEY_derive") + " void EVP_PKEY_derive(void) {}")
        let (another, derive) = (try #require(symbols["another"]), try #require(symbols["ssl_derive"]))
        let caller = try #require(own.code.file.symbol("ssl_derive"))
        #expect(own.agreements("EVP_PKEY_encapsulate", in: caller).isEmpty)
        #expect(own.agreements("EVP_PKEY_encapsulate", in: nil).isEmpty)
        // As written the calls go through the stub, as a library's do.
        #expect(own.agreements("EVP_PKEY_derive", in: nil).map(\.call.address) == [another + 18, derive + 18])
        #expect(own.agreements("EVP_PKEY_derive", in: nil).map(\.exit.address) == [another + 25, derive + 25])

        let (named, places) = try Self.finder(Self.source("nowhere"))
        let place = try #require(places["ssl_derive"])
        let only = try #require(named.code.file.symbol("ssl_derive"))
        let found = named.agreements("nowhere", in: only)
        #expect(found.map(\.call) == [InnerSites.Site(address: place + 18, object: ObjectPlace(.rbx))])
    }

    @Test("A body without end, full of counts, is read in bounded time", .timeLimit(.minutes(1)))
    func aLargeBodyIsReadInBoundedTime() throws {
        // mov r15, rdi; nop …; add dword [r15+0x6c], 1; then (sub dword [r15+0x6c], 1; nop) …
        let nops = [UInt8](repeating: 0x90, count: 500)
        let ways = Array(repeating: Self.lower + [0x90], count: 500).joined()
        let code = Self.entry[2..<5] + nops + Self.entry[10...] + ways
        #expect(try exits(Array(code))?.count == 500)
    }

    @Test("Garbled code crashes nothing, and no site leaves the function", .timeLimit(.minutes(1)))
    func garbledCodeLeavesNoFunction() throws {
        var generator = SplitMix(seed: 11)
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
                #expect(range.contains(agreement.call.address))
                #expect(range.contains(agreement.exit.address))
            }
        }
    }
}
