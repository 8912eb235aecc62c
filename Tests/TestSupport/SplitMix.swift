/// SplitMix64: a seeded generator, so that what fails can be run again.
package struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Roughly log-normal around 2 ms, by the sum of uniform octaves.
    package mutating func handshakeNanoseconds() -> UInt64 {
        var value = 2_000_000.0
        for _ in 0..<8 { value *= Double.random(in: 0.6...1.667, using: &self) }
        return UInt64(value)
    }
}
