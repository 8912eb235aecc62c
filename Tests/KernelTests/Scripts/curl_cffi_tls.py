"""curl_cffi_tls.py AUTHORITY PORT: requests by the BoringSSL inside curl_cffi, each on a connection of its own.

Prints, a line each, its own port and the version of HTTP (curl's number) of a request; or why it failed.
"""

import json
import sys

from curl_cffi import CurlOpt, requests

AUTHORITY, PORT = sys.argv[1], sys.argv[2]
TLS_1_2 = 6 | 6 << 16  # CURL_SSLVERSION_TLSv1_2, as the most too


def ask(trusts, more, **options):
    here = {CurlOpt.RESOLVE: [f"a.example:{PORT}:127.0.0.1"], CurlOpt.PROXY: "", **more}
    try:
        with requests.Session(curl_options=here) as session:
            answer = session.get(f"https://a.example:{PORT}/", verify=AUTHORITY if trusts else True, timeout=10, **options)
            print(json.dumps({"port": answer.local_port, "http": answer.http_version}), flush=True)
    except requests.exceptions.RequestException as error:
        print(json.dumps({"error": str(error)}), flush=True)


ask(True, {})
ask(True, {CurlOpt.SSLVERSION: TLS_1_2})
ask(True, {}, impersonate="chrome")
ask(True, {}, http_version="v3only")
ask(False, {})
