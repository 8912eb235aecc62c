import CBPF
import Glibc

/// Something that happened to a process of this host.
package enum ProcessChange {
    /// It mapped a file as code: that file, as well as it is known.
    case mapped(UInt32, MappedFileEvent)
    case forked(UInt32, parent: UInt32)
    case exited(UInt32)
    /// It began another program: what it mapped is gone.
    case executed(UInt32)
    /// Changes were lost.
    case lost
}

/// Which file was mapped, good for knowing it again for a while: overlayfs's inode, and no size.
package struct MappedHint: Hashable {
    package var major: UInt32
    package var minor: UInt32
    package var inode: UInt64
    package var generation: UInt64
}

/// That a file was mapped.
package struct MappedFileEvent {
    package var hint: MappedHint
    /// As the kernel had it: a process may be gone before it can be looked at.
    package var name: String
    /// Monotonic nanoseconds.
    package var time: UInt64
}

/// Changes that come from each processor by itself, brought into the order in which they happened: a process that ends on
/// one processor has mapped its libraries before, maybe on another.
struct ChangeOrder {
    private var waiting: [(time: UInt64, change: ProcessChange)] = []

    /// Whether something waits for an earlier change that may still come.
    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ change: ProcessChange, at time: UInt64) { waiting.append((time, change)) }

    /// What happened up to `time`, oldest first. By then every processor must have been read.
    mutating func take(until time: UInt64) -> [ProcessChange] {
        let ordered = waiting.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
        let ripe = ordered.prefix { $0.element.time <= time }
        waiting = ordered[ripe.endIndex...].map(\.element)
        return ripe.map(\.element.change)
    }
}

/// The stream of what processes map as code, fork and end: perf_event_open(2)'s side-band records. Owned by the
/// discovery thread.
@safe package final class MappingWatch {
    private let watch: OpaquePointer
    private let inbox: Inbox

    @safe private final class Inbox {
        var changes = ChangeOrder()
    }

    /// - Throws: `BPFError` where perf events are not allowed; the sweep has to do then.
    package init() throws(BPFError) {
        inbox = Inbox()
        let context = unsafe Unmanaged.passUnretained(inbox).toOpaque()
        let opened = unsafe tlswatch_watch_open(
            { context, time, change, pid, parent, mapped in
                guard let context = unsafe context else { return }
                let inbox = unsafe Unmanaged<Inbox>.fromOpaque(context).takeUnretainedValue()
                switch change {
                case TLSWATCH_CHANGE_MAPPED:
                    guard let mapped = unsafe mapped?.pointee else { return }
                    let hint = unsafe MappedHint(
                        major: mapped.major, minor: mapped.minor, inode: mapped.inode, generation: mapped.generation)
                    let name = unsafe mapped.name == nil ? "" : String(cString: mapped.name)
                    inbox.changes.add(.mapped(pid, MappedFileEvent(hint: hint, name: name, time: time)), at: time)
                case TLSWATCH_CHANGE_FORKED: inbox.changes.add(.forked(pid, parent: parent), at: time)
                case TLSWATCH_CHANGE_EXECUTED: inbox.changes.add(.executed(pid), at: time)
                case TLSWATCH_CHANGE_EXITED: inbox.changes.add(.exited(pid), at: time)
                default: inbox.changes.add(.lost, at: time)
                }
            }, context)
        guard let opened = unsafe opened else {
            throw .from(errno, operation: "watch what processes map")
        }
        unsafe watch = opened
    }

    deinit { unsafe tlswatch_watch_close(watch) }

    package var descriptor: Int32 { unsafe tlswatch_watch_descriptor(watch) }

    /// Whether a change waits that `take` will hand out next time.
    package var hasMore: Bool { !inbox.changes.isEmpty }

    /// What has happened since the last call, oldest first.
    package func take() -> [ProcessChange] {
        // What happens while the processors are read, one after the other, is of the next call.
        let now = monotonicNow()
        unsafe tlswatch_watch_drain(watch)
        return inbox.changes.take(until: now)
    }
}
