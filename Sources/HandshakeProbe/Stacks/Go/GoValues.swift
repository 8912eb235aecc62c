import Code

/// Types whose values are told apart at a handshake's end: of errors, and of connections. The raw values are the stack's numbers
/// for them (`struct tlswatch_type`); 0 is a type that is none of these.
enum GoValue: UInt8, CaseIterable {
    case alert = 1
    /// syscall.Errno.
    case errno
    /// errors.errorString: its text's length and its first two bytes tell which.
    case text
    case operation
    case permanent
    case verification
    case systemCall
    case wrapped

    // crypto/x509
    case unknownAuthority
    case hostname
    case certificateInvalid
    case constraint
    case systemRoots
    case criticalExtension
    case algorithm

    case recordHeader
    case echRejected
    case deadline
    case closed
    /// No type: `closed`, and by a context.
    case canceled

    case socket = 64
    case wrapper
}

/// How Go's interface values are read: which types wrap what, and where.
struct GoInterfaces {
    let layout: InterfaceLayout?

    /// What an interface of the type holds: the value's address, or the pointer that is the value.
    private struct ErrorType {
        var name: GoTypeName
        var value: GoValue
        /// The error is a pointer to it.
        var isPointer = true
        /// The field with the error inside.
        var inner: String?
        /// A field that tells more, and its size; the value itself where it has no name.
        var detail: (field: String?, size: UInt8)?
    }

    private static func errors(_ package: String) -> [ErrorType] {
        func x509(_ name: String, _ value: GoValue) -> ErrorType {
            ErrorType(name: GoTypeName("crypto/x509", name), value: value, isPointer: false)
        }
        return [
            ErrorType(name: GoTypeName(package, "alert"), value: .alert, isPointer: false, detail: (nil, 1)),
            ErrorType(name: GoTypeName(package, "AlertError"), value: .alert, isPointer: false, detail: (nil, 1)),
            // quic-go's forks return Go's own.
            ErrorType(name: GoTypeName(Go.package, "AlertError"), value: .alert, isPointer: false, detail: (nil, 1)),
            ErrorType(name: GoTypeName("syscall", "Errno"), value: .errno, isPointer: false, detail: (nil, 4)),
            ErrorType(name: GoTypeName("errors", "errorString"), value: .text, detail: ("s", 0)),
            ErrorType(name: GoTypeName("net", "OpError"), value: .operation, inner: "Err"),
            ErrorType(name: GoTypeName(package, "permanentError"), value: .permanent, inner: "err"),
            ErrorType(name: GoTypeName(package, "CertificateVerificationError"), value: .verification, inner: "Err"),
            ErrorType(name: GoTypeName("os", "SyscallError"), value: .systemCall, inner: "Err"),
            ErrorType(name: GoTypeName("fmt", "wrapError"), value: .wrapped, inner: "err"),
            x509("UnknownAuthorityError", .unknownAuthority), x509("HostnameError", .hostname),
            ErrorType(
                name: GoTypeName("crypto/x509", "CertificateInvalidError"), value: .certificateInvalid,
                isPointer: false, detail: ("Reason", 4)),
            x509("ConstraintViolationError", .constraint), x509("SystemRootsError", .systemRoots),
            x509("UnhandledCriticalExtension", .criticalExtension), x509("InsecureAlgorithmError", .algorithm),
            ErrorType(name: GoTypeName(package, "RecordHeaderError"), value: .recordHeader, isPointer: false),
            ErrorType(name: GoTypeName(package, "ECHRejectionError"), value: .echRejected),
            ErrorType(name: GoTypeName("internal/poll", "DeadlineExceededError"), value: .deadline),
            ErrorType(name: GoTypeName("internal/poll", "errNetClosing"), value: .closed, isPointer: false),
        ]
    }

    /// The connections that are sockets: their struct's first field leads to the descriptor.
    private static let sockets = [GoTypeName("net", "TCPConn"), GoTypeName("net", "UnixConn")]
    /// What makes a type a connection (net.Conn).
    private static let connectionMethods: Set<String> = [
        "Read", "Write", "Close", "LocalAddr", "RemoteAddr", "SetDeadline", "SetReadDeadline", "SetWriteDeadline",
    ]
    /// Types of connections that are looked through, of one file.
    private static let wrapperLimit = 256

    init(package: String, layout fields: GoLayout, _ types: GoTypes) {
        guard let errors = fields.errors, let mutex = fields.mutex else {
            layout = nil
            return
        }
        let known = Self.errors(package)
        let named = types.named(Set(known.map(\.name) + Self.sockets + [GoTypeName(package, "Conn")]))
        var table: [UInt64: InterfaceType] = [:]
        let pointers = types.pointers(to: Set(known.filter(\.isPointer).compactMap { named[$0.name] }))
        for error in known {
            guard let type = named[error.name] else { continue }
            let fields = types.fields(of: type)
            var entry = InterfaceType(number: UInt16(error.value.rawValue))
            if let inner = error.inner {
                guard let field = fields[inner] else { continue }
                entry.inner = UInt16(clamping: field.offset)
            }
            if let (name, size) = error.detail {
                guard let offset = name.map({ fields[$0]?.offset }) ?? 0 else { continue }
                entry.detail = InterfaceType.Detail(offset: UInt16(clamping: offset), size: size)
            }
            guard let address = error.isPointer ? pointers[type] : type else { continue }
            table[address] = entry
        }
        let descriptor = Self.addConnections(named, package: package, types, &table)
        layout = InterfaceLayout(
            connection: fields.connection, incomingError: errors.in, outgoingError: errors.out, mutex: mutex,
            socket: descriptor == nil ? 0 : UInt16(GoValue.socket.rawValue), pointer: descriptor?.pointer ?? 0,
            descriptor: descriptor?.descriptor ?? 0, canceled: Self.cancellation(types),
            types: Dictionary(table.map { (UInt32(truncatingIfNeeded: $0.key), $0.value) }) { first, _ in first })
    }

    /// Where a context that can be canceled keeps why it was: an error, or since 1.25 an atomic value.
    private static func cancellation(_ types: GoTypes) -> UInt16? {
        let name = GoTypeName("context", "cancelCtx")
        guard let type = types.named([name])[name], let field = types.fields(of: type)["err"] else { return nil }
        return UInt16(exactly: field.offset)
    }

    /// Adds sockets, and what wraps them. Returns where a socket keeps its descriptor.
    private static func addConnections(
        _ named: [GoTypeName: UInt64], package: String, _ types: GoTypes, _ table: inout [UInt64: InterfaceType]
    ) -> (pointer: UInt16, descriptor: UInt16)? {
        let structures = sockets.compactMap { named[$0] }
        let pointers = types.pointers(to: Set(structures))
        var found: (pointer: UInt16, descriptor: UInt16)?
        for structure in structures {
            guard let place = descriptor(of: structure, types), let pointer = pointers[structure],
                found == nil || found! == place
            else { continue }
            found = place
            table[pointer] = InterfaceType(number: UInt16(GoValue.socket.rawValue))
        }
        guard found != nil else { return nil }
        let interfaces = types.interfaces(with: connectionMethods)
        let direct = Set(pointers.values)
        let wrappers = types.structures(withFieldOf: interfaces.union(direct), limit: wrapperLimit)
        let own = Set(structures + [named[GoTypeName(package, "Conn")]].compactMap { $0 })
        let wrapperPointers = types.pointers(to: Set(wrappers.map(\.type)).subtracting(own))
        for (type, fields) in wrappers where !own.contains(type) {
            // Of several fields nobody knows which one is read from.
            guard fields.count == 1, let field = fields.first, let offset = UInt16(exactly: field.offset) else {
                continue
            }
            var entry = InterfaceType(number: UInt16(GoValue.wrapper.rawValue), inner: offset)
            if direct.contains(field.type) { entry.pointed = UInt16(GoValue.socket.rawValue) }
            if let pointer = wrapperPointers[type], table[pointer] == nil, types.has(connectionMethods, pointer) {
                table[pointer] = entry
            }
            if table[type] == nil, !types.isDirect(type), types.has(connectionMethods, type) { table[type] = entry }
        }
        return found
    }

    /// TCPConn.conn.fd → netFD.pfd.Sysfd.
    private static func descriptor(of socket: UInt64, _ types: GoTypes) -> (pointer: UInt16, descriptor: UInt16)? {
        guard let conn = types.fields(of: socket)["conn"], let pointer = types.fields(of: conn.type)["fd"],
            let target = types.pointee(of: pointer.type), let poll = types.fields(of: target)["pfd"],
            let descriptor = types.fields(of: poll.type)["Sysfd"],
            let first = UInt16(exactly: conn.offset + pointer.offset),
            let second = UInt16(exactly: poll.offset + descriptor.offset)
        else { return nil }
        return (first, second)
    }
}
