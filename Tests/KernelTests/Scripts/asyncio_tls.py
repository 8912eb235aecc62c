"""Client and server of Python's asyncio, whose TLS runs over memory BIOs: no socket I/O inside OpenSSL.

Usage: asyncio_tls.py CA CERTIFICATE KEY COUNT; prints one JSON object of what ssl itself says.
"""
import asyncio
import json
import ssl
import sys

authority, certificate, key, count = sys.argv[1:4] + [int(sys.argv[4])]

server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
server_context.set_alpn_protocols(["h2", "http/1.1"])
client_context = ssl.create_default_context(cafile=authority)
client_context.set_alpn_protocols(["http/1.1"])


async def answer(reader, writer):
    writer.write(b"ok")
    await writer.drain()
    await reader.read()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    clients = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context, server_hostname="a.example")
        await reader.readexactly(2)
        tls = writer.get_extra_info("ssl_object")
        clients.append({"local": "%s:%d" % writer.get_extra_info("sockname"), "version": tls.version(),
                        "cipher": tls.cipher()[0], "alpn": tls.selected_alpn_protocol()})
        writer.close()
        await writer.wait_closed()
    server.close()
    print(json.dumps({"port": port, "clients": clients}))


asyncio.run(asyncio.wait_for(main(), 30))
