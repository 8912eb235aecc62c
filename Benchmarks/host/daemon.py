"""`tlswatch run` on a free loopback port, and what it says and costs."""
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "common"), os.path.join(HERE, "..", "nginx")]
from tools import BenchmarkError, await_true, free_port  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


class Daemon:
    """A subcommand that serves /metrics: `run`, or `replay FILE`."""

    def __init__(self, binary, *arguments):
        self.port = free_port()
        self.child = subprocess.Popen(
            [binary, *arguments, "--listen", f"127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        await_true("tlswatch to be ready", self._ready, 60)

    def _ready(self):
        if self.child.poll() is not None:
            raise BenchmarkError("tlswatch ended: " + self.child.stderr.read()[-800:])
        try:
            return self._get("/readyz") is not None
        except (OSError, urllib.error.URLError):
            return False

    def _get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()

    def total(self, metric, *labels):
        """The sum of a metric's series that have all these label texts."""
        found = 0.0
        for line in self._get("/metrics").splitlines():
            name = line.split("{")[0].split(" ")[0]
            if name == metric and all(label in line for label in labels):
                found += float(line.rsplit(" ", 1)[1])
        return found

    def cpu(self):
        """Seconds of processor time so far, all threads, as the scheduler counts them."""
        spent = 0
        for task in os.listdir(f"/proc/{self.child.pid}/task"):
            try:
                with open(f"/proc/{self.child.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    spent += int(file.read().split()[0])
            except FileNotFoundError:
                pass
        return spent / 1e9

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(30)
