import Glibc

/// How much a terminal shows, as it is now.
struct TerminalSize: Equatable {
    var columns: Int
    var rows: Int

    /// `nil` for what is no terminal or does not say: serial lines have no size.
    static func of(_ descriptor: Int32) -> TerminalSize? {
        var size = winsize()
        guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return nil
        }
        return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}
