"""What the benchmarks share: running programs, waiting, ports, a certificate."""
import os
import socket
import subprocess
import time

DEADLINE = 30


class BenchmarkError(Exception):
    """Something the benchmark needs is missing or failed."""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")
    return done.stdout


def await_true(what, condition, deadline=DEADLINE):
    if not await_within(deadline, condition):
        raise BenchmarkError(f"waited {deadline} s in vain for {what}")


def await_within(deadline, condition):
    """Whether it became true. Time in which this process was not run, such as a frozen one, does not count."""
    left, last = deadline, time.monotonic()
    while not condition():
        now = time.monotonic()
        left -= min(now - last, 1)
        last = now
        if left < 0:
            return False
        time.sleep(0.005)
    return True


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    """On IPv4, or on all addresses of IPv6."""
    for path, nobody in (("/proc/net/tcp", "0" * 8), ("/proc/net/tcp6", "0" * 32)):
        with open(path, encoding="ascii") as table:
            if any(f":{port:04X} {nobody}:0000 0A" in line for line in table):
                return True
    return False


def compile_tool(target, *arguments):
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, *arguments)
    return target


def cache():
    """Where scripts/fetch-tls-builds.sh puts what it fetches."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME") or "/var/tmp", ".cache")
    return os.environ.get("TLSWATCH_TEST_CACHE") or os.path.join(base, "tlswatch-tests")


def make_certificate(directory):
    """An ECDSA P-256 key and its self-signed certificate: (certificate, key)."""
    certificate, key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=a.example", "-keyout", key, "-out", certificate)
    return certificate, key
