import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("The order of changes from several processors") struct ChangeOrderTests {
    private func pids(_ changes: [ProcessChange]) -> [UInt32] {
        changes.map {
            switch $0 {
            case .mapped(let pid, _), .forked(let pid, _), .exited(let pid), .executed(let pid): pid
            case .lost: 0
            }
        }
    }

    @Test("An end that was read before the beginning, from another processor, comes after it")
    func acrossProcessors() {
        var order = ChangeOrder()
        order.add(.exited(7), at: 300)
        order.add(.executed(9), at: 310)
        order.add(.forked(7, parent: 1), at: 100)
        order.add(.executed(8), at: 200)
        #expect(pids(order.take(until: 400)) == [7, 8, 7, 9])
        #expect(order.isEmpty)
    }

    @Test("What happened after the processors began to be read waits for what may still come from before it")
    func laterChangesWaitForEarlierOnes() {
        var order = ChangeOrder()
        order.add(.exited(7), at: 500)
        order.add(.executed(6), at: 90)
        #expect(pids(order.take(until: 400)) == [6])
        #expect(!order.isEmpty)
        order.add(.forked(7, parent: 1), at: 450)
        #expect(pids(order.take(until: 600)) == [7, 7])
        #expect(order.isEmpty)
    }

    @Test("Changes of one moment stay as they came")
    func sameTime() {
        var order = ChangeOrder()
        for pid in 1...50 { order.add(.executed(UInt32(pid)), at: 5) }
        #expect(pids(order.take(until: 5)) == Array(1...50))
    }
}
