"""TLS connections of many kinds between a client and a server in this process, each on a port of its own.

Usage: wire_connections.py CA CERTIFICATE KEY; prints one JSON object a connection: the port, and what ssl itself says of both
sides ("completed", with version and cipher, or how it failed).
"""
import json
import socket
import ssl
import struct
import sys
import threading

authority, certificate, key = sys.argv[1:4]
listeners = []


def server_context(**options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name, value in options.items():
        setattr(context, name, value)
    return context


def client_context(**options):
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["http/1.1"])
    for name, value in options.items():
        setattr(context, name, value)
    return context


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def line(connection):
    data = b""
    while not data.endswith(b"\n"):
        data += exactly(connection, 1)
    return data


class Memory:
    """A client's TLS whose bytes the test carries itself."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="a.example")
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.hello = self.outgoing.read()

    def complete(self, connection):
        while True:
            self.incoming.write(connection.recv(16384))
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(self.outgoing.read())
        connection.sendall(self.outgoing.read())
        self.tls.write(b"hi")
        connection.sendall(self.outgoing.read())
        connection.recv(16384)


def told(action):
    try:
        version, cipher = action()
        return {"outcome": "completed", "version": version, "cipher": cipher}
    except (ssl.SSLError, OSError) as error:
        return {"outcome": "failed", "error": str(error)}


def connect(name, server, client, address="127.0.0.1", family=socket.AF_INET, to=None, listener_options=()):
    """Runs both sides; each is given its connected socket and returns (version, cipher)."""
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for option in listener_options:
        listener.setsockopt(*option)
    listener.bind((address, 0))
    listener.listen(4)
    port = listener.getsockname()[1]
    result = {"name": name, "port": port}

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(20)
        result["server"] = told(lambda: server(connection))
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    connection = socket.create_connection((to or address, port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    result["client"] = told(lambda: client(connection))
    result["local"] = "%s:%d" % connection.getsockname()[:2] if connection.fileno() >= 0 else None
    connection.close()
    thread.join()
    # Kept, so that no other connection gets its port.
    listeners.append(listener)
    print(json.dumps(result), flush=True)


def tls_server(context, before=lambda connection: None, talks=True):
    def run(connection):
        before(connection)
        tls = context.wrap_socket(connection, server_side=True)
        facts = tls.version(), tls.cipher()[0]
        try:
            if talks:
                tls.recv(100)
                tls.sendall(b"ok")
                tls.recv(100)
        except OSError:
            pass  # the client may be gone: the handshake is over
        return facts

    return run


def tls_client(context, before=lambda connection: None):
    def run(connection):
        before(connection)
        tls = context.wrap_socket(connection, server_hostname="a.example", suppress_ragged_eofs=True)
        facts = tls.version(), tls.cipher()[0]
        tls.sendall(b"hi")
        tls.recv(10)
        tls.shutdown(socket.SHUT_WR)
        return facts

    return run


S, C = server_context(), client_context()
old = ssl.TLSVersion.TLSv1_2

connect("tls13", tls_server(S), tls_client(C))
connect("tls12", tls_server(server_context(maximum_version=old)), tls_client(C))
connect("ipv6", tls_server(S), tls_client(C), "::1", socket.AF_INET6)
connect("v4-mapped", tls_server(S), tls_client(C), "::", socket.AF_INET6, to="127.0.0.1")


def smtp_server(c):
    c.sendall(b"220 a ESMTP\r\n"), line(c), c.sendall(b"250-a\r\n250 STARTTLS\r\n"), line(c), c.sendall(b"220 go\r\n")


def smtp_client(c):
    line(c), c.sendall(b"EHLO a\r\n"), line(c), line(c), c.sendall(b"STARTTLS\r\n"), line(c)


connect("smtp", tls_server(S, smtp_server), tls_client(C, smtp_client))
connect("postgres", tls_server(S, lambda c: (exactly(c, 8), c.sendall(b"S"))),
        tls_client(C, lambda c: (c.sendall(struct.pack(">II", 8, 80877103)), exactly(c, 1))))
connect("connect", tls_server(S, lambda c: (line(c), line(c), c.sendall(b"HTTP/1.1 200 ok\r\n\r\n"))),
        tls_client(C, lambda c: (c.sendall(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"), line(c), line(c))))


def carried(prefix=b"", cuts=()):
    """A client that carries its own bytes: `prefix` in one segment with the ClientHello, which is cut at `cuts`."""

    def run(connection):
        memory = Memory(C)
        data, at = prefix + memory.hello, 0
        for cut in (*cuts, len(data)):
            connection.sendall(data[at:cut])
            at = cut
            # The segments stay apart if the first has been acknowledged: the server has read it.
            if at < len(data):
                wait_for_empty_queue(connection)
        memory.complete(connection)
        return memory.tls.version(), memory.tls.cipher()[0]

    return run


def wait_for_empty_queue(connection):
    import fcntl
    import termios
    import time

    end = time.monotonic() + 10
    while time.monotonic() < end:
        if struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0] == 0:
            return
        time.sleep(0.001)


for name, prefix in [
        ("mysql", b"\x20\0\0\x01" + b"y" * 32), ("proxy-v1", b"PROXY TCP4 10.1.2.3 10.4.5.6 51234 443\r\n"),
        ("proxy-v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12))]:
    connect(name, tls_server(S, lambda c, n=len(prefix): exactly(c, n)), carried(prefix))
connect("split", tls_server(S), carried(cuts=(60, 61, 200)))
connect("deferred", tls_server(S), tls_client(C), listener_options=[(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)])
# The client refuses the server's certificate; the server refuses the client's offer.
connect("unknown-authority", tls_server(S), tls_client(ssl.create_default_context()))
connect("no-shared-version", tls_server(server_context(minimum_version=ssl.TLSVersion.TLSv1_3)),
        tls_client(client_context(maximum_version=old)))


def talk(exchanges, first):
    """So many lines each way before TLS."""
    def run(connection):
        for _ in range(exchanges):
            if first:
                connection.sendall(b"?\n"), line(connection)
            else:
                line(connection), connection.sendall(b"!\n")
    return run


connect("after-talk", tls_server(S, talk(15, False)), tls_client(C, talk(15, True)))
connect("after-long-talk", tls_server(S, talk(30, False)), tls_client(C, talk(30, True)))


class Wire:
    """What the loopback carries over IPv4 to a port, and back."""

    def __init__(self, port):
        self.port = port
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
        self.raw.bind(("lo", 0))
        self.raw.settimeout(20)

    def next(self):
        """The next segment that arrives: the frame, its ports and its payload."""
        while True:
            frame, address = self.raw.recvfrom(65536)
            ip = frame[14:]
            if address[2] != socket.PACKET_HOST or frame[12:14] != b"\x08\x00" or ip[9] != socket.IPPROTO_TCP:
                continue
            tcp = ip[(ip[0] & 15) * 4:struct.unpack(">H", ip[2:4])[0]]
            ports = struct.unpack(">HH", tcp[:4])
            if self.port in ports:
                return frame, ports, tcp[(tcp[12] >> 4) * 4:]

    def hello(self):
        while True:
            frame, ports, payload = self.next()
            if ports[1] == self.port and payload[:1] == b"\x16" and payload[5:6] == b"\x01":
                return frame

    def send(self, frame):
        """Sends a frame of this link again, with the checksum that the link had spared itself."""
        ip = frame[14:]
        length = struct.unpack(">H", ip[2:4])[0] - 20
        tcp = bytearray(ip[20:20 + length])
        tcp[16:18] = b"\0\0"
        summed = ip[12:20] + struct.pack(">HH", socket.IPPROTO_TCP, length) + tcp + b"\0" * (length & 1)
        total = sum(struct.unpack(">%dH" % (len(summed) // 2), summed))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        tcp[16:18] = struct.pack(">H", ~total & 0xffff)
        self.raw.send(frame[:34] + bytes(tcp))
        # The server has had it: it answers what it knows already with a bare acknowledgement.
        while self.next()[2] != self.hello_of(frame):
            pass
        while True:
            _, ports, payload = self.next()
            if ports[0] == self.port and not payload:
                return

    @staticmethod
    def hello_of(frame):
        tcp = frame[34:14 + struct.unpack(">H", frame[16:18])[0]]
        return tcp[(tcp[12] >> 4) * 4:]


def doubled(connection):
    """The ClientHello comes again when the handshake is over."""
    wire = Wire(connection.getpeername()[1])
    tls = C.wrap_socket(connection, server_hostname="a.example", suppress_ragged_eofs=True)
    facts = tls.version(), tls.cipher()[0]
    tls.sendall(b"hi")
    tls.recv(10)
    wire.send(wire.hello())
    tls.shutdown(socket.SHUT_WR)
    return facts


connect("doubled", tls_server(S), doubled)
# Not TLS, closed, and plain text on both sides.
connect("not-tls", lambda c: (c.recv(4000), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), c.close(), ("", ""))[-1], tls_client(C))
connect("closed", lambda c: (c.recv(4000), c.close(), ("", ""))[-1], tls_client(C))
connect("plain", lambda c: (c.recv(4000), c.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), ("", ""))[-1],
        lambda c: (c.sendall(b"GET / HTTP/1.0\r\n\r\n"), c.recv(100), ("", ""))[-1])
