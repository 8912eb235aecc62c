"""curl_cffi_renegotiation.py AUTHORITY CERTIFICATE KEY PORT: a client that is asked for a second handshake before it has its answer.

`openssl s_server` asks, by a command on its standard input. Prints, a line each, what it says of the second handshake and what
the client got.
"""

import subprocess
import sys
import threading

from curl_cffi import CurlOpt, requests

AUTHORITY, CERTIFICATE, KEY, PORT = sys.argv[1:5]
server = subprocess.Popen(
    ["openssl", "s_server", "-accept", f"127.0.0.1:{PORT}", "-cert", CERTIFICATE, "-key", KEY, "-tls1_2", "-crlf", "-naccept", "1"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)


def wait_for(text):
    for line in server.stdout:
        if text in line:
            return line.strip()
    sys.exit(f"the server never said {text}")


def say(text):
    server.stdin.write(text)
    server.stdin.flush()


def ask():
    here = {CurlOpt.RESOLVE: [f"a.example:{PORT}:127.0.0.1"], CurlOpt.PROXY: ""}
    with requests.Session(curl_options=here) as session:
        print(session.get(f"https://a.example:{PORT}/", verify=AUTHORITY, timeout=10, http_version="v1").text.strip(), flush=True)


wait_for("ACCEPT")
client = threading.Thread(target=ask)
client.start()
wait_for("Host:")
say("R\n")
print(wait_for("SSL_do_handshake"), flush=True)
say("HTTP/1.1 200 OK\nContent-Length: 6\nConnection: close\n\nanswer\n")
client.join()
server.wait(10)
