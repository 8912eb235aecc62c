/// The object in the kernel, for the threads that use it.
///
/// Unchecked: after load libbpf's handles are only read, and the maps are reached by system calls.
package final class KernelSide: @unchecked Sendable {
    package let object: LoadedBPFObject

    package init(_ object: consuming LoadedBPFObject) {
        self.object = object
    }
}
