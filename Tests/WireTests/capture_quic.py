"""Writes Fixtures/quic-*.datagrams: QUIC handshakes between aioquic's client and server, a line a datagram: who sent it, and its
bytes in hexadecimal.

Usage: capture_quic.py CA CERTIFICATE KEY, with aioquic 1.7 in PYTHONPATH; the certificate is for a.example.
"""
import pathlib
import sys
import time

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import (
    QuicProtocolVersion, encode_quic_retry, encode_quic_version_negotiation, pull_quic_header)
from aioquic.quic.retry import QuicRetryTokenHandler

authority, certificate, key = sys.argv[1:4]
V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
CLIENT, SERVER = ("1.2.3.4", 1234), ("2.3.4.5", 4433)
fixtures = pathlib.Path(__file__).parent / "Fixtures"


def capture(name, retry=False, **settings):
    client_settings = QuicConfiguration(is_client=True, server_name="a.example", cafile=authority, alpn_protocols=["hq"])
    for setting, value in settings.items():
        setattr(client_settings, setting, value)
    server_settings = QuicConfiguration(is_client=False, alpn_protocols=["hq"])
    server_settings.load_cert_chain(certificate, key)
    client = QuicConnection(configuration=client_settings)
    server = None
    tokens = QuicRetryTokenHandler()
    lines = []
    now = time.time()
    client.connect(SERVER, now=now)
    for _ in range(12):
        for data, _ in client.datagrams_to_send(now=now):
            lines.append("C " + data.hex())
            header = pull_quic_header(Buffer(data=data), host_cid_length=8)
            if server is None and header.version not in (V1, V2):
                answer = encode_quic_version_negotiation(
                    source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=[V1, V2])
                lines.append("S " + answer.hex())
                client.receive_datagram(answer, SERVER, now=now)
                continue
            if server is None and retry and not header.token:
                answer = encode_quic_retry(
                    version=header.version, source_cid=b"retrycid", destination_cid=header.source_cid,
                    original_destination_cid=header.destination_cid,
                    retry_token=tokens.create_token(
                        address=CLIENT, original_destination_connection_id=header.destination_cid,
                        retry_source_connection_id=b"retrycid", now=now))
                lines.append("S " + answer.hex())
                client.receive_datagram(answer, SERVER, now=now)
                continue
            if server is None:
                original, source = header.destination_cid, None
                if header.token:
                    original = tokens.validate_token(
                        address=CLIENT, destination_cid=header.destination_cid, token=header.token, now=now)
                    source = b"retrycid"
                server = QuicConnection(configuration=server_settings, original_destination_connection_id=original,
                                        retry_source_connection_id=source)
            server.receive_datagram(data, CLIENT, now=now)
        for data, _ in server.datagrams_to_send(now=now) if server else ():
            lines.append("S " + data.hex())
            client.receive_datagram(data, SERVER, now=now)
        now += 0.001
    (fixtures / f"quic-{name}.datagrams").write_text("\n".join(lines) + "\n")


capture("plain")
capture("retry", retry=True)
capture("version-2", supported_versions=[V2], original_version=V2)
capture("version-negotiation", supported_versions=[0x1A2A3A4A, V1], original_version=0x1A2A3A4A)
capture("both-versions", supported_versions=[V2, V1], original_version=V1)
capture("long", alpn_protocols=["hq"] + ["x" * 200 + str(n) for n in range(8)])
capture("no-protocol", alpn_protocols=["nope"])
capture("unknown-authority", cafile=None)
