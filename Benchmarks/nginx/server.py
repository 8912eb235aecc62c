"""The load: nginx with one worker on one core, full TLS 1.3 handshakes from a client on another."""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "common"))
from tools import (  # noqa: E402
    BenchmarkError, await_true, compile_tool, free_port, listening, make_certificate, run,
)

SERVER_CORE, CLIENT_CORE = "0", "1"


class Load:
    """nginx and its client, in a directory that the caller removes."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self.client = compile_tool(os.path.join(directory, "handshakes"), os.path.join(HERE, "handshakes.c"),
                                   "-lssl", "-lcrypto")
        self._own_library()
        certificate, key = make_certificate(directory)
        with open(f"{directory}/nginx.conf", "w", encoding="ascii") as file:
            file.write(f"""
daemon off;
user root;
worker_processes 1;
worker_cpu_affinity 0001;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{self.port} ssl backlog=1024;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_session_tickets off;
        ssl_session_cache off;
        return 204;
    }}
}}
""")
        self.nginx = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, "nginx", "-p", directory, "-c", f"{directory}/nginx.conf",
             "-e", f"{directory}/error.log"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_true("nginx", lambda: listening(self.port) or self.nginx.poll() is not None)
        if self.nginx.poll() is not None:
            with open(f"{directory}/error.log", encoding="utf-8") as log:
                raise BenchmarkError("nginx ended: " + log.read()[-800:])
        children = f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children"
        await_true("nginx's worker", lambda: open(children, encoding="ascii").read().split())
        with open(children, encoding="ascii") as file:
            self.worker = int(file.read().split()[0])
        self.library = self._mapped_library()

    def _own_library(self):
        """The client gets copies of its libraries: other files, so that the server's hits count alone."""
        self.environment = dict(os.environ, LD_LIBRARY_PATH=self.directory)
        for line in run("ldd", self.client).splitlines():
            match = re.match(r"\s*(lib(?:ssl|crypto)\S*) => (\S+)", line)
            if match:
                shutil.copy(match[2], os.path.join(self.directory, match[1]))

    def _mapped_library(self):
        with open(f"/proc/{self.worker}/maps", encoding="utf-8") as maps:
            found = {line.split()[5] for line in maps if "/libssl.so" in line}
        if len(found) != 1:
            raise BenchmarkError(f"nginx maps {found or 'no libssl'}: this benchmark reads one shared libssl")
        return os.path.realpath(found.pop())

    def handshakes(self, kind, number):
        """Makes handshakes; returns their count and the server's CPU nanoseconds for one (see handshakes.c)."""
        made, nanoseconds = run("taskset", "-c", CLIENT_CORE, self.client, str(self.port), str(self.worker), kind,
                                str(number), env=self.environment).split()
        if float(nanoseconds) <= 0:
            raise BenchmarkError(f"only {made} handshakes in a round: it must be longer")
        return int(made), float(nanoseconds)

    def stop(self):
        self.nginx.terminate()
        try:
            self.nginx.wait(10)
        except subprocess.TimeoutExpired:
            self.nginx.kill()
            self.nginx.wait(10)
