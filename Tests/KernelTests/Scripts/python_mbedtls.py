"""Handshakes of PyPI's python-mbedtls, which makes each step itself and feeds the library from buffers.

Usage: python_mbedtls.py client PORT AUTHORITY [AUTHORITY ...], or python_mbedtls.py server PORT CERTIFICATE KEY COUNT.
A client makes one handshake for each authority, one after the other; of each a line is printed: the cipher suite and the
protocol, or `error` and why. A server prints `ready` first.
"""
import socket
import sys

from mbedtls import pk, tls, x509

PROTOCOLS = [tls.NextProtocol.H2, tls.NextProtocol.HTTP1]


def read(path):
    with open(path) as file:
        return file.read()


def shake(context, connection, *names):
    wrapped = context.wrap_socket(connection, *names)
    try:
        wrapped.do_handshake()
        print(wrapped.cipher(), wrapped.negotiated_protocol() or "-", flush=True)
    except Exception as error:
        print("error", repr(error), flush=True)
    connection.close()


if sys.argv[1] == "client":
    for path in sys.argv[3:]:
        trust = tls.TrustStore()
        trust.add(x509.CRT.from_PEM(read(path)))
        configuration = tls.TLSConfiguration(
            trust_store=trust, validate_certificates=True, inner_protocols=PROTOCOLS
        )
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        shake(tls.ClientContext(configuration), connection, "a.example")
else:
    port, certificate, key, count = sys.argv[2:]
    chain = ([x509.CRT.from_PEM(read(certificate))], pk.ECC.from_PEM(read(key)))
    configuration = tls.TLSConfiguration(
        certificate_chain=chain, validate_certificates=False, inner_protocols=PROTOCOLS
    )
    listener = socket.create_server(("127.0.0.1", int(port)))
    print("ready", flush=True)
    for _ in range(int(count)):
        shake(tls.ServerContext(configuration), listener.accept()[0])
