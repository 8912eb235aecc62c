"""s2n-tls by its own interface, out of the module in which AWS has it for Python.

    s2n_tls.py server CERTIFICATE KEY OPTION...   prints its port, and then a line for each connection, one after the other
    s2n_tls.py client PORT AUTHORITY OPTION...    a line for each handshake

A line is JSON: what s2n says of the handshake. Options: alpn=A,B name=NAME policy=NAME certificate=FILE key=FILE (a client's own)
authority=FILE (a server wants a certificate) count=N resume (all but the first) memory (the library has no socket: bytes are
carried to and fro between its calls) early=close|reset (such a client goes when it has said hello).
"""
import ctypes
import json
import os
import select
import socket
import struct
import sys
from errno import EAGAIN

os.environ["S2N_DONT_MLOCK"] = "1"
import _awscrt

s2n = ctypes.CDLL(_awscrt.__file__, use_errno=True)
SERVER, CLIENT = 0, 1
TYPES = ["ok", "io", "closed", "blocked", "alert", "proto", "internal", "usage"]
pointer = ctypes.c_void_p
for name in (
    "config_new_minimal connection_new cert_chain_and_key_new get_application_protocol get_server_name"
    " connection_get_cipher connection_get_curve connection_get_kem_group_name strerror_name errno_location"
).split():
    getattr(s2n, "s2n_" + name).restype = pointer
CARRY = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, ctypes.c_uint32, use_errno=True)
TICKET = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, pointer)


def error():
    return ctypes.cast(s2n.s2n_errno_location(), ctypes.POINTER(ctypes.c_int))[0]


def text(address):
    return ctypes.string_at(address).decode() if address else None


def call(function, *arguments):
    """Addresses are wider than what ctypes passes an integer as."""
    wide = [pointer(value) if isinstance(value, int) and value > 1 << 31 else value for value in arguments]
    result = getattr(s2n, "s2n_" + function)(*wide)
    if result is None or result == -1:
        raise RuntimeError(f"{function}: {text(s2n.s2n_strerror_name(error()))}")
    return result


class Configuration:
    def __init__(self, mode, options):
        self.mode, self.options, self.ticket, self.kept = mode, options, None, []
        self.config = call("config_new_minimal")
        call("config_set_cipher_preferences", self.config, options.get("policy", "default_tls13").encode())
        if "certificate" in options:
            pair = call("cert_chain_and_key_new")
            pem = [open(options[part], "rb").read() for part in ("certificate", "key")]
            call("cert_chain_and_key_load_pem", pair, *pem)
            call("config_add_cert_chain_and_key_to_store", self.config, pair)
        if "authority" in options:
            call("config_set_verification_ca_location", self.config, options["authority"].encode(), None)
        if "alpn" in options:
            names = [name.encode() for name in options["alpn"].split(",")]
            call("config_set_protocol_preferences", self.config, (ctypes.c_char_p * len(names))(*names), len(names))
        if "resume" in options:
            call("config_set_session_tickets_onoff", self.config, 1)
            if mode == SERVER:
                call("config_add_ticket_crypto_key", self.config, b"name", 4, b"k" * 32, 32, ctypes.c_uint64(0))
            else:
                self.kept.append(TICKET(self.take))
                call("config_set_session_ticket_cb", self.config, self.kept[-1], None)

    def take(self, connection, context, ticket):
        length = ctypes.c_size_t()
        call("session_ticket_get_data_len", ticket, ctypes.byref(length))
        buffer = ctypes.create_string_buffer(length.value)
        call("session_ticket_get_data", ticket, length, buffer)
        self.ticket = buffer.raw
        return 0


class Carrier:
    """Bytes between the library and a socket that it does not know."""

    def __init__(self, peer):
        self.peer, self.incoming, self.outgoing, self.ended = peer, b"", b"", False
        self.functions = CARRY(self.receive), CARRY(self.send)

    def receive(self, context, buffer, length):
        if not self.incoming and not self.ended:
            ctypes.set_errno(EAGAIN)
            return -1
        taken, self.incoming = self.incoming[:length], self.incoming[length:]
        ctypes.memmove(buffer, taken, len(taken))
        return len(taken)

    def send(self, context, buffer, length):
        self.outgoing += ctypes.string_at(buffer, length)
        return length

    def flush(self):
        carried, self.outgoing = self.outgoing, b""
        try:
            self.peer.sendall(carried)
        except OSError:
            self.ended = True

    def carry(self):
        self.flush()
        try:
            more = self.peer.recv(65536)
        except OSError:
            more = b""
        self.incoming += more
        self.ended = not more


class Connection:
    def __init__(self, configuration, peer):
        self.configuration, self.peer = configuration, peer
        options, self.told = configuration.options, {}
        self.blocked = ctypes.c_int()
        self.connection = call("connection_new", configuration.mode)
        call("connection_set_config", self.connection, configuration.config)
        # Else a failure is followed by half a minute's sleep.
        call("connection_set_blinding", self.connection, 1)
        self.carrier = Carrier(peer) if "memory" in options else None
        if self.carrier:
            call("connection_set_recv_cb", self.connection, self.carrier.functions[0])
            call("connection_set_send_cb", self.connection, self.carrier.functions[1])
        else:
            call("connection_set_fd", self.connection, peer.fileno())
        if configuration.mode == SERVER:
            if "authority" in options:
                call("connection_set_client_auth_type", self.connection, 1)
        else:
            call("set_server_name", self.connection, options.get("name", "a.example").encode())
            if configuration.ticket:
                call("connection_set_session", self.connection, configuration.ticket, ctypes.c_size_t(len(configuration.ticket)))

    def negotiate(self, early=None):
        calls = 0
        while True:
            calls += 1
            result = s2n.s2n_negotiate(pointer(self.connection), ctypes.byref(self.blocked))
            number = error()
            kind = TYPES[number >> 26]
            if result == 0 or kind != "blocked":
                break
            if early:
                self.carrier.flush()
                self.leave(early)
                self.told = {"outcome": "gone", "calls": calls}
                return
            if self.carrier:
                self.carrier.carry()
            else:
                select.select([self.peer], [], [], 10)
        if self.carrier:
            self.carrier.flush()
        self.told = {"outcome": "completed" if result == 0 else "failed", "calls": calls}
        if result:
            self.told |= {"type": kind, "error": text(s2n.s2n_strerror_name(number))}
            if kind == "alert":
                self.told["alert"] = call("connection_get_alert", self.connection)
        else:
            self.tell()

    def leave(self, how):
        if how == "reset":
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def tell(self):
        ask = lambda function: text(call(function, self.connection))
        self.told |= {
            "version": call("connection_get_actual_protocol_version", self.connection),
            "cipher": ask("connection_get_cipher"),
            "group": ask("connection_get_kem_group_name"),
            "resumed": bool(call("connection_is_session_resumed", self.connection)),
            "alpn": text(s2n.s2n_get_application_protocol(pointer(self.connection))),
            "sni": text(s2n.s2n_get_server_name(pointer(self.connection))),
        }
        if self.told["group"] == "NONE":
            self.told["group"] = ask("connection_get_curve")

    def exchange(self):
        """A client's question and the server's answer, before which a client has its tickets."""
        buffer = ctypes.create_string_buffer(64)
        steps = [("recv", 64), ("send", 6)] if self.configuration.mode == SERVER else [("send", 6), ("recv", 64)]
        for function, length in steps:
            while (
                getattr(s2n, "s2n_" + function)(
                    pointer(self.connection), buffer, ctypes.c_ssize_t(length), ctypes.byref(self.blocked)
                )
                < 0
            ):
                if TYPES[error() >> 26] != "blocked":
                    return
                if self.carrier:
                    self.carrier.carry()
                else:
                    select.select([self.peer], [], [], 10)
            if self.carrier:
                self.carrier.flush()

    def close(self):
        s2n.s2n_shutdown(pointer(self.connection), ctypes.byref(self.blocked))
        if self.carrier:
            self.carrier.flush()
        call("connection_free", self.connection)
        self.peer.close()


def run(configuration, peer):
    peer.settimeout(10)
    if "memory" not in configuration.options:
        peer.setblocking(False)
    connection = Connection(configuration, peer)
    connection.negotiate(configuration.options.get("early"))
    if connection.told["outcome"] == "completed":
        connection.exchange()
    connection.close()
    print(json.dumps(connection.told), flush=True)


def main():
    # The module has it initialised already, or not.
    s2n.s2n_init()
    side, first, second = sys.argv[1:4]
    options = dict(option.partition("=")[::2] for option in sys.argv[4:])
    if side == "server":
        configuration = Configuration(SERVER, options | {"certificate": first, "key": second})
        with socket.create_server(("127.0.0.1", 0)) as listener:
            print(listener.getsockname()[1], flush=True)
            while True:
                run(configuration, listener.accept()[0])
    configuration = Configuration(CLIENT, options | {"authority": second})
    for _ in range(int(options.get("count", 1))):
        run(configuration, socket.create_connection(("127.0.0.1", int(first)), 10))


main()
