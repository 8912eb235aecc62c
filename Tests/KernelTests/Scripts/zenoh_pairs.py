"""Handshakes of the rustls inside the Python module zenoh with itself, in one process.

Usage: zenoh_pairs.py CA CERTIFICATE KEY TRANSPORT:PORT… Over each transport (tls, mtls, quic) a session listens at the port, and
another one connects to it; mtls has the client show a certificate. Prints a line of JSON for each: whether they came together.
Then `ready`, and listens for two minutes.
"""
import json
import os
import sys
import time

import zenoh

authority, certificate, key = sys.argv[1:4]
# Its settings were called otherwise before 1.0.
new = hasattr(zenoh, "ZBytes")


def settings(mode, place, transport, port):
    config = zenoh.Config()
    listens = place == "listen"
    mutual = transport == "mtls"
    tls = {"root_ca_certificate": authority}
    if new:
        tls |= {"enable_mtls": mutual, f"{place}_private_key": key, f"{place}_certificate": certificate}
    else:
        side = "server" if listens else "client"
        tls |= {"client_auth": mutual, f"{side}_private_key": key, f"{side}_certificate": certificate}
    protocol = "quic" if transport == "quic" else "tls"
    for name, value in {
        "mode": mode,
        "scouting/multicast/enabled": False,
        place + "/endpoints": [f"{protocol}/127.0.0.1:{port}"],
        "transport/link/tls": tls,
    }.items():
        config.insert_json5(name, json.dumps(value))
    return config


sessions = []
for argument in sys.argv[4:]:
    transport, port = argument.split(":")
    sessions.append(zenoh.open(settings("peer", "listen", transport, port)))
    try:
        sessions.append(zenoh.open(settings("client", "connect", transport, port)))
        met = True
    except Exception as error:
        print(error, file=sys.stderr)
        met = False
    print(json.dumps({"transport": transport, "met": met}), flush=True)
print("ready", flush=True)
time.sleep(120)
os._exit(0)
