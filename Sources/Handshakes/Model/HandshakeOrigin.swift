/// Who made a session, as far as it is known. Most sessions share it with others, so it stands behind one reference: to copy
/// a session is not to count references to each of its texts.
package final class HandshakeProcess: Sendable, Equatable {
    /// As in `Handshake`.
    package let comm: String
    package let thread, exe, container, unit, pod: String?

    package init(
        comm: String, thread: String? = nil, exe: String? = nil, container: String? = nil, unit: String? = nil,
        pod: String? = nil
    ) {
        self.comm = comm
        self.thread = thread
        self.exe = exe
        self.container = container
        self.unit = unit
        self.pod = pod
    }

    package static func == (left: HandshakeProcess, right: HandshakeProcess) -> Bool {
        left === right
            || (left.comm == right.comm && left.thread == right.thread && left.exe == right.exe
                && left.container == right.container && left.unit == right.unit && left.pod == right.pod)
    }
}

/// The TLS implementation that made a session; in the same way.
package final class HandshakeImplementation: Sendable, Equatable {
    package let stack, library: String
    package let version: String?

    package init(stack: String, library: String, version: String?) {
        self.stack = stack
        self.library = library
        self.version = version
    }

    package static func == (left: HandshakeImplementation, right: HandshakeImplementation) -> Bool {
        left === right || (left.stack == right.stack && left.library == right.library && left.version == right.version)
    }
}

extension Handshake {
    /// The process's name: its main thread's.
    public var comm: String {
        get { process.comm }
        set { setProcess(comm: newValue) }
    }
    /// The name of the thread that began the handshake.
    public var thread: String? {
        get { process.thread }
        set { setProcess(thread: newValue) }
    }
    public var exe: String? {
        get { process.exe }
        set { setProcess(exe: newValue) }
    }
    /// The container that the process runs in, the first twelve digits of its identifier; `nil` outside of one.
    public var container: String? {
        get { process.container }
        set { setProcess(container: newValue) }
    }
    /// The systemd unit that the process belongs to, `nginx.service`; `nil` if there is none.
    public var unit: String? {
        get { process.unit }
        set { setProcess(unit: newValue) }
    }
    /// The UID of the Kubernetes pod that the process runs in; `nil` outside of one.
    public var pod: String? {
        get { process.pod }
        set { setProcess(pod: newValue) }
    }

    /// Another one for this session alone, with one text changed.
    private mutating func setProcess(
        comm: String? = nil, thread: String?? = .none, exe: String?? = .none, container: String?? = .none,
        unit: String?? = .none, pod: String?? = .none
    ) {
        process = HandshakeProcess(
            comm: comm ?? process.comm, thread: thread ?? process.thread, exe: exe ?? process.exe,
            container: container ?? process.container, unit: unit ?? process.unit, pod: pod ?? process.pod)
    }

    public var stack: String {
        get { implementation.stack }
        set {
            implementation = HandshakeImplementation(stack: newValue, library: library, version: libraryVersion)
        }
    }
    public var library: String {
        get { implementation.library }
        set { implementation = HandshakeImplementation(stack: stack, library: newValue, version: libraryVersion) }
    }
    public var libraryVersion: String? {
        get { implementation.version }
        set { implementation = HandshakeImplementation(stack: stack, library: library, version: newValue) }
    }

    /// `127.0.0.1:443`, `[::1]:443`.
    public var local: String? {
        get { localName?.text }
        set { localName = newValue.map(SocketName.text) }
    }
    public var remote: String? {
        get { remoteName?.text }
        set { remoteName = newValue.map(SocketName.text) }
    }
}
