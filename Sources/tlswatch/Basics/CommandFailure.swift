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
    case let error as CommandFailure: failure = error
    case let error as BPFError: failure = CommandFailure(error)
    case let error as WebConfigurationError: failure = CommandFailure(.input, error.description)
    case let error as RecordingError: failure = CommandFailure(.input, error.description)
    default: return error
    }
    tell(failure.message)
    return ExitCode(failure.status.rawValue)
}
