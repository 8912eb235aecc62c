import ArgumentParser
import Handshakes

/// What was probably meant by arguments that are not understood.
enum UsageHint {
    /// A word in the place of a command that is none: the message; `nil` where it is one, or an option.
    static func unknownCommand(_ arguments: [String]) -> String? {
        guard let word = arguments.first, !word.hasPrefix("-") else { return nil }
        let names = TLSWatch.configuration.subcommands.map { $0._commandName } + ["help"]
        guard !names.contains(word) else { return nil }
        let clean = PeerText.clean(String(word.prefix(40)))
        let meant = NearestName.of(word, among: names) ?? names.first { $0.hasPrefix(word) }
        return "unknown command '\(clean)'"
            + (meant.map { "; did you mean 'tlswatch \($0)'?" } ?? ": there are \(names.joined(separator: ", "))")
    }

    /// A capture of a command whose `--` was forgotten; `nil` where that is not it.
    ///
    /// - Parameter message: what the parser says.
    static func forgottenTerminator(_ arguments: [String], _ message: String) -> String? {
        guard arguments.first == "capture", !arguments.contains("--"),
            let place = arguments.indices.dropFirst().first(where: { place in
                !arguments[place].hasPrefix("-") && message.contains("\u{27}\(arguments[place])\u{27}")
                    && message.lowercased().contains("unexpected argument")
            })
        else { return nil }
        let command = (arguments[..<place] + ["--"] + arguments[place...]).map { PeerText.clean($0) }
        return "to capture a command, write -- before it: tlswatch \(command.joined(separator: " "))"
    }
}
