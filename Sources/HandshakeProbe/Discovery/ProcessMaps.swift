import Glibc
import Kernel

/// A file that a process maps as code.
struct MappedFile: Hashable, Sendable {
    /// As /proc/PID/maps tells it, without ` (deleted)`.
    var path: String
    var deleted: Bool
    /// Device and inode as maps prints them: good for telling lines apart, not as the file's identity (overlayfs).
    var key: String
    /// `START-END`, the file's name in /proc/PID/map_files.
    var range: String

    /// The file as far as maps tells; zeros where that makes no sense.
    var inode: MappedInode {
        let numbers = key.split(separator: ":")
        guard numbers.count == 3, let inode = UInt64(numbers[2]), let major = UInt32(numbers[0], radix: 16),
            let minor = UInt32(numbers[1], radix: 16)
        else { return MappedInode(device: 0, inode: 0, generation: 0, size: 0) }
        return MappedInode(device: major << 20 | minor, inode: inode, generation: 0, size: 0)
    }
}

/// Reads /proc (proc(5)).
enum ProcessMaps {
    /// The processes of this host, unordered.
    static func allProcesses() -> [UInt32] {
        guard let directory = unsafe opendir("/proc") else { return [] }
        defer { unsafe _ = closedir(directory) }
        var pids: [UInt32] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = UInt32(name) { pids.append(pid) }
        }
        return pids
    }

    /// The processes and all that descend from them.
    static func withDescendants(_ roots: Set<UInt32>) -> Set<UInt32> {
        guard !roots.isEmpty else { return [] }
        var children: [UInt32: [UInt32]] = [:]
        for pid in allProcesses() {
            if let parent = parent(of: pid) { children[parent, default: []].append(pid) }
        }
        var found = roots
        var pending = Array(roots)
        while let pid = pending.popLast() {
            for child in children[pid] ?? [] where found.insert(child).inserted { pending.append(child) }
        }
        return found
    }

    /// The fourth field of /proc/PID/stat, behind the name, which may hold anything.
    private static func parent(of pid: UInt32) -> UInt32? {
        guard let bytes = readFile("/proc/\(pid)/stat", limit: 4096),
            let end = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
        return fields.count > 1 ? UInt32(String(decoding: fields[1], as: UTF8.self)) : nil
    }

    /// The files that a process maps executable, each once; `nil` if its maps cannot be read.
    static func codeFiles(of pid: UInt32) -> [MappedFile]? {
        guard let bytes = readFile("/proc/\(pid)/maps", limit: 16 << 20) else { return nil }
        var files: [MappedFile] = []
        var seen: Set<String> = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let file = parse(line) else { continue }
            if seen.insert(file.range).inserted { files.append(file) }
        }
        return files
    }

    /// One line of maps: `start-end perms offset dev inode path`; `nil` where it maps no file as code.
    static func parse(_ line: ArraySlice<UInt8>) -> MappedFile? {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count == 6 else { return nil }
        let permissions = Array(fields[1])
        guard permissions.count >= 3, permissions[2] == UInt8(ascii: "x") else { return nil }
        let path = fields[5].drop { $0 == UInt8(ascii: " ") }
        guard path.first == UInt8(ascii: "/") else { return nil }
        var text = String(decoding: path, as: UTF8.self)
        let deleted = text.hasSuffix(" (deleted)")
        if deleted { text = String(text.dropLast(10)) }
        return MappedFile(
            path: text, deleted: deleted,
            key: String(decoding: fields[3], as: UTF8.self) + ":" + String(decoding: fields[4], as: UTF8.self),
            range: String(decoding: fields[0], as: UTF8.self))
    }

    /// The name of the file behind a mapping, as the kernel has it; `nil` where it is gone or not to be read.
    static func path(of mapping: KernelMapping) -> (text: String, deleted: Bool)? {
        codeFiles(of: mapping.pid)?.first { $0.range == mapping.range }.map { ($0.path, $0.deleted) }
    }
}

/// Whether a process is there.
package func processExists(_ pid: UInt32) -> Bool {
    unsafe access("/proc/\(pid)", F_OK) == 0
}
