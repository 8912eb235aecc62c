#!/usr/bin/env bash
# format-c.sh OPTIONS…: clang-format with these options over the C of the sources, the tests and the benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(find bpf Sources Tests Benchmarks -name '.build*' -prune -o -name '*.[ch]' -print)
clang-format "$@" "${files[@]}"
