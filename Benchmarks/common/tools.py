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
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise BenchmarkError(f"waited {deadline} s in vain for {what}")
        time.sleep(0.005)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(f":{port:04X} 00000000:0000 0A" in line for line in table)


def compile_tool(target, *arguments):
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, *arguments)
    return target


def make_certificate(directory):
    """An ECDSA P-256 key and its self-signed certificate: (certificate, key)."""
    certificate, key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=a.example", "-keyout", key, "-out", certificate)
    return certificate, key
