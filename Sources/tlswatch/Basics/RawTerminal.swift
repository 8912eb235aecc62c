import Glibc

/// A terminal whose keys come one by one and are not shown, with a screen of its own. `restore` gives back what was there,
/// however the program ends.
struct RawTerminal {
    private let before: termios

    /// `nil` for what is no terminal.
    init?() {
        var mode = termios()
        guard isatty(0) == 1, isatty(1) == 1, unsafe tcgetattr(0, &mode) == 0 else { return nil }
        before = mode
        // Ctrl-C stays a signal.
        mode.c_lflag &= ~tcflag_t(ICANON | ECHO)
        // A read waits for nothing: poll(2) does.
        unsafe withUnsafeMutableBytes(of: &mode.c_cc) { bytes in
            unsafe bytes[Int(VMIN)] = 0
            unsafe bytes[Int(VTIME)] = 0
            // Ctrl-Z would leave the terminal like this.
            unsafe bytes[Int(VSUSP)] = 0
        }
        guard unsafe tcsetattr(0, TCSANOW, &mode) == 0 else { return nil }
        Self.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")
    }

    /// Wraps lines again, shows the cursor, and the screen as it was.
    func restore() {
        Self.write("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
        var mode = before
        unsafe _ = tcsetattr(0, TCSANOW, &mode)
    }

    /// The lines from the top, whatever was there.
    func draw(_ lines: [String]) {
        Self.write("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }

    /// A key that was pressed, waiting for so many milliseconds; `nil` if none was. Of a key that sends more than one byte
    /// only the first counts.
    func key(within milliseconds: Int32) -> Character? {
        var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&descriptor, 1, milliseconds) > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        guard unsafe read(0, &bytes, 32) > 0 else {
            // Nobody is at the terminal any more: no reason to spin.
            _ = poll(nil, 0, milliseconds)
            return nil
        }
        return Character(Unicode.Scalar(bytes[0]))
    }

    private static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(1, $0.baseAddress, $0.count) }
            if count <= 0, errno != EINTR { return }
            bytes = bytes.dropFirst(max(0, count))
        }
    }
}
