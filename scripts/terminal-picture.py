#!/usr/bin/env python3
"""terminal-picture.py PICTURE.png COLUMNS SECONDS COMMAND…: what a command shows on a terminal so wide, as a picture.

A command that draws the same screen again and again (`tlswatch top`) is interrupted after so many seconds; its last whole screen
counts. Needs Chromium (Debian: chromium-headless-shell) and a monospaced font with block characters.
"""
import fcntl
import html
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

LINES = 12
LINE_HEIGHT, CHARACTER, MARGIN = 19, 8.43, 20
COLOURS = {"31": "#e5534b", "32": "#57ab5a", "33": "#c69026", "2": "#768390", "1": "#ffffff"}
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1c2128; color: #cdd9e5 }}
pre {{ margin: {margin}px; font: 14px/{height}px "DejaVu Sans Mono", monospace }}
.prompt {{ color: #768390 }}
</style><pre><span class="prompt">$ {command}</span>
{screen}</pre>"""


def shown(command, columns, seconds):
    """What the command writes to a terminal."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    os.kill(process, signal.SIGWINCH)
    written, end = b"", time.monotonic() + seconds
    while True:
        if end and time.monotonic() > end:
            os.kill(process, signal.SIGINT)
            end = None
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.waitpid(process, 0)
    return written.decode()


def screen(text):
    """The last whole screen, or all of it."""
    frames = text.split("\x1b[H")
    if len(frames) > 1:
        text = frames[-1].split("\x1b[J")[0]
    text = re.sub(r"\x1b\[[?0-9;]*[A-Zhl]", "", text).replace("\x1b[K", "").replace("\r", "")
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def marked_up(text):
    """Colours as HTML has them."""
    parts = re.split(r"\x1b\[([0-9;]*)m", text)
    result, is_open = html.escape(parts[0]), False
    for code, piece in zip(parts[1::2], parts[2::2]):
        if is_open:
            result += "</span>"
        colour = COLOURS.get(code)
        is_open = colour is not None
        result += (f'<span style="color:{colour}">' if is_open else "") + html.escape(piece)
    return result + ("</span>" if is_open else "")


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    picture, columns, seconds, command = os.path.abspath(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    text = screen(shown(command, columns, seconds))
    words = [os.path.basename(command[0]), *(f"'{word}'" if re.search(r"[^\w./:=,@-]", word) else word for word in command[1:])]
    with tempfile.TemporaryDirectory() as directory:
        page = os.path.join(directory, "page.html")
        with open(page, "w", encoding="utf-8") as file:
            file.write(PAGE.format(margin=MARGIN, height=LINE_HEIGHT, command=html.escape(" ".join(words)), screen=marked_up(text)))
        height = (text.count("\n") + 2) * LINE_HEIGHT + 2 * MARGIN
        subprocess.run(
            ["chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={picture}",
             "--force-device-scale-factor=1.5", f"--window-size={int(columns * CHARACTER) + 2 * MARGIN},{height}", f"file://{page}"],
            check=True, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
