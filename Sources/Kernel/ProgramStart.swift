import CBPF
import Glibc

/// Whom a program is started as: exactly these groups, and no capability unless the user is root.
package struct UserCredentials: Sendable, Equatable {
    package var user: UInt32
    package var group: UInt32
    /// All of them, `group` among them.
    package var groups: [UInt32]

    package init(user: UInt32, group: UInt32, groups: [UInt32]) {
        self.user = user
        self.group = group
        self.groups = groups
    }
}

/// Why a program could not be started.
package struct ProgramStartError: Error {
    package enum Step: Sendable { case start, become, execute }

    package var step: Step
    package var errno: Int32
}

/// Starts a program with this process's standard streams, default dispositions of SIGINT, SIGTERM and SIGPIPE, and no signal
/// blocked. Any thread.
///
/// - Parameters:
///   - arguments: the first is the program's name for itself.
///   - variables: of its environment, by name; all others are this process's own.
///   - credentials: `nil` for this process's own.
/// - Returns: its process id; the program runs, and is the caller's to wait for.
package func startProgram(
    _ path: String, arguments: [String], setting variables: [String: String] = [:], as credentials: UserCredentials?
) throws(ProgramStartError) -> pid_t {
    let words = unsafe arguments.map { unsafe strdup($0) }
    let own = unsafe variables.map { unsafe strdup("\($0.key)=\($0.value)") }
    defer {
        unsafe words.forEach { unsafe free($0) }
        unsafe own.forEach { unsafe free($0) }
    }
    let list = unsafe words + [nil]
    let environment = unsafe own + inheritedVariables(but: Set(variables.keys)) + [nil]
    let started: tlswatch_spawned
    if let credentials {
        started = unsafe credentials.groups.withUnsafeBufferPointer { groups in
            var wanted = unsafe tlswatch_credentials(
                user: credentials.user, group: credentials.group, groups: groups.baseAddress,
                group_count: UInt32(groups.count))
            return unsafe tlswatch_spawn(path, list, environment, &wanted)
        }
    } else {
        started = unsafe tlswatch_spawn(path, list, environment, nil)
    }
    guard started.pid == 0 else { return started.pid }
    let step: ProgramStartError.Step =
        switch started.step {
        case TLSWATCH_SPAWN_BECOME: .become
        case TLSWATCH_SPAWN_EXECUTE: .execute
        default: .start
        }
    throw ProgramStartError(step: step, errno: started.error)
}

/// This process's variables, as they are: their bytes may be no text.
private func inheritedVariables(but names: Set<String>) -> [UnsafeMutablePointer<CChar>?] {
    var found: [UnsafeMutablePointer<CChar>?] = unsafe []
    var next = unsafe environ
    while let variable = unsafe next.pointee {
        let name = unsafe String(cString: variable).prefix { $0 != "=" }
        if !names.contains(String(name)) { unsafe found.append(variable) }
        unsafe next = next.successor()
    }
    return unsafe found
}
