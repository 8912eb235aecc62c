import CEvents
import TestSupport
import Testing

@testable import HandshakeProbe

@Suite("Places of sessions") struct SessionPlacesTests {
    private func key(_ object: UInt64, pid: UInt32 = 7, start: UInt64 = 5) -> SessionKey {
        var header = tlswatch_header()
        (header.object, header.pid, header.process_start_ns) = (object, pid, start)
        return SessionKey(header)
    }

    @Test("Whatever comes and goes, each key is found where it is, and no other") func comesAndGoes() {
        var random = SplitMix(seed: 11)
        // Addresses as allocators give them, of a few processes; so few keys that most come again.
        let all = (0..<400 as Range<UInt64>).map { (index: UInt64) -> SessionKey in
            let object: UInt64 = 0x5555_0000_0000 + index % 100 * 0x40
            return key(object, pid: UInt32(index / 200), start: index / 100 % 2)
        }
        var keys = [SessionKey](repeating: key(0), count: all.count)
        var places = SessionPlaces(expecting: 1)
        var expected: [SessionKey: Int] = [:]
        var free = Array(keys.indices)
        for _ in 0..<20_000 {
            let key = all[Int(random.next() % UInt64(all.count))]
            #expect(places.place(of: key, keys) == expected[key])
            if let place = expected.removeValue(forKey: key) {
                places.remove(key, at: place, keys)
                free.append(place)
            } else if let place = free.popLast() {
                keys[place] = key
                places.insert(key, at: place, keys)
                expected[key] = place
            }
            #expect(places.count == expected.count)
        }
        for key in all { #expect(places.place(of: key, keys) == expected[key]) }
    }

    @Test("A key is its object, its process and that one's start") func parts() {
        let keys = [key(1), key(2), key(1, pid: 8), key(1, start: 6)]
        var places = SessionPlaces(expecting: 4)
        for place in keys.indices { places.insert(keys[place], at: place, keys) }
        for place in keys.indices { #expect(places.place(of: keys[place], keys) == place) }
        #expect(places.place(of: key(2, pid: 8), keys) == nil)
    }

    /// What a recording made for it could do: keys that meet in a sum or an exclusive or of their parts.
    @Test("Keys made to meet stay apart", .timeLimit(.minutes(1))) func meeting() {
        let count = 60_000
        let keys = (0..<UInt64(count)).map { (index: UInt64) -> SessionKey in
            let shifted = index << 40
            return index % 2 == 0
                ? key(shifted ^ 0x1000, pid: UInt32(index)) : key(0x1000, pid: UInt32(index), start: 0 &- shifted)
        }
        var places = SessionPlaces(expecting: 16)
        for place in keys.indices { places.insert(keys[place], at: place, keys) }
        #expect(keys.indices.allSatisfy { places.place(of: keys[$0], keys) == $0 })
    }

    @Test("Sessions by process are counted, whichever was asked last") func counts() {
        var counts = ProcessCounts()
        for pid: UInt32 in [0, 1, 1, 2] { counts.add(pid) }
        #expect([0, 1, 2].allSatisfy { counts.contains($0) } && !counts.contains(3))
        counts.remove(1)
        #expect(counts.contains(1))
        counts.remove(2)
        counts.remove(1)
        #expect(!counts.contains(1) && !counts.contains(2) && counts.contains(0))
        counts.remove(0)
        #expect(!counts.contains(0))
    }
}
