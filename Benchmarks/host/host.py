#!/usr/bin/env python3
"""What the daemon costs its host: `make bench-host`, or host.py --tlswatch PATH. About four minutes.

Needs root and what nginx.py needs. Five figures, each of one run of the daemon:
- idle: its processor time while nothing happens;
- sessions: its processor time for each real handshake side, and for 10,000 sessions a second replayed at that pace;
- processes: what thousands of processes cost at its start, at each sweep, and at rest;
- programs: what a program that starts costs it;
- libraries: how long after its program's start a library that is new to the host is observed.
"""
import argparse
import datetime
import json
import os
import signal
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from daemon import BenchmarkError, Daemon, await_true
from multiply import multiply
from server import Load
from tools import run


def share(daemon, seconds):
    """Of one core, over a while."""
    begun, spent = time.monotonic(), daemon.cpu()
    time.sleep(seconds)
    return (daemon.cpu() - spent) / (time.monotonic() - begun)


def idle(binary, seconds):
    daemon = Daemon(binary, "run")
    try:
        time.sleep(3)  # what starting leaves to do
        print(f"idle: {share(daemon, seconds):.3%} of a core over {seconds} s (goal: under 0.1 %), "
              f"{daemon.memory() / 1e6:.0f} MB resident")
    finally:
        daemon.stop()


def real(binary, directory, handshakes):
    load = Load(directory)
    daemon = Daemon(binary, "run", "--pid", str(load.worker))
    try:
        load.handshakes("count", 200)
        before, spent = daemon.total("tlswatch_handshakes_total"), daemon.cpu()
        begun = time.monotonic()
        made, _ = load.handshakes("count", handshakes)
        elapsed = time.monotonic() - begun
        await_true("all of them to be told",
                   lambda: daemon.total("tlswatch_handshakes_total") - before >= made)
        each = (daemon.cpu() - spent) / made
        print(f"sessions, real: {made / elapsed:,.0f} a second by nginx, {each * 1e6:.1f} us of CPU each "
              f"({each * 10_000:.1%} of a core at 10,000 a second; goal: under 5 %)")
    finally:
        daemon.stop()
        load.stop()


def record(binary, directory, load, count):
    path = os.path.join(directory, "recording")
    capture = subprocess.Popen(
        [binary, "capture", "--pid", str(load.worker), "--format", "json", "--record", path, "--count", str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while capture.stderr.readline().strip() != "ready":
        if capture.poll() is not None:
            raise BenchmarkError("capture ended before it was ready")
    load.handshakes("count", count)
    capture.wait(30)
    return path


def replayed(binary, directory, seconds):
    load = Load(directory)
    try:
        source = record(binary, directory, load, 100)
    finally:
        load.stop()
    target = os.path.join(directory, "many")
    made = multiply(source, target, 100, 10_000, seconds)
    daemon = Daemon(binary, "replay", target)
    try:
        time.sleep(1)
        rate = daemon.total("tlswatch_handshakes_total")
        cost = share(daemon, seconds - 4)
        rate = (daemon.total("tlswatch_handshakes_total") - rate) / (seconds - 4)
        print(f"sessions, replayed: {rate:,.0f} a second of {made:,} recorded ones: {cost:.1%} of a core "
              "(goal: under 5 %)")
    finally:
        daemon.stop()


FORKER = """
import os, signal, sys
import ssl
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
        os._exit(0)
print("forked", flush=True)
sys.stdin.read()
os.killpg(0, signal.SIGTERM)
"""


def processes(binary, count):
    forker = subprocess.Popen([sys.executable, "-c", FORKER, str(count)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        if forker.stdout.readline().strip() != "forked":
            raise BenchmarkError("the processes could not be started")
        begun = time.monotonic()
        daemon = Daemon(binary, "run", "--sweep-interval", "10m")
        started = time.monotonic() - begun
        try:
            time.sleep(3)
            rest = share(daemon, 20)
        finally:
            daemon.stop()
        daemon = Daemon(binary, "run", "--sweep-interval", "1s")
        try:
            time.sleep(3)
            sweeping = share(daemon, 20)
            seen = daemon.total("tlswatch_observed_processes", 'state="observed"')
        finally:
            daemon.stop()
        sweep = max(0, sweeping - rest)
        print(f"processes: {count:,} more ({seen:,.0f} observed): ready in {started:.2f} s, {sweep * 1e3:.1f} ms of CPU "
              f"a sweep, {rest:.3%} of a core at rest; by the default of a sweep each 30 s {rest + sweep / 30:.3%}")
    finally:
        forker.stdin.close()
        try:
            forker.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(forker.pid, signal.SIGKILL)
            forker.wait(30)


def programs(binary, count):
    daemon = Daemon(binary, "run")
    try:
        time.sleep(3)
        rest = share(daemon, 5)
        begun, spent = time.monotonic(), daemon.cpu()
        for _ in range(count):
            subprocess.run(["/bin/true"], check=True)
        elapsed = time.monotonic() - begun
        each = (daemon.cpu() - spent - rest * elapsed) / count
        print(f"programs: {count / elapsed:,.0f} start a second, {each * 1e6:.0f} us of CPU each")
    finally:
        daemon.stop()


def libraries(binary, count):
    """By the daemon's own log, against the start of a program with a copy of libssl."""
    daemon = subprocess.Popen(
        [binary, "run", "--listen", "127.0.0.1:0", "--log-format", "json"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    delays = []
    try:
        while '"listening"' not in daemon.stderr.readline():
            if daemon.poll() is not None:
                raise BenchmarkError("the daemon ended before it was ready")
        linked = run("ldd", shutil.which("openssl"))
        files = [line.split()[2] for line in linked.splitlines() if "libssl" in line or "libcrypto" in line]
        for _ in range(count):
            with tempfile.TemporaryDirectory() as directory:
                for file in files:
                    shutil.copy(file, directory)
                begun = time.time()
                program = subprocess.Popen(
                    ["openssl", "s_server", "-accept", "127.0.0.1:0", "-nocert"], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env=dict(os.environ, LD_LIBRARY_PATH=directory))
                try:
                    entry = {}
                    while directory not in entry.get("metadata", {}).get("library", ""):
                        entry = json.loads(daemon.stderr.readline())
                finally:
                    program.kill()
                    program.wait()
                told = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00"))
                delays.append(told.timestamp() - begun)
    finally:
        daemon.terminate()
        daemon.wait(30)
    print(f"libraries: {count} that are new to the host, observed {statistics.median(delays) * 1e3:.0f} ms after their "
          f"program's start, {max(delays) * 1e3:.0f} ms at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlswatch", required=True)
    parser.add_argument("--only", choices=["idle", "sessions", "processes", "programs", "libraries"])
    parser.add_argument("--processes", type=int, default=2000)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.tlswatch)
    if os.geteuid() != 0:
        sys.exit("host.py needs root")
    print(f"Linux {os.uname().release}, {os.cpu_count()} cores, {run(binary, '--version').strip()}")
    wanted = arguments.only
    try:
        if wanted in (None, "idle"):
            idle(binary, 60)
        if wanted in (None, "sessions"):
            with tempfile.TemporaryDirectory() as directory:
                real(binary, directory, 4000)
            with tempfile.TemporaryDirectory() as directory:
                replayed(binary, directory, 14)
        if wanted in (None, "processes"):
            processes(binary, arguments.processes)
        if wanted in (None, "programs"):
            programs(binary, 500)
        if wanted in (None, "libraries"):
            libraries(binary, 10)
    except BenchmarkError as error:
        sys.exit(f"host.py: {error}")


if __name__ == "__main__":
    main()
