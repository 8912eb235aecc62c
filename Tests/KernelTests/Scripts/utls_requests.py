"""Requests through the Go library of tls_client: LIBRARY PORT IDENTITY…, then one that verifies. Prints each status."""
import ctypes
import json
import sys

library, port, identities = ctypes.CDLL(sys.argv[1]), sys.argv[2], sys.argv[3:]
library.request.argtypes, library.request.restype = [ctypes.c_char_p], ctypes.c_char_p


def request(identity, verifies):
    wanted = {
        "sessionId": f"{identity}-{verifies}", "requestUrl": f"https://127.0.0.1:{port}/", "requestMethod": "GET",
        "tlsClientIdentifier": identity, "insecureSkipVerify": not verifies, "followRedirects": False,
        "forceHttp1": False, "timeoutSeconds": 10, "headers": {}, "headerOrder": [], "requestBody": "",
        "requestCookies": [], "proxyUrl": "", "withoutCookieJar": True, "withRandomTLSExtensionOrder": False,
    }
    print(json.loads(library.request(json.dumps(wanted).encode()))["status"], flush=True)


for identity in identities:
    request(identity, False)
request(identities[0], True)
