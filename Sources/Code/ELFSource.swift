import Glibc
import Synchronization

/// The bytes of a file, read when needed.
///
/// Reads with `pread(2)`, never by mapping: a mapped file that somebody truncates kills the
/// reader with SIGBUS. Small reads go through a bounded cache of blocks.
package final class ELFSource: Sendable {
    /// Most bytes that one read returns.
    package static let readLimit = 256 << 20
    private static let blockSize = 16 << 10
    private static let blockLimit = 1024

    private enum Storage: Sendable {
        case descriptor(CInt)
        case memory([UInt8])
    }

    private let storage: Storage
    private let blocks = Mutex<[UInt64: [UInt8]]>([:])
    /// Bytes in the file when it was opened.
    package let size: UInt64

    package init(bytes: [UInt8]) {
        storage = .memory(bytes)
        size = UInt64(bytes.count)
    }

    /// Takes ownership of `descriptor`, also when it throws.
    package init(owning descriptor: CInt, subject: String) throws(ELFError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw ELFError(.open, subject, errno: code)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ELFError(.open, subject, "it is not a regular file")
        }
        storage = .descriptor(descriptor)
        size = UInt64(max(0, status.st_size))
    }

    /// Reads through a duplicate of `fileDescriptor`; the caller keeps its own.
    package convenience init(duplicating fileDescriptor: CInt) throws(ELFError) {
        let descriptor = fcntl(fileDescriptor, F_DUPFD_CLOEXEC, 3)
        let subject = "file descriptor \(fileDescriptor)"
        guard descriptor >= 0 else { throw ELFError(.open, subject, errno: errno) }
        try self.init(owning: descriptor, subject: subject)
    }

    deinit {
        if case .descriptor(let descriptor) = storage { close(descriptor) }
    }

    /// Exactly `count` bytes from `offset`; `nil` where the file does not have them.
    package func read(at offset: UInt64, count: Int) -> [UInt8]? {
        guard count >= 0, count <= Self.readLimit, offset <= size, UInt64(count) <= size - offset else { return nil }
        switch storage {
        case .memory(let bytes):
            return Array(bytes[Int(offset)..<Int(offset) + count])
        case .descriptor(let descriptor):
            guard count < Self.blockSize else { return Self.pread(descriptor, offset, count) }
            return cached(descriptor, offset, count)
        }
    }

    private func cached(_ descriptor: CInt, _ offset: UInt64, _ count: Int) -> [UInt8]? {
        let blockSize = UInt64(Self.blockSize)
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var position = offset
        while result.count < count {
            let number = position / blockSize
            guard let block = block(number, descriptor) else { return nil }
            let from = Int(position % blockSize)
            let take = min(count - result.count, block.count - from)
            guard take > 0 else { return nil }
            result.append(contentsOf: block[from..<from + take])
            position += UInt64(take)
        }
        return result
    }

    private func block(_ number: UInt64, _ descriptor: CInt) -> [UInt8]? {
        blocks.withLock { blocks in
            if let block = blocks[number] { return block }
            let start = number * UInt64(Self.blockSize)
            let count = Int(min(UInt64(Self.blockSize), size - min(size, start)))
            guard let block = Self.pread(descriptor, start, count) else { return nil }
            if blocks.count >= Self.blockLimit { blocks.removeAll() }
            blocks[number] = block
            return block
        }
    }

    private static func pread(_ descriptor: CInt, _ offset: UInt64, _ count: Int) -> [UInt8]? {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let result = unsafe Glibc.pread(
                    descriptor, buffer.baseAddress.map { unsafe $0 + filled }, count - filled,
                    off_t(truncatingIfNeeded: offset &+ UInt64(filled)))
                if result < 0, errno == EINTR { continue }
                guard result > 0 else { return }
                filled += result
            }
        }
        return bytes.count == count ? bytes : nil
    }
}
