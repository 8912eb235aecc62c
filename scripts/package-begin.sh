# shellcheck shell=bash
# Sourced by make-deb.sh, make-dist.sh and make-rpm.sh, with their arguments BINARY DIRECTORY [STAGE]: what they begin with.
# STAGE is what stage-package.sh has made; without it, it is made here.
# Sets root, work, output, stage and version, and SOURCE_DATE_EPOCH. What uses these is in those scripts:
# shellcheck disable=SC2034

die() {
    echo "$(basename "$0" .sh): $1" >&2
    exit 1
}

binary=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
export LC_ALL=C TZ=UTC

[[ $(uname -m) == x86_64 ]] || die "the packages are for x86-64; this machine is not"
stage=${3:-$work/stage}
if (($# < 3)); then "$root/scripts/stage-package.sh" "$binary" "$stage"; fi
version=$(<"$stage/version")
SOURCE_DATE_EPOCH=$(<"$stage/epoch")
export SOURCE_DATE_EPOCH
