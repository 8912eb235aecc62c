"""Handshakes of Python's ssl with one server: zoo_client.py AUTHORITY PORT NAME COUNT REFUSED VERSIONS

COUNT that are completed, by the VERSIONS (1.2,1.3) in turn, each with a request and its answer; then REFUSED whose certificate it
does not trust, by the first of them. Prints a line of JSON for each.
"""
import json
import socket
import ssl
import sys

authority, name = sys.argv[1], sys.argv[3]
port, count, refused = (int(sys.argv[place]) for place in (2, 4, 5))


def context(trusting, version):
    made = ssl.create_default_context(cafile=authority) if trusting else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_alpn_protocols(["http/1.1"])
    made.minimum_version = made.maximum_version = version
    return made


versions = [getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_")) for version in sys.argv[6].split(",")]
trusting = [context(True, version) for version in versions]
wary = context(False, versions[0])
for index in range(count + refused):
    connection = socket.create_connection(("127.0.0.1", port), 10)
    # ssl closes its own where it fails: bytes that were not read would reset the connection before the server reads the alert.
    rest = connection.dup()
    told = {"local": connection.getsockname()[1], "port": port, "outcome": "failed"}
    try:
        chosen = trusting[index % len(trusting)] if index < count else wary
        with chosen.wrap_socket(connection, server_hostname=name) as tls:
            told |= {
                "outcome": "completed", "version": tls.version(), "cipher": tls.cipher()[0], "name": name,
                "alpn": tls.selected_alpn_protocol(), "resumed": tls.session_reused,
            }
            tls.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % name.encode())
            tls.recv(4096)
    except OSError as error:
        told["error"] = str(error)
        rest.settimeout(10)
        try:
            while rest.recv(65536):
                pass
        except OSError:
            pass
    rest.close()
    print(json.dumps(told), flush=True)
