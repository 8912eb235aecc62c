#!/usr/bin/env bash
# wire.sh [ROUNDS]: builds and runs packets.c in control groups and a network namespace of its own, and takes them away again.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
root=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
group=$root/tlswatch-bench-$$ other=$root/tlswatch-bench-other-$$
clean() { rmdir "$group" "$other" 2>/dev/null || true; rm -rf "$work"; }
trap clean EXIT
mkdir "$group" "$other"
compile() {
    "${CLANG:-clang}" -target bpf -mcpu=v3 -O2 -g -D__TARGET_ARCH_x86 -Ibpf -c "$1" -o "$2"
}
compile Benchmarks/wire/empty.bpf.c "$work/empty.o"
compile bpf/tlswatch.bpf.c "$work/tlswatch.o"
"${CC:-gcc}" -O2 -Wall -Wextra -Werror -Ibpf Benchmarks/wire/packets.c -o "$work/packets" -lbpf
unshare -n sh -c 'ip link set lo up && exec "$@"' sh \
    "$work/packets" "$work/empty.o" "$work/tlswatch.o" "$group" "$other" "${1:-15}"
