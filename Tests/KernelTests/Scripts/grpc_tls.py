"""Handshakes through the BoringSSL inside gRPC, client and server in one process.

grpc_tls.py AUTHORITY CERTIFICATE KEY: a call over TLS, one with a client's certificate, and one by a client that does not know
the authority. Prints, a line each, what the server says of its clients.
"""

import json
import subprocess
import sys
from concurrent import futures

import grpc

AUTHORITY, CERTIFICATE, KEY = (open(path, "rb").read() for path in sys.argv[1:4])


class Answer(grpc.GenericRpcHandler):
    def service(self, details):
        def answer(_, context):
            print(json.dumps({"proved": "x509_common_name" in context.auth_context()}), flush=True)
            return b"yes"

        return grpc.unary_unary_rpc_method_handler(answer)


def serve(asks):
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Answer()])
    credentials = grpc.ssl_server_credentials(
        [(KEY, CERTIFICATE)], root_certificates=AUTHORITY if asks else None, require_client_auth=asks
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port


def ask(port, roots, proves):
    credentials = grpc.ssl_channel_credentials(roots, KEY if proves else None, CERTIFICATE if proves else None)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, [("grpc.ssl_target_name_override", "a.example")]) as channel:
        return channel.unary_unary("/a/b")(b"x", timeout=5)


def another_authority():
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=another -days 2"
    return subprocess.run(command.split(), check=True, capture_output=True).stdout


for asks in (False, True):
    server, port = serve(asks)
    assert ask(port, AUTHORITY, asks) == b"yes"
    server.stop(None).wait()
server, port = serve(False)
try:
    ask(port, another_authority(), False)
    sys.exit("an unknown authority was trusted")
except grpc.RpcError as error:
    print(error.details(), file=sys.stderr)
server.stop(None).wait()
