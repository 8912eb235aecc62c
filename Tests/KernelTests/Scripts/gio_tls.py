"""A client of GLib's networking: gio_tls.py PORT AUTHORITY [PROTOCOL...] connects to localhost and prints what GLib says of it."""
import sys

from gi.repository import Gio, GLib, GObject

authority = Gio.TlsFileDatabase.new(sys.argv[2])


def prepare(_client, event, _address, stream):
    if event == Gio.SocketClientEvent.TLS_HANDSHAKING:
        stream.set_database(authority)
        if len(sys.argv) > 3:
            stream.set_advertised_protocols(sys.argv[3:])


client = Gio.SocketClient.new()
client.set_tls(True)
# Its own `connect` is another method.
GObject.Object.connect(client, "event", prepare)
try:
    stream = client.connect_to_host("localhost:" + sys.argv[1], 443, None).get_base_io_stream()
    print(stream.get_protocol_version().value_nick, stream.get_ciphersuite_name(), stream.get_negotiated_protocol())
except GLib.Error as error:
    print("error:", error.message)
