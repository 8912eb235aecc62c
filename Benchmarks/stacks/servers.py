"""A server of each stack: a real one where there is one, on the processor of the handshakes. None resumes a session."""
import os
import re
import signal
import subprocess

from tools import BenchmarkError, await_true, cache, free_port, listening, run

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Tests", "KernelTests", "Scripts")


class Server:
    """One process that makes the handshakes; `target` is the file with its TLS library."""
    version = "1.3"
    # Of the time: its handshakes are as much dearer.
    weight = 1
    # How the name of that file begins.
    library = ""

    def __init__(self, directory, certificate, key, processor):
        self.directory, self.certificate, self.key = directory, certificate, key
        self.port = free_port()
        self.log = os.path.join(directory, "server.log")
        command, environment = self.command()
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                ["taskset", "-c", str(processor), *command], env=dict(os.environ, **environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            await_true(f"{command[0]}: it may be missing, `make deps` installs it",
                       lambda: self.child.poll() is not None or listening(self.find_port()))
            self.pid = self.worker()
            self.target = self.find_library()
        except BenchmarkError as error:
            self.stop()
            raise BenchmarkError(f"{error}; it said: {self.output()[-500:]}") from error

    def command(self):
        """(its command line, what its environment has besides)"""
        raise NotImplementedError

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def find_port(self):
        return self.port

    def worker(self):
        """The process that makes the handshakes."""
        if self.child.poll() is not None:
            raise BenchmarkError(f"the server ended with {self.child.returncode}")
        return self.child.pid

    def find_library(self):
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as maps:
            found = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if f"/{self.library}" in line}
        if len(found) != 1:
            raise BenchmarkError(f"it maps {found or 'no ' + self.library}")
        return found.pop()

    def stop(self):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGTERM)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                self.child.wait(10)


class Lighttpd(Server):
    module = ""

    def command(self):
        path = os.path.join(self.directory, "lighttpd.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""
server.modules = ( "{self.module}" )
server.document-root = "{self.directory}"
server.bind = "127.0.0.1"
server.port = {self.port}
ssl.engine = "enable"
ssl.pemfile = "{self.certificate}"
ssl.privkey = "{self.key}"
ssl.openssl.ssl-conf-cmd = ("Options" => "-SessionTicket")
""")
        return ["lighttpd", "-D", "-f", path], {}


class GnuTLS(Lighttpd):
    module, library = "mod_gnutls", "libgnutls.so"


class WolfSSL(Lighttpd):
    module, library = "mod_wolfssl", "libwolfssl.so"


class MbedTLS(Lighttpd):
    # Debian's 2.28 has no TLS 1.3.
    module, library, version = "mod_mbedtls", "libmbedtls.so", "1.2"
    weight = 3


class NSS(Server):
    library = "libssl3.so"

    def command(self):
        database, both = (os.path.join(self.directory, name) for name in ("nss", "both.p12"))
        if not os.path.exists(database):
            os.mkdir(database)
            run("certutil", "-N", "-d", "sql:" + database, "--empty-password")
            run("openssl", "pkcs12", "-export", "-in", self.certificate, "-inkey", self.key, "-name", "leaf",
                "-out", both, "-passout", "pass:")
            run("pk12util", "-i", both, "-d", "sql:" + database, "-W", "", "-K", "")
        return ["selfserv", "-d", "sql:" + database, "-n", "leaf", "-p", str(self.port), "-V", "tls1.3:"], {}


class Python(Server):
    """A module of Python's that the tests have, too."""
    folder = ""

    def environment(self, *folders):
        return {"PYTHONPATH": ":".join([os.path.join(cache(), self.folder), *folders]), "PYTHONDONTWRITEBYTECODE": "1"}


class Rustls(Python):
    folder, library = "python-granian", "_granian"

    def command(self):
        with open(os.path.join(self.directory, "answer.py"), "w", encoding="ascii") as file:
            file.write("def app(environment, start):\n    start('200 OK', [])\n    return [b'ok']\n")
        return ["python3.11", "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port),
                "--no-ws", "--ssl-certificate", self.certificate, "--ssl-keyfile", self.key, "answer:app"
                ], self.environment(self.directory)

    def worker(self):
        found = []

        def children():
            with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children", encoding="ascii") as file:
                found[:] = [int(word) for word in file.read().split()]
            return [pid for pid in found if self.maps(pid)]

        await_true("granian's worker", children)
        return children()[-1]

    def maps(self, pid):
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            return self.library in maps.read()


class S2N(Python):
    """The tests' own, in Python: no server that is known has s2n and is to be had as a package."""
    folder, library = "python-awscrt", "_awscrt"

    def command(self):
        return ["python3.11", os.path.join(TESTS, "s2n_tls.py"), "server", self.certificate, self.key
                ], self.environment()

    def find_port(self):
        found = re.search(r"^(\d+)$", self.output(), re.MULTILINE)
        self.port = int(found[1]) if found else 0
        return self.port


SERVERS = {"gnutls": GnuTLS, "rustls": Rustls, "nss": NSS, "wolfssl": WolfSSL, "mbedtls": MbedTLS, "s2n": S2N}
