import CBPF
import Glibc

/// The processes that begin a program, as they do. Owned by the discovery thread.
@safe package final class BegunPrograms {
    private let ring: OpaquePointer
    private let inbox: Inbox

    @safe private final class Inbox {
        var processes: [UInt32] = []
    }

    /// - Throws: `BPFError` when the ring cannot be mapped.
    package init(descriptor: Int32) throws(BPFError) {
        inbox = Inbox()
        let context = unsafe Unmanaged.passUnretained(inbox).toOpaque()
        let made = unsafe ring_buffer__new(
            descriptor,
            { context, data, size in
                guard let context = unsafe context, let data = unsafe data, size >= MemoryLayout<UInt32>.size else {
                    return 0
                }
                let inbox = unsafe Unmanaged<Inbox>.fromOpaque(context).takeUnretainedValue()
                unsafe inbox.processes.append(data.loadUnaligned(as: UInt32.self))
                return 0
            }, context, nil)
        guard let made = unsafe made else { throw .from(errno, operation: "map the ring of programs that begin") }
        unsafe ring = made
    }

    deinit { unsafe ring_buffer__free(ring) }

    /// Readable when a program has begun.
    package var descriptor: Int32 { unsafe ring_buffer__epoll_fd(ring) }

    /// Those that have begun one since the last call.
    package func take() -> [UInt32] {
        unsafe _ = ring_buffer__consume(ring)
        defer { inbox.processes.removeAll(keepingCapacity: true) }
        return inbox.processes
    }
}
