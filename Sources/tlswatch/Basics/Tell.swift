import Glibc

/// A message for the person, on standard error.
func tell(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    unsafe _ = bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
}
