"""A connection by AWS's own runtime, which carries the bytes between s2n and its socket: awscrt_requests.py PORT AUTHORITY OPTION...
Prints `ok` and the version of HTTP that was agreed on by ALPN; or `waits` where none has been made for two seconds: the runtime
tells of a failure half a minute after it. Options: name=NAME count=N old (TLS 1.2 is enough)."""
import concurrent.futures
import os
import sys

from awscrt import http, io

port, authority = sys.argv[1:3]
options = dict(option.partition("=")[::2] for option in sys.argv[3:])
loop = io.EventLoopGroup(1)
bootstrap = io.ClientBootstrap(loop, io.DefaultHostResolver(loop))
told = io.TlsContextOptions()
told.override_default_trust_store_from_path(None, authority)
told.alpn_list = ["h2", "http/1.1"]
if "old" in options:
    told.min_tls_ver = io.TlsVersion.TLSv1_2
connection = io.ClientTlsContext(told).new_connection_options()
connection.set_server_name(options.get("name", "a.example"))
for _ in range(int(options.get("count", 1))):
    try:
        made = http.HttpClientConnection.new(
            host_name="127.0.0.1",
            port=int(port),
            bootstrap=bootstrap,
            socket_options=io.SocketOptions(),
            tls_connection_options=connection,
        ).result(2)
        print("ok", made.version.name, flush=True)
        made.close().result(10)
    except concurrent.futures.TimeoutError:
        print("waits", flush=True)
# It would wait for what waits.
os._exit(0)
