import CAllocations
import Code
import Glibc
import HandshakeProbe
import Kernel

/// What it takes to read a program that is new to the host, once: processor time, so that a busy machine does not disturb, and
/// how much more memory there is at a time.
func expectAnalyses(_ report: inout Report, _ paths: [String]) {
    for path in paths {
        guard let size = size(of: path) else {
            report.expect("files that cannot be read: \(path)", 1, atMost: 0)
            continue
        }
        var best = Double.infinity
        var memory = 0.0
        for _ in 0..<3 {
            // What an earlier one has left for later ones would hide what this one needs.
            tlswatch_trim()
            let before = resetPeak()
            let began = processTime()
            // Opened anew each time, as the daemon opens it.
            guard let file = try? ELFFile(path: path), let analysis = try? TLSStacks.builtIn.analyse(file),
                analysis.observesSessions
            else {
                report.expect("programs in which no TLS library is found: \(path)", 1, atMost: 0)
                return
            }
            best = min(best, processTime() - began)
            memory = max(memory, status("VmHWM") - before)
        }
        let name = "\(path.split(separator: "/").last ?? ""), \(Int(size)) MB"
        // 0.5 s for 50 MB and less, 3 s for 200 MB.
        let limit = max(0.5, 0.5 + (size - 50) / 150 * 2.5)
        report.expect("s of a processor, reading \(name)", best, atMost: limit)
        report.expect("MB more memory, reading \(name)", memory, atMost: 64)
    }
}

/// Megabytes.
private func size(of path: String) -> Double? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return Double(status.st_size) / 1_048_576
}

private func processTime() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Has the kernel forget how much memory this process had at most; the megabytes that it has now.
private func resetPeak() -> Double {
    let descriptor = unsafe open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
    if descriptor >= 0 {
        unsafe _ = write(descriptor, "5", 1)
        close(descriptor)
    }
    return status("VmRSS")
}

/// A line of /proc/self/status, in megabytes.
private func status(_ key: String) -> Double {
    let lines = readTextFile("/proc/self/status")?.split(separator: "\n") ?? []
    let words = lines.first { $0.hasPrefix(key + ":") }?.split { $0 == " " || $0 == "\t" } ?? []
    return words.count > 1 ? (Double(words[1]) ?? 0) / 1_024 : 0
}
