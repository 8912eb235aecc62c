import Glibc
import HandshakeProbe
import Handshakes
import Kernel

extension ProcessSample {
    /// When this program began, nanoseconds since 1970: read first by `main`.
    static let began = UInt64(max(0, wallClockNow()))

    /// This process's own use of the machine, from /proc/self.
    static func current() -> ProcessSample {
        var sample = ProcessSample()
        var usage = rusage()
        if unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            sample.cpuTime = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime)
        }
        if let pages = statm(), pages.count >= 2 {
            let size = UInt64(sysconf(Int32(_SC_PAGESIZE)))
            sample.virtualBytes = pages[0] * size
            sample.residentBytes = pages[1] * size
        }
        var limit = rlimit()
        if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            sample.descriptorLimit = UInt64(limit.rlim_cur)
        }
        sample.openDescriptors = openDescriptors()
        sample.startTime = began
        return sample
    }

    private static func nanoseconds(_ time: timeval) -> UInt64 {
        UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_usec) * 1_000
    }

    private static func statm() -> [UInt64]? {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return nil }
        defer { unsafe _ = fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard unsafe fgets(&line, 128, file) != nil else { return nil }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { UInt64($0) }
    }

    private static func openDescriptors() -> UInt64? {
        guard let directory = unsafe opendir("/proc/self/fd") else { return nil }
        defer { unsafe _ = closedir(directory) }
        var count: UInt64 = 0
        while unsafe readdir(directory) != nil { count += 1 }
        return count >= 3 ? count - 3 : 0  // ".", ".." and the directory itself
    }
}
