"""Pairs of PyPI's pynng over TLS, whose Mbed TLS is inside its extension module.

Usage: nng_tls.py CERTIFICATE KEY AUTHORITY [OTHER_AUTHORITY]. Prints `port N` of its server, once one client has talked to it
(`received hello`) and another, which trusts the other authority alone, has refused it (`refused`). Stays until it is stopped.
"""
import signal
import sys

import pynng


def read(path):
    with open(path) as file:
        return file.read()


certificate, key, authority, *others = map(read, sys.argv[1:])
server = pynng.TLSConfig(
    pynng.TLSConfig.MODE_SERVER,
    own_key_string=key,
    own_cert_string=certificate,
    auth_mode=pynng.TLSConfig.AUTH_MODE_NONE,
)


def client(trusted):
    return pynng.TLSConfig(
        pynng.TLSConfig.MODE_CLIENT,
        ca_string=trusted,
        server_name="a.example",
        auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED,
    )


listener = pynng.Pair0(recv_timeout=10000)
listener.tls_config = server
listener.listen("tls+tcp://127.0.0.1:0")
port = str(listener.listeners[0].local_address).rsplit(":", 1)[1]


def dial(pair, trusted):
    configuration = client(trusted)  # which the socket does not keep
    pair.tls_config = configuration
    pair.dial("tls+tcp://127.0.0.1:" + port, block=True)


with pynng.Pair0(send_timeout=10000) as pair:
    dial(pair, authority)
    pair.send(b"hello")
    print("received", listener.recv().decode(), flush=True)
for other in others:
    with pynng.Pair0() as pair:
        try:
            dial(pair, other)
        except pynng.NNGException:
            print("refused", flush=True)
print("port", port, flush=True)
signal.pause()
