"""An OCSP responder that thinks for a while before it answers.

Usage: ocsp_responder.py CA CA_KEY CERTIFICATE MILLISECONDS; prints its port, then a line for each request: the
asker's address.
"""
import http.server
import os
import subprocess
import sys
import tempfile
import time

authority, authority_key, certificate, held = sys.argv[1:4] + [int(sys.argv[4]) / 1000]

directory = tempfile.TemporaryDirectory()
index = os.path.join(directory.name, "index.txt")
serial = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", certificate], check=True,
                        capture_output=True, text=True).stdout.strip().split("=")[1]
with open(index, "w") as file:
    file.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=a.example\n")


class Responder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print("asked by %s:%d" % self.client_address, flush=True)
        request, response = (os.path.join(directory.name, name) for name in ("request", "response"))
        with open(request, "wb") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])))
        subprocess.run(["openssl", "ocsp", "-index", index, "-CA", authority, "-rsigner", authority, "-rkey",
                        authority_key, "-ndays", "1", "-reqin", request, "-respout", response], check=True,
                       capture_output=True)
        time.sleep(held)
        with open(response, "rb") as file:
            answer = file.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Responder)
print(server.server_address[1], flush=True)
server.serve_forever()
