#!/usr/bin/env bash
# test-unit.sh BINARY: starts tlswatch.service under systemd itself, in virtual machines with Debian's kernels, this
# machine's systemd and the Debian package made of BINARY: its user, its sandbox, its watchdog, its drop-ins
# (unit-guest.sh). Needs qemu-system-x86, busybox-static, cpio, procps and systemd of Debian 12, and root.
set -euo pipefail

# What apt calls the kernel | the probes that it is observed with | the drop-in that it needs | how many checks there are
readonly kernels='
linux-image-6\.12\.[0-9]+(\+deb[0-9]+)?-cloud-amd64|multi||28
linux-image-6\.1\.[0-9-]+-cloud-amd64|perf|perf-probes.conf|28
'
readonly limit=300 # seconds for one kernel, boot and all
scripts=$(cd "$(dirname "$0")" && pwd)

if [[ $(uname -m) != x86_64 ]]; then
    echo "test-unit: the kernels and the programs in them are x86-64's; this machine is not" >&2
    exit 1
fi
binary=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The machine's whole file system but for the drop-in.
make_root() {
    local root=$work/root file library
    mkdir -p "$root"/{dev,etc/systemd/system,proc,run,sys,tmp,var,usr/{bin,sbin,lib,lib64},home/user/copy,opt,root}
    for file in bin sbin lib lib64; do ln -s "usr/$file" "$root/$file"; done
    "$scripts/make-deb.sh" "$binary" "$work" >/dev/null
    dpkg-deb --fsys-tarfile "$work"/tlswatch_*.deb | tar -x -C "$root" --keep-directory-symlink
    cp "$scripts/unit-guest.sh" "$root/init"
    cp "$(command -v busybox)" "$root/usr/bin/"
    ln -s busybox "$root/usr/bin/sh"
    # kill is what ExecReload= runs.
    for file in systemctl journalctl kill openssl; do cp "/usr/bin/$file" "$root/usr/bin/"; done
    mkdir -p "$root"/usr/lib/systemd/system
    cp /lib/systemd/systemd{,-journald,-shutdown} "$root/usr/lib/systemd/"
    for file in basic final local-fs multi-user network paths poweroff shutdown slices sockets swap sysinit timers umount; do
        cp "/lib/systemd/system/$file.target" "$root/usr/lib/systemd/system/"
    done
    for file in sysinit.target.wants/systemd-journald.service sockets.target.wants/systemd-journald{,-dev-log}.socket; do
        mkdir -p "$root/usr/lib/systemd/system/${file%/*}"
        cp "/lib/systemd/system/${file##*/}" "$root/usr/lib/systemd/system/"
        ln -s "../${file##*/}" "$root/usr/lib/systemd/system/$file"
    done
    for file in "$root"/usr/bin/{tlswatch,systemctl,journalctl,kill,openssl} "$root"/usr/lib/systemd/systemd*; do
        if [[ -f $file ]]; then
            for library in $(ldd "$file" | grep -o '/[^ ]*'); do
                [[ -e $root$library ]] || install -D "$library" "$root$library"
            done
        fi
    done
    for file in tmp/copy home/user/copy opt/copy; do
        mkdir -p "$root/$file"
        cp -L "$root"/lib/x86_64-linux-gnu/lib{ssl,crypto}.so.3 "$root/$file/"
    done
    chmod 1777 "$root/tmp"
    echo tlswatch-test >"$root/etc/hostname"
    : >"$root/etc/machine-id"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    echo 'NAME=guest' >"$root/etc/os-release"
    ldconfig -r "$root" 2>/dev/null
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=demo.example \
        -keyout "$root/etc/key.pem" -out "$root/etc/certificate.pem" 2>/dev/null
    ln -s /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    mkdir -p "$root"/etc/systemd/system/{multi-user.target.wants,tlswatch.service.d}
    ln -s /lib/systemd/system/tlswatch.service "$root/etc/systemd/system/multi-user.target.wants/"
    # A stopped daemon is to be noticed within the test's time; an emulated machine takes its own to attach.
    printf '[Service]\nWatchdogSec=6s\nTimeoutStartSec=120s\n' >"$root/etc/systemd/system/tlswatch.service.d/test.conf"
    cat >"$root/etc/systemd/system/check.service" <<'UNIT'
[Unit]
After=tlswatch.service

[Service]
Type=oneshot
ExecStart=/usr/bin/sh /init
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
UNIT
    ln -s ../check.service "$root/etc/systemd/system/multi-user.target.wants/"
    chmod +x "$root/init"
}

# What the unit and its drop-in allow, as /proc tells it.
mask() { # CAPABILITY…
    local name bits=0
    for name; do
        bits=$((bits | 1 << $(sed -n "s/^#define ${name}[[:space:]]*\([0-9]*\)$/\1/p" /usr/include/linux/capability.h)))
    done
    printf '%016x\n' "$bits"
}

# boot KERNEL PROBES: what the machine wrote goes to standard output. KVM is not there on every machine: emulation is;
# in one thread, since the kernel patches its own code and emulated processors that run side by side miss that.
boot() {
    timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=single -smp 2 -m 1536 -display none -serial stdio \
        -monitor none -nic none -no-reboot -kernel "$1" -initrd "$work/initramfs" \
        -append "console=ttyS0 quiet panic=-1 probes=$2" </dev/null | tr -d '\r'
}

make_root
status=0
while IFS='|' read -r pattern probes dropin checks; do
    [[ -n $pattern ]] || continue
    kernel=$("$scripts/fetch-kernel.sh" "$pattern") || {
        status=1
        continue
    }
    directory=$work/root/etc/systemd/system/tlswatch.service.d
    rm -f "$directory/perf-probes.conf"
    if [[ -n $dropin ]]; then cp "$work/root/usr/share/doc/tlswatch/examples/$dropin" "$directory/"; fi
    # shellcheck disable=SC2046
    mask $(cat "$work/root/usr/lib/systemd/system/tlswatch.service" "$directory"/*.conf |
        sed -n 's/^CapabilityBoundingSet=//p') >"$work/root/etc/capabilities"
    (cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
    began=$SECONDS
    boot "$kernel" "$probes" >"$work/console" 2>&1 || true
    if grep -qx "RESULT pass $checks" "$work/console" && ! grep -q '^FAIL' "$work/console"; then
        echo "test-unit: ${kernel##*/}: $probes probes, $checks checks, $((SECONDS - began)) s"
    else
        cat "$work/console"
        echo "test-unit: ${kernel##*/}: FAILED after $((SECONDS - began)) s: no line 'RESULT pass $checks'" >&2
        status=1
    fi
done <<<"$kernels"
exit "$status"
