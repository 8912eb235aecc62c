#!/usr/bin/env bash
# check-binary.sh BINARY: holds a release binary's size to its limit, and names what made it grow before.
set -euo pipefail

binary=$1
limit=45000000 # bytes without debug information and symbols
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

strip -o "$work/stripped" "$binary"
size=$(stat -c %s "$work/stripped")
echo "stripped: $size bytes, at most $limit"
if ((size > limit)); then
    echo "check-binary: $binary is larger than its limit" >&2
    status=1
fi
# 34 MB of ICU's data come with a single member of full Foundation: a String's contains(String) can be Foundation's, where
# another module's import brings it. Ours are named here; a package's, the linker's map (-Xlinker -Map=FILE) names.
if nm "$binary" | grep '_FoundationICU\|uprv_\|icudt' >"$work/icu"; then
    echo "check-binary: $binary contains ICU: $(wc -l <"$work/icu") symbols, asked for by:" >&2
    for module in Code HandshakeProbe Handshakes Kernel Wire tlswatch; do
        nm -uA "$(dirname "$binary")/$module.build"/*.o | grep '10FoundationE' | swift demangle >&2 || true
    done
    status=1
fi
# What a program exports, the linker keeps, whether it is used or not.
exported=$(nm -D --defined-only "$work/stripped" | wc -l)
if ((exported > 100)); then
    echo "check-binary: $binary exports $exported dynamic symbols: build it with 'make build'" >&2
    status=1
fi
exit "$status"
