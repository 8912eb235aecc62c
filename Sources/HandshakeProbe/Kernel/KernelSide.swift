/// The object in the kernel, for the threads that use it.
///
/// Unchecked: after load libbpf's handles are only read, and the maps are reached by system calls.
final class KernelSide: @unchecked Sendable {
    let object: LoadedBPFObject

    init(_ object: consuming LoadedBPFObject) {
        self.object = object
    }
}
