#!/usr/bin/env bash
# kernel-tests.sh [--may-skip] [--filter NAME]: runs the kernel tests that are built, or some of them, against
# .build/release/tlswatch. Without root it says how many it did not run; that is an error unless they may be skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
filter=KernelTests
[[ ${1:-} != --filter ]] || filter=$2
if ((EUID == 0)); then
    TLSWATCH_BINARY=$PWD/.build/release/tlswatch exec "$swift" test --skip-build --filter "$filter"
fi
count=$("$swift" test list --skip-build 2>/dev/null | grep -c '^KernelTests\.' || true)
echo "NOT RUN: $count kernel tests. They need root: sudo make test-kernel" >&2
[[ ${1:-} == --may-skip ]]
