# For each SIGUSR1 a client's TLS object without a socket, which sends its ClientHello into memory, waits, and is freed. Says
# "ready", and "freed N" after each.
import signal
import ssl

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
context = ssl.create_default_context()
print("ready", flush=True)
for number in range(1, 1000):
    signal.sigwait({signal.SIGUSR1})
    tls = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="memory.test")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    del tls
    print("freed", number, flush=True)
