"""late_libraries.py CERTIFICATE KEY LIBSSL…: loads one libssl after the other into one process, and handshakes in each.

Says `loaded PATH` after each dlopen(3) and waits for SIGUSR1; then makes one handshake of its own with itself through
that library, in memory, and says `shaken PATH`. Ends after the last.
"""

import ctypes
import signal
import sys

certificate, key = sys.argv[1].encode(), sys.argv[2].encode()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])


def pointer(function, *arguments):
    function.restype = ctypes.c_void_p
    result = function(*arguments)
    assert result, function.__name__
    return ctypes.c_void_p(result)


def side(ssl, context):
    crypto = ctypes.CDLL("libcrypto.so.3")
    tls = pointer(ssl.SSL_new, context)
    read, write = (pointer(crypto.BIO_new, pointer(crypto.BIO_s_mem)) for _ in range(2))
    ssl.SSL_set_bio(tls, read, write)
    return crypto, tls, read, write


def move(crypto, source, target):
    buffer = ctypes.create_string_buffer(65536)
    while (count := crypto.BIO_read(source, buffer, 65536)) > 0:
        assert crypto.BIO_write(target, buffer, count) == count


def handshake(ssl):
    server_context = pointer(ssl.SSL_CTX_new, pointer(ssl.TLS_server_method))
    assert ssl.SSL_CTX_use_certificate_chain_file(server_context, certificate) == 1
    assert ssl.SSL_CTX_use_PrivateKey_file(server_context, key, 1) == 1
    client_context = pointer(ssl.SSL_CTX_new, pointer(ssl.TLS_client_method))
    crypto, server, server_read, server_write = side(ssl, server_context)
    _, client, client_read, client_write = side(ssl, client_context)
    done = [0, 0]
    for _ in range(10):
        if done[0] != 1:
            done[0] = ssl.SSL_connect(client)
        move(crypto, client_write, server_read)
        if done[1] != 1:
            done[1] = ssl.SSL_accept(server)
        move(crypto, server_write, client_read)
    assert done == [1, 1], done
    ssl.SSL_free(client)
    ssl.SSL_free(server)


for path in sys.argv[3:]:
    library = ctypes.CDLL(path)
    print("loaded", path, flush=True)
    signal.sigwait([signal.SIGUSR1])
    handshake(library)
    print("shaken", path, flush=True)
