import CBPF

/// Where the C library keeps the memory of large buffers.
package enum LargeBuffers {
    /// Bytes: above what records, label sets and answers take, below the sections of a library.
    private static let size = 256 << 10

    /// Gives them back to the kernel as soon as they are free. Left alone, the allocator takes the largest buffer freed so
    /// far for usual, and the arena of the thread that reads other programs' files keeps the size of the largest.
    ///
    /// Once, at the start.
    package static func giveBack() { _ = tlswatch_map_buffers_from(size) }

    /// Gives the kernel all memory back that is free by now, small pieces' too: a thread's arena shrinks by itself only as long as
    /// nothing at its end is in use.
    package static func giveBackFreed() { tlswatch_give_back_freed() }
}
