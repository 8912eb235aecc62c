import CEvents
import Testing

@testable import HandshakeProbe
@testable import Kernel

/// What Swift says again of bpf/event.h is what it says.
@Suite("The wire contract") struct WireContractTests {
    @Test("Hooks have the numbers of the contract, all of them")
    func hooksAreTheContractsOwn() {
        let numbers: [HookKind: tlswatch_hook] = [
            .call: TLSWATCH_HOOK_CALL, .keyChange: TLSWATCH_HOOK_KEY_CHANGE,
            .keyAgreement: TLSWATCH_HOOK_KEY_AGREEMENT, .alpnSelect: TLSWATCH_HOOK_ALPN_SELECT,
            .alpnAnswer: TLSWATCH_HOOK_ALPN_ANSWER, .fatal: TLSWATCH_HOOK_FATAL,
            .objectFree: TLSWATCH_HOOK_OBJECT_FREE, .callExit: TLSWATCH_HOOK_CALL_EXIT,
            .keyAgreementExit: TLSWATCH_HOOK_KEY_AGREEMENT_EXIT, .pause: TLSWATCH_HOOK_PAUSE,
            .masterSecret: TLSWATCH_HOOK_MASTER_SECRET, .newKeys: TLSWATCH_HOOK_NEW_KEYS,
            .keyAgreementFailed: TLSWATCH_HOOK_KEY_AGREEMENT_FAILED, .group: TLSWATCH_HOOK_GROUP,
            .helloRetry: TLSWATCH_HOOK_HELLO_RETRY, .messageReceived: TLSWATCH_HOOK_MESSAGE_RECEIVED,
            .messageSent: TLSWATCH_HOOK_MESSAGE_SENT, .stateDropped: TLSWATCH_HOOK_STATE_DROPPED,
            .completed: TLSWATCH_HOOK_COMPLETED, .failed: TLSWATCH_HOOK_FAILED,
            .alertSent: TLSWATCH_HOOK_ALERT_SENT,
        ]
        for hook in HookKind.allCases { #expect(numbers[hook]?.rawValue == UInt32(hook.rawValue), "\(hook)") }
        #expect(HookKind.allCases.count == Int(TLSWATCH_HOOK_COUNT.rawValue) - 1)
    }

    @Test("Programs, and the reasons why a hit makes no record, are the contract's, all of them")
    func programsAndDropsAreTheContractsOwn() {
        #expect(Set(KernelProgram.allCases.map(\.number.rawValue)) == Set(0..<TLSWATCH_PROGRAM_COUNT.rawValue))
        #expect(KernelProgram.allCases.count == Int(TLSWATCH_PROGRAM_COUNT.rawValue))
        #expect(Set(KernelDrop.allCases.map(\.number.rawValue)) == Set(0..<TLSWATCH_DROP_COUNT.rawValue))
        #expect(KernelDrop.allCases.count == Int(TLSWATCH_DROP_COUNT.rawValue))
        // The programs note the time of those up to this one as losses.
        #expect(
            KernelDrop.allCases.allSatisfy { $0.isLoss == ($0.number.rawValue <= TLSWATCH_DROP_NO_MEMORY.rawValue) })
    }

    @Test("Facts have places of their own, and OpenSSL's are no other's")
    func factsHavePlacesOfTheirOwn() {
        let numbers = OpenSSL.facts.map(\.rawValue)
        #expect(Set(numbers).count == numbers.count)
        #expect(numbers.allSatisfy { (0..<Int(TLSWATCH_FACTS.rawValue)).contains($0) })
        #expect(OpenSSL.facts.filter(\.isText) == [.alpn, .sni, .sessionSNI])
        // As many as StateValues has room for.
        #expect(TLSWATCH_STATE_SLOTS.rawValue == 8)
    }

    @Test("Registers are x86-64's numbers, and contexts those of the contract")
    func placesAreTheContractsOwn() {
        #expect([ValuePlace.parameter0, .parameter1, .parameter2, .parameter3].map(\.register) == [7, 6, 2, 1])
        #expect(ExecutionContext.goroutine.rawValue == UInt16(TLSWATCH_GOROUTINE.rawValue))
        let stack = tlswatch_place(.memory(.rsp, offset: 24))
        #expect(UInt32(stack.kind) == TLSWATCH_IN_MEMORY.rawValue)
        #expect(stack.number == 4)
        #expect(stack.offset == 24)
        #expect(UInt32(tlswatch_place(nil).kind) == TLSWATCH_NOWHERE.rawValue)
    }

    @Test("Knobs are set by name, each by itself, and those left alone keep the value that maps.h gives them")
    func knobsAreSetByName() throws {
        let object = try OpenBPFObject()
        let before = try object.knobs()
        #expect(before.wake_bytes == 256 << 10)
        // One of the kernel's choices of HZ, 100 to 1000.
        #expect((1_000_000...10_000_000).contains(before.tick_ns))
        #expect([before.filter_processes, before.tell_programs] == [0, 0])
        try object.tellPrograms(true)
        let told = try object.knobs()
        #expect([told.filter_processes, told.tell_programs] == [0, 1])
        try object.filterProcesses()
        let after = try object.knobs()
        #expect([after.filter_processes, after.tell_programs] == [1, 1])
        #expect(after.wake_bytes == before.wake_bytes)
    }

    @Test("A set of states has those up to 255")
    func statesBeyondThirtyOne() {
        let states = tlswatch_states([0, 31, 32, 110, 255])
        #expect(states.word.0 == 1 | 1 << 31)
        #expect(states.word.1 == 1)
        #expect(states.word.3 == 1 << 14)
        #expect(states.word.7 == 1 << 31)
        #expect(states.word.2 == 0)
    }
}
