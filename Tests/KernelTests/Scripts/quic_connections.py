"""QUIC handshakes of aioquic, client and server in one process, and what it says of them itself.

Usage: quic_connections.py CA CERTIFICATE KEY [PORT]; with a port, one client of another server there. Prints a JSON object a
connection, with its name, the server's port, the client's port, and for each side what ended its handshake.
"""
import asyncio
import json
import sys

from aioquic.asyncio import connect, serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import QuicProtocolVersion

authority, certificate, key = sys.argv[1:4]
V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
UNKNOWN = 0x1A2A3A4A
served = {}


def said(protocol, event):
    """What a side's own events say."""
    if isinstance(event, HandshakeCompleted):
        schedule = protocol._quic.tls.key_schedule
        return {"outcome": "completed", "alpn": event.alpn_protocol, "resumed": event.session_resumed,
                "cipher": schedule.cipher_suite.name}
    return {"outcome": "failed", "code": event.error_code, "text": event.reason_phrase}


class Server(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, (HandshakeCompleted, ConnectionTerminated)):
            peer = self._quic._network_paths[0].addr[1]
            served.setdefault(peer, said(self, event))
        super().quic_event_received(event)


class Client(QuicConnectionProtocol):
    outcome = None

    def quic_event_received(self, event):
        if isinstance(event, (HandshakeCompleted, ConnectionTerminated)) and self.outcome is None:
            self.outcome = said(self, event)
        super().quic_event_received(event)


def configuration(**settings):
    result = QuicConfiguration(is_client=True, server_name="a.example", cafile=authority, alpn_protocols=["hq"])
    for name, value in settings.items():
        setattr(result, name, value)
    return result


async def ask(name, port, **settings):
    clients = []

    def make(*arguments, **options):
        clients.append(Client(*arguments, **options))
        return clients[0]

    try:
        async with connect("127.0.0.1", port, configuration=configuration(**settings), create_protocol=make) as client:
            await client.ping()
    except ConnectionError:
        pass
    # The transport is closed by now: the port was remembered while it was open.
    own = clients[0].port
    for _ in range(200):
        if own in served or port == OTHER:
            break
        await asyncio.sleep(0.01)
    print(json.dumps({"name": name, "port": port, "local": own, "client": clients[0].outcome,
                      "server": served.get(own)}), flush=True)


def remember_port(self, transport):
    super(Client, self).connection_made(transport)
    self.port = transport.get_extra_info("sockname")[1]


Client.connection_made = remember_port
OTHER = int(sys.argv[4]) if len(sys.argv) > 4 else None


async def listen(retry=False):
    settings = QuicConfiguration(is_client=False, alpn_protocols=["hq"])
    settings.load_cert_chain(certificate, key)
    server = await serve("127.0.0.1", 0, configuration=settings, create_protocol=Server, retry=retry)
    return server._transport.get_extra_info("sockname")[1]


async def main():
    if OTHER:
        await ask("other", OTHER, alpn_protocols=["h3"])
        return
    port, retrying = await listen(), await listen(retry=True)
    await ask("plain", port)
    await ask("retry", retrying)
    await ask("version-2", port, supported_versions=[V2], original_version=V2)
    await ask("version-negotiation", port, supported_versions=[UNKNOWN, V1], original_version=UNKNOWN)
    await ask("both-versions", port, supported_versions=[V2, V1], original_version=V1)
    # A ClientHello of several datagrams.
    await ask("long", port, alpn_protocols=["hq"] + ["x" * 200 + str(n) for n in range(12)])
    await ask("no-protocol", port, alpn_protocols=["nope"])
    await ask("unknown-authority", port, cafile=None)
    await asyncio.gather(*(ask("many", port) for _ in range(8)))


asyncio.run(asyncio.wait_for(main(), 60))
