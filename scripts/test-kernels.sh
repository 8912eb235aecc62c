#!/usr/bin/env bash
# test-kernels.sh BINARY: boots Debian's kernels under emulation, with BINARY and openssl inside, and runs the main job
# on each (kernel-guest.sh). Needs qemu-system-x86, busybox-static and cpio. The kernels come from the distribution,
# are never installed, and are kept in
#   $TLSWATCH_TEST_CACHE, or ${XDG_CACHE_HOME:-~/.cache}/tlswatch-tests
set -euo pipefail

# What apt calls the kernel | the probes that it is to be observed with | how many checks there are
readonly kernels='
linux-image-6\.1\.[0-9-]+-cloud-amd64|perf|65
linux-image-6\.12\.[0-9]+(\+deb[0-9]+)?-cloud-amd64|multi|65
'
readonly limit=400 # seconds for one kernel, boot and all
readonly cache=${TLSWATCH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tlswatch-tests}/kernels
scripts=$(cd "$(dirname "$0")" && pwd)

if [[ $(uname -m) != x86_64 ]]; then
    echo "test-kernels: the kernels and the programs in them are x86-64's; this machine is not" >&2
    exit 1
fi
binary=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The newest package of a pattern, by version.
newest() { apt-cache search --names-only "^$1\$" | cut -d ' ' -f 1 | sort -V | tail -n 1; }

# Puts the newest kernel of a pattern into the cache and prints its path.
fetch() {
    local package version kernel
    package=$(newest "$1")
    [[ -n $package ]] || return 1
    version=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
    kernel=$cache/$package-$version
    if [[ ! -f $kernel ]]; then
        mkdir -p "$cache" "$work/package"
        (cd "$work/package" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2) || return 1
        dpkg-deb --fsys-tarfile "$work/package/$package"_*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*' || return 1
        # Others of the pattern are older.
        mv "$work"/boot/vmlinuz-* "$kernel"
    fi
    printf '%s\n' "$kernel"
}

# The machine's whole file system: BINARY, openssl, what they load, and a certificate.
make_root() {
    local root=$work/root file library
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp}
    cp "$(command -v busybox)" "$root/bin/"
    cp "$scripts/kernel-guest.sh" "$root/init"
    strip -g -o "$root/bin/tlswatch" "$binary"
    cp "$(command -v openssl)" "$root/bin/"
    for file in "$binary" "$(command -v openssl)"; do
        for library in $(ldd "$file" | grep -o '/[^ ]*'); do
            [[ -e $root$library ]] || install -D "$library" "$root$library"
        done
    done
    ldconfig -r "$root" 2>/dev/null
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=demo.example \
        -keyout "$root/tmp/key.pem" -out "$root/tmp/certificate.pem" 2>/dev/null
    chmod +x "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
    rm -rf "$root"
}

# boot KERNEL RUNG: what the machine wrote goes to standard output. KVM is not there on every machine: emulation is;
# in one thread, since the kernel patches its own code and emulated processors that run side by side miss that.
boot() {
    timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=single -smp 2 -m 1024 -display none -serial stdio \
        -monitor none -nic none -no-reboot -kernel "$1" -initrd "$work/initramfs" \
        -append "console=ttyS0 quiet panic=-1 rung=$2" </dev/null | tr -d '\r'
}

make_root
status=0
while IFS='|' read -r pattern rung checks; do
    [[ -n $pattern ]] || continue
    if ! kernel=$(fetch "$pattern"); then
        # The lists of packages are missing, or older than what the mirrors keep.
        if ((EUID == 0)); then apt-get update -qq; fi
        if ! kernel=$(fetch "$pattern"); then
            echo "test-kernels: apt has no package like $pattern, or cannot fetch it. Run 'apt-get update'." >&2
            status=1
            continue
        fi
    fi
    began=$SECONDS
    boot "$kernel" "$rung" >"$work/console" 2>&1 || true
    if grep -qx "RESULT pass $checks" "$work/console" && ! grep -q '^FAIL' "$work/console"; then
        echo "test-kernels: ${kernel##*/}: $rung probes, $checks checks, $((SECONDS - began)) s"
    else
        cat "$work/console"
        echo "test-kernels: ${kernel##*/}: FAILED after $((SECONDS - began)) s: no line 'RESULT pass $checks'" >&2
        status=1
    fi
done <<<"$kernels"
exit "$status"
