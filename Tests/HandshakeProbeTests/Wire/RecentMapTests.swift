import Testing

@testable import HandshakeProbe

@Suite("A map of what was set last") struct RecentMapTests {
    @Test("It keeps the last ones, and no more than twice as many")
    func keeps() {
        var map = RecentMap<Int, Int>(limit: 4)
        for key in 0..<10 {
            map.set(-key, for: key)
            for kept in max(0, key - 3)...key { #expect(map[kept] == -kept, "\(kept) after \(key)") }
            #expect((0...key).count { map[$0] != nil } <= 8)
        }
        #expect(map[0] == nil)
    }

    @Test("What is set again stays, with its last value")
    func setAgain() {
        var map = RecentMap<Int, Int>(limit: 2)
        for key in 1..<20 {
            map.set(key, for: 0)
            #expect(map.isFresh(0))
            map.set(0, for: key)
            #expect(map[0] == key)
        }
        map.update(0, default: -1) { $0 += 1 }
        map.update(100, default: -1) { $0 += 1 }
        #expect(map[0] == 20 && map[100] == 0)
        for key in 20..<23 { map.set(0, for: key) }
        #expect(!map.isFresh(0))
    }
}
