#!/usr/bin/env bash
# build-identity.sh [SWIFT]: what a binary that is built now is built from, and with, as variables that Package.swift reads:
#   TLSWATCH_REVISION=0123456789ab[-dirty] TLSWATCH_TOOLCHAIN=6.3.1
# Without the first where this is no clone of tlswatch (an archive has its commit in Sources/CBuild), or there is no git.
set -euo pipefail

swift=${1:-swift}
root=$(cd "$(dirname "$0")/.." && pwd -P)
words=()
# The clone around an archive is somebody else's.
if top=$(git -C "$root" rev-parse --show-toplevel 2>/dev/null) && [[ $top == "$root" ]] &&
    revision=$(git -C "$root" describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null); then
    words+=("TLSWATCH_REVISION=$revision")
fi
toolchain=$("$swift" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9A-Za-z.+-]*\).*/\1/p')
if [[ -n $toolchain ]]; then words+=("TLSWATCH_TOOLCHAIN=$toolchain"); fi
echo "${words[*]}"
