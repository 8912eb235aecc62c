"""Handshakes through the OpenSSL inside Python's cryptography, client and server in one process, over memory BIOs.

pyopenssl_tls.py AUTHORITY CERTIFICATE KEY COUNT: prints its OpenSSL and, a line each, what the client says of a handshake.
"""

import json
import sys

from OpenSSL import SSL

AUTHORITY, CERTIFICATE, KEY, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def pump(source, target):
    try:
        target.bio_write(source.bio_read(1 << 16))
    except SSL.WantReadError:
        pass


def handshake(version, trusted):
    server_context = SSL.Context(SSL.TLS_METHOD)
    server_context.use_certificate_file(CERTIFICATE)
    server_context.use_privatekey_file(KEY)
    server_context.set_alpn_select_callback(lambda connection, offers: b"h2")
    client_context = SSL.Context(SSL.TLS_METHOD)
    client_context.set_max_proto_version(version)
    client_context.set_alpn_protos([b"h2", b"http/1.1"])
    client_context.set_verify(SSL.VERIFY_PEER, lambda connection, certificate, error, depth, ok: bool(ok))
    if trusted:
        client_context.load_verify_locations(AUTHORITY)
    server, client = SSL.Connection(server_context, None), SSL.Connection(client_context, None)
    server.set_accept_state()
    client.set_connect_state()
    client.set_tlsext_host_name(b"a.example")
    done = set()
    failed = set()
    for _ in range(10):
        for connection, peer in ((client, server), (server, client)):
            if connection in done or connection in failed:
                continue
            try:
                connection.do_handshake()
                done.add(connection)
            except SSL.WantReadError:
                pass
            except SSL.Error:
                failed.add(connection)
            pump(connection, peer)
    if not trusted:
        assert failed == {client, server}, (done, failed)
        return None
    assert done == {client, server}
    return {
        "version": client.get_protocol_version_name(),
        "cipher": client.get_cipher_name(),
        "alpn": client.get_alpn_proto_negotiated().decode(),
    }


print(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode())
for index in range(COUNT):
    print(json.dumps(handshake(SSL.TLS1_2_VERSION if index % 2 else SSL.TLS1_3_VERSION, True)))
handshake(SSL.TLS1_3_VERSION, False)
