"""Requests by the Python module primp.

Usage: primp_requests.py URL COUNT; COUNT of them without a look at the certificate, and one that refuses it.
"""
import re
import sys

import primp

url, count = sys.argv[1], int(sys.argv[2])
for _ in range(count):
    print(primp.Client(verify=False).get(url).status_code, flush=True)
try:
    primp.Client(verify=True).get(url)
    sys.exit("an unknown authority was trusted")
except Exception as error:
    print(re.search(r"UnknownIssuer|$", str(error)).group(), flush=True)
