import Foundation
import TestSupport
import Testing

@testable import Handshakes

@Suite("The scale of durations") struct DurationScaleTests {
    private let scale = DurationScale.shared

    @Test("A cell holds what is above the bound before it, up to its own bound")
    func aCellHoldsValuesUpToItsBound() {
        var generator = SplitMix(seed: 17)
        var values = (0..<200_000).map { _ in
            UInt64.random(in: 0...UInt64.max >> UInt64.random(in: 0...63, using: &generator))
        }
        for bound in scale.bounds { values += [bound, bound + 1, bound > 0 ? bound - 1 : 0] }
        for value in values {
            let cell = scale.cell(of: value)
            let held = min(value, DurationScale.largestValue)
            guard scale.bounds[cell] >= held, cell == 0 || scale.bounds[cell - 1] < held else {
                Issue.record("\(value) is not in cell \(cell)")
                return
            }
        }
    }

    @Test("Bounds ascend, and are as many as an index of a page allows")
    func boundsAscendThroughAPage() {
        #expect(zip(scale.bounds, scale.bounds.dropFirst()).allSatisfy { $0 < $1 })
        #expect(scale.count <= 48 * 128)
        #expect(scale.bounds.last == DurationScale.largestValue)
    }

    /// Prometheus's own definition: bucket i of schema s is (2^((i-1) / 2^s), 2^(i / 2^s)] seconds.
    @Test("A cell's native bucket is the one that Prometheus puts every duration of it into")
    func nativeBuckets() {
        var generator = SplitMix(seed: 5)
        for _ in 0..<200_000 {
            let value = min(
                UInt64.random(in: 0...UInt64.max >> UInt64.random(in: 18...63, using: &generator)),
                DurationScale.largestValue)
            let bucket = scale.nativeBuckets[scale.cell(of: value)]
            guard bucket != .min else {
                #expect(Double(value) / 1e9 <= NativeBuckets.zeroThreshold)
                continue
            }
            let seconds = Double(value) / 1e9
            let upper = exp2(Double(bucket) / 128)
            let lower = exp2(Double(bucket - 1) / 128)
            // On a bound itself, floating point may fall on either side.
            guard seconds <= upper * (1 + 1e-12), seconds > lower * (1 - 1e-12) else {
                Issue.record("\(value) ns is not in bucket \(bucket)")
                return
            }
        }
    }

    @Test("No cell reaches over a classic bound")
    func classicBuckets() {
        for value in [99_999, 100_000, 100_001, 30_000_000_000, 30_000_000_001, 1, 0, .max] as [UInt64] {
            let cell = scale.cell(of: value)
            #expect(Int(scale.handshakeBuckets[cell]) == DurationBounds.handshake.bucket(of: value))
            #expect(Int(scale.phaseBuckets[cell]) == DurationBounds.phase.bucket(of: value))
        }
    }

    @Test("A cell's middle is within 0.32 % of all that is in it")
    func aMiddleIsCloseToItsCell() {
        for cell in 1..<scale.count {
            let middle = Double(scale.middle(of: cell))
            let (low, high) = (Double(scale.bounds[cell - 1] + 1), Double(scale.bounds[cell]))
            #expect(abs(middle - low) <= low * 0.0032, "cell \(cell)")
            #expect(abs(middle - high) <= high * 0.0032, "cell \(cell)")
        }
    }
}
