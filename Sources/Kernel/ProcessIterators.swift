import CBPF
import CEvents
import Glibc

extension LoadedBPFObject {
    /// What one process maps as code, or all where `pid` is nil, from the kernel's own structures; `nil` where this
    /// kernel cannot list them.
    package func mappings(of pid: UInt32?) -> [KernelMapping]? {
        guard listsProcesses else { return nil }
        var mappings: [KernelMapping] = []
        let complete = pass(.mappings, over: pid, of: tlswatch_mapping.self) { record in
            guard pid == nil || record.pid == pid else { return }
            mappings.append(
                KernelMapping(
                    pid: record.pid, start: record.start, end: record.end,
                    file: MappedInode(
                        device: record.device, inode: record.inode, generation: record.generation,
                        size: record.size)))
        }
        return complete ? mappings : nil
    }

    /// The processes that hold a TCP socket on a port of TLS; `nil` where this kernel cannot list them.
    package func connectionHolders() -> [UInt32: ConnectionHolder]? {
        guard listsProcesses else { return nil }
        var holders: [UInt32: ConnectionHolder] = [:]
        let complete = pass(.connections, over: nil, of: tlswatch_connection.self) { record in
            holders[record.pid, default: ConnectionHolder()].add(
                port: record.port, listening: record.listening != 0, group: record.group)
        }
        return complete ? holders : nil
    }

    /// Hands over every record of one pass. False when it could not be made or ended early.
    private func pass<Record: BitwiseCopyable>(
        _ name: EmbeddedObject.Iterator, over pid: UInt32?, of type: Record.Type, _ body: (Record) -> Void
    ) -> Bool {
        guard let program = try? unsafe program(name.rawValue) else { return false }
        let descriptor = unsafe tlswatch_open_pass(program, pid ?? 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let stride = MemoryLayout<Record>.stride
        return unsafe withUnsafeTemporaryAllocation(of: Record.self, capacity: (32 << 10) / stride) { buffer in
            while true {
                // Whole records: the kernel's buffer holds no part of one behind what fits.
                let count = unsafe read(descriptor, buffer.baseAddress, buffer.count * stride)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                guard count > 0 else { return count == 0 }
                for index in 0..<(count / stride) { unsafe body(buffer[index]) }
            }
        }
    }
}
