"""A TLS client that blocks in its handshake for as long as the server says nothing. Usage: PORT"""
import socket
import ssl
import sys

raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(raw, server_hostname="a.example")
