/// Nanoseconds.
package let second: UInt64 = 1_000_000_000
package let millisecond: UInt64 = 1_000_000
