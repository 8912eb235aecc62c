"""Two requests with libcurl's NSS build, the second on a connection of its own, which resumes the first one's session.

Usage: curl_nss.py PORT AUTHORITY. Prints libcurl's result of each.
"""
import ctypes
import sys

port, authority = sys.argv[1], sys.argv[2]
library = ctypes.CDLL("libcurl-nss.so.4")
library.curl_easy_init.restype = ctypes.c_void_p
library.curl_slist_append.restype = ctypes.c_void_p
URL, CAINFO, RESOLVE, WRITEFUNCTION, TIMEOUT, FRESH, FORBID_REUSE = 10002, 10065, 10203, 20011, 13, 74, 75
sink = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)(
    lambda data, size, count, user: size * count
)
names = library.curl_slist_append(None, b"a.example:%s:127.0.0.1" % port.encode())
handle = ctypes.c_void_p(library.curl_easy_init())


def put(option, value):
    library.curl_easy_setopt(handle, ctypes.c_int(option), value)


put(URL, ctypes.c_char_p(b"https://a.example:%s/" % port.encode()))
put(CAINFO, ctypes.c_char_p(authority.encode()))
put(RESOLVE, ctypes.c_void_p(names))
put(WRITEFUNCTION, sink)
put(TIMEOUT, ctypes.c_long(20))
for option in (FRESH, FORBID_REUSE):
    put(option, ctypes.c_long(1))
for _ in range(2):
    print(library.curl_easy_perform(handle), flush=True)
library.curl_easy_cleanup(handle)
