"""The same pair with BoringSSL, as Debian's package has it (android-libboringssl, and -dev to compile with)."""
import glob
import os

from pair import HERE, Bench
from tools import BenchmarkError

INCLUDES = "/usr/include/android"


class BoringBench(Bench):
    """BoringSSL has OpenSSL's interface, but for one name; headers of its own come with the package."""

    def __init__(self, directory, libraries):
        # Ordered as the linker wants them.
        found = libraries or [path for name in ("libssl", "libcrypto")
                              for path in glob.glob(f"/usr/lib/*/android/{name}.so.0")]
        if len(found) != 2 or not os.path.exists(os.path.join(INCLUDES, "openssl", "ssl.h")):
            raise BenchmarkError("--boringssl needs Debian's android-libboringssl and android-libboringssl-dev: `make deps`")
        super().__init__(directory, found)

    def link(self, libraries):
        return ["-I" + INCLUDES, "-DSSL_CTX_set1_groups_list=SSL_CTX_set1_curves_list", f"-I{HERE}",
                os.path.join(HERE, "pair.c"), os.path.join(HERE, "probes.c"), *libraries, "-lbpf"]
