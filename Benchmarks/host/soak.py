#!/usr/bin/env python3
"""Whether the daemon's memory and descriptors stay flat: `make bench-soak MINUTES=30`, or soak.py --tlswatch PATH.

Processes come and go all the while: programs that handshake and end, some of them with libraries of their own that are
new to the host and gone a moment later, others that are killed in a handshake. Memory is compared between the second
quarter of the time and the last one: what grows with use shows as a difference, what is taken once does not.
Exit status 1 where it grew.
"""
import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from daemon import BenchmarkError, Daemon, await_true, free_port
from tools import listening, run

QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Growth that is no leak: pages of heaps that a longer run touches here and there.
SLACK, SHARE = 2e6, 0.05


class Server:
    """openssl s_server, by libraries of its own where a directory of them is given."""

    def __init__(self, directory, libraries=None):
        self.port = free_port()
        self.environment = dict(os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {}))
        self.child = subprocess.Popen(
            ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{self.port}", "-cert",
             f"{directory}/certificate.pem", "-key", f"{directory}/key.pem"], env=self.environment, **QUIET)
        await_true("s_server", lambda: listening(self.port) or self.child.poll() is not None)

    def connect(self, count):
        for _ in range(count):
            subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}"], env=self.environment,
                           timeout=30, check=False, **QUIET)

    def stop(self):
        self.child.kill()
        self.child.wait(10)


def churn(directory, number, system):
    """One turn: about two dozen processes."""
    system.connect(12)
    copies = tempfile.mkdtemp(dir=directory)
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shutil.copy(f"/usr/lib/x86_64-linux-gnu/{name}", copies)
    server = Server(directory, copies)
    server.connect(3)
    # A replaced library lives on in its process.
    os.rename(f"{copies}/libssl.so.3", f"{copies}/old")
    shutil.copy(f"{copies}/old", f"{copies}/libssl.so.3")
    server.connect(2)
    server.stop()
    shutil.rmtree(copies)
    # One that is killed while it waits for the peer.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        waiting = subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % silent.getsockname()[1], "-servername",
             f"name-{number}.example"], **QUIET)
        connection, _ = silent.accept()
        connection.recv(1)
        waiting.kill()
        waiting.wait(10)
        connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlswatch", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("soak.py needs root")
    directory = tempfile.mkdtemp()
    daemon = system = None
    try:
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=a.example", "-keyout", f"{directory}/key.pem", "-out", f"{directory}/certificate.pem")
        daemon = Daemon(os.path.abspath(arguments.tlswatch), "run", "--label", "sni:50")
        system = Server(directory)
        begun, turns, samples = time.monotonic(), 0, []
        while time.monotonic() - begun < arguments.minutes * 60:
            churn(directory, turns, system)
            turns += 1
            samples.append((daemon.memory(), daemon.descriptors()))
            if turns % 50 == 0:
                print(f"{(time.monotonic() - begun) / 60:5.1f} min: {turns} turns, {samples[-1][0] / 1e6:.1f} MB, "
                      f"{samples[-1][1]} descriptors", flush=True)
        system.stop()
        system = None
        quarter = max(1, len(samples) // 4)
        early, late = samples[quarter:2 * quarter] or samples, samples[-quarter:]
        memory = [statistics.median(sample[0] for sample in part) for part in (early, late)]
        open_files = [statistics.median(sample[1] for sample in part) for part in (early, late)]
        started = daemon.total("tlswatch_sessions_started_total")
        ended = daemon.total("tlswatch_handshakes_total")
        flying = daemon.total("tlswatch_handshakes_in_flight")
        spent = daemon.cpu() / (time.monotonic() - begun)
        print(f"{arguments.minutes:g} minutes, {turns} turns, {ended:,.0f} handshakes: memory {memory[0] / 1e6:.1f} MB, "
              f"then {memory[1] / 1e6:.1f} MB; descriptors {open_files[0]:.0f}, then {open_files[1]:.0f}; {spent:.2%} of a core")
        if started != ended + flying:
            sys.exit(f"soak.py: {started} sessions began, {ended} ended, {flying} are in flight")
        if memory[1] > memory[0] * (1 + SHARE) + SLACK or open_files[1] > open_files[0] + 4:
            sys.exit("soak.py: it grew")
    except BenchmarkError as error:
        sys.exit(f"soak.py: {error}")
    finally:
        for part in (system, daemon):
            if part:
                part.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
