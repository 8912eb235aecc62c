import CBPF
import Glibc

/// The consumer's end of the BPF ring buffer (libbpf's, which orders the positions as the kernel needs).
@safe package struct RingBuffer: ~Copyable {
    private let ring: OpaquePointer
    private let receiver: Receiver

    @safe private final class Receiver {
        let receive: (UnsafeRawBufferPointer) -> Void
        init(_ receive: @escaping (UnsafeRawBufferPointer) -> Void) { unsafe self.receive = receive }
    }

    /// - Parameter receive: gets each record as the kernel wrote it; the memory is valid only during the call.
    /// - Throws: `BPFError` when the ring cannot be mapped.
    package init(descriptor: Int32, receive: @escaping (UnsafeRawBufferPointer) -> Void) throws(BPFError) {
        // The receiver is kept alive by this value; libbpf keeps an unowned pointer to it.
        let receiver = unsafe Receiver(receive)
        let context = unsafe Unmanaged.passUnretained(receiver).toOpaque()
        let made = unsafe ring_buffer__new(
            descriptor,
            { context, data, size in
                guard let context = unsafe context, let data = unsafe data else { return 0 }
                let receiver = unsafe Unmanaged<Receiver>.fromOpaque(context).takeUnretainedValue()
                unsafe receiver.receive(UnsafeRawBufferPointer(start: data, count: size))
                return 0
            }, context, nil)
        guard let made = unsafe made else { throw .from(errno, operation: "map the ring buffer") }
        unsafe ring = made
        self.receiver = receiver
    }

    deinit { unsafe ring_buffer__free(ring) }

    /// Readable when the kernel woke the consumer.
    package var descriptor: Int32 { unsafe ring_buffer__epoll_fd(ring) }

    /// Hands over every record that waits. Returns how many.
    @discardableResult
    package func drain() -> Int {
        Int(unsafe ring_buffer__consume(ring))
    }
}
