"""Requests by the BoringSSL inside curl_cffi, a connection each: curl_cffi_requests.py AUTHORITY PORT NAME COUNT"""
import sys

from curl_cffi import CurlOpt, requests

authority, port, name, count = sys.argv[1:5]
here = {CurlOpt.RESOLVE: [f"{name}:{port}:127.0.0.1"], CurlOpt.PROXY: ""}
for _ in range(int(count)):
    with requests.Session(curl_options=here) as session:
        print(session.get(f"https://{name}:{port}/", verify=authority, timeout=10).status_code, flush=True)
