#!/usr/bin/env bash
# fetch-kernel.sh PATTERN: prints the path of the newest of the distribution's kernels whose package's name matches
# PATTERN (an extended regular expression). It is fetched, never installed, and kept in
#   $TLSWATCH_TEST_CACHE, or ${XDG_CACHE_HOME:-~/.cache}/tlswatch-tests
set -euo pipefail

readonly cache=${TLSWATCH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tlswatch-tests}/kernels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() {
    local package version kernel
    package=$(apt-cache search --names-only "^$1\$" | cut -d ' ' -f 1 | sort -V | tail -n 1)
    [[ -n $package ]] || return 1
    version=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
    kernel=$cache/$package-$version
    if [[ ! -f $kernel ]]; then
        mkdir -p "$cache"
        (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2) || return 1
        dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*' || return 1
        # Others of the pattern are older.
        mv "$work"/boot/vmlinuz-* "$kernel"
    fi
    printf '%s\n' "$kernel"
}

if ! kernel=$(fetch "$1"); then
    # The lists of packages are missing, or older than what the mirrors keep.
    if ((EUID == 0)); then apt-get update -qq; fi
    if ! kernel=$(fetch "$1"); then
        echo "fetch-kernel: apt has no package like $1, or cannot fetch it. Run 'apt-get update'." >&2
        exit 1
    fi
fi
printf '%s\n' "$kernel"
