import ArgumentParser
import HandshakeProbe
import Kernel

/// A failure with its documented exit status.
struct CommandFailure: Error {
    enum Status: Int32 {
        case usage = 64
        case input = 65
        case unsupported = 69
        case system = 71
        case privilege = 77
        case interrupted = 130
    }

    var status: Status
    var message: String

    init(_ status: Status, _ message: String) {
        self.status = status
        self.message = message
    }

    init(_ error: BPFError) {
        message = error.description
        status =
            switch error.category {
            case .privilege: .privilege
            case .unsupported: .unsupported
            case .input: .input
            case .system: .system
            }
    }
}

/// All that is wrong with the settings of one place or several.
struct ConfigurationErrors: Error {
    /// At least one, each with its place.
    var errors: [CommandFailure]

    /// A file's comes before the environment's.
    var status: CommandFailure.Status { errors.contains { $0.status == .input } ? .input : .usage }
    /// A line for each.
    var message: String { errors.map(\.message).joined(separator: "\n") }
}

/// Runs a command's body: a failure is told in one line and becomes the exit status.
func reporting(_ body: () throws -> Void) throws {
    do {
        try body()
    } catch {
        throw report(error)
    }
}

/// Tells of an error, on standard error or as told; what is returned carries the exit status.
func report(_ error: any Error, by tell: (String) -> Void = { tell("tlswatch: \($0)") }) -> any Error {
    let failure: CommandFailure
    switch error {
    case let error as ConfigurationErrors:
        for one in error.errors { tell(one.message) }
        return ExitCode(error.status.rawValue)
    case let error as CommandFailure: failure = error
    case let error as BPFError: failure = CommandFailure(error)
    case let error as WebConfigurationError: failure = CommandFailure(.input, error.description)
    case let error as RecordingError: failure = CommandFailure(.input, error.description)
    default: return error
    }
    tell(failure.message)
    return ExitCode(failure.status.rawValue)
}
