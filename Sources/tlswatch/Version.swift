import Glibc

/// The release, in one place.
enum Version {
    static let current = "0.1.0"
}

/// Whether a process is there.
func processExists(_ pid: UInt32) -> Bool {
    unsafe access("/proc/\(pid)", F_OK) == 0
}
