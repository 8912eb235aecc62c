import CBPF
import Glibc

extension LoadedBPFObject {
    /// What one process maps as code, or all where `pid` is nil, from the kernel's own structures; `nil` where this
    /// kernel cannot list them.
    func mappings(of pid: UInt32?) -> [KernelMapping]? {
        guard listsMappings, let program = try? unsafe program(EmbeddedObject.mappingsProgram) else { return nil }
        let descriptor = unsafe tlswatch_open_mappings(program, pid ?? 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var mappings: [KernelMapping] = []
        var buffer = [tlswatch_mapping](repeating: tlswatch_mapping(), count: 512)
        let stride = MemoryLayout<tlswatch_mapping>.stride
        while true {
            // Whole records: the kernel's buffer holds no part of one behind what fits.
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { return count == 0 ? mappings : nil }
            for record in buffer.prefix(count / stride) where pid == nil || record.pid == pid {
                mappings.append(
                    KernelMapping(
                        pid: record.pid, start: record.start, end: record.end,
                        file: MappedInode(
                            device: record.device, inode: record.inode, generation: record.generation,
                            size: record.size)))
            }
        }
    }
}
