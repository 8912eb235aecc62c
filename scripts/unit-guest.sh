#!/bin/busybox sh
# What test-unit.sh runs in its virtual machine: first as the first program, which makes a root file system that can be
# left and hands over to systemd; then as a service, which looks at tlswatch.service beside it.
# Kernel command line: probes=PROBES, how this kernel is to be observed. The last line it writes is
# "RESULT pass CHECKS" or "RESULT fail …"; whatever else comes, or nothing, is a failure too.
# shellcheck shell=dash
export PATH=/usr/sbin:/usr/bin:/busybox SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0

if [ $$ = 1 ]; then
    /usr/bin/busybox mkdir -p /busybox /proc /sys /dev /new
    /usr/bin/busybox --install -s /busybox
    mount -t proc proc /proc
    mount -t devtmpfs dev /dev
    # The unit's mount namespace is made by moving this root, which the kernel's first one does not allow.
    mount -t tmpfs -o mode=755 root /new
    for name in /*; do
        case $name in
            /new | /proc | /sys | /dev) mkdir -p "/new$name" ;;
            *) cp -a "$name" /new/ ;;
        esac
    done
    rmdir /new/new
    umount /proc
    exec switch_root /new /lib/systemd/systemd --log-target=console --log-level=warning \
        --show-status=false
fi

probes=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^probes=//p')
cd /run || exit
checks=0 failures=0
url=http://127.0.0.1:9899

check() { # NAME EXPECTED ACTUAL
    checks=$((checks + 1))
    if [ "$2" = "$3" ]; then
        echo "ok    $1: $3"
    else
        failures=$((failures + 1))
        echo "FAIL  $1: expected '$2', got '$3'"
    fi
}
property() { systemctl show -P "$1" tlswatch.service; }
journal() { journalctl -q -b -u tlswatch.service --no-pager "$@"; }
told() { journal -o cat | grep -qF -e "$1"; } # TEXT: the service has logged it
is() { [ "$(property "$1")" = "$2" ]; }       # PROPERTY VALUE
wait_for() {                                  # COMMAND…: until it succeeds; without it nothing after it makes sense
    deadline=$(($(date +%s) + 60))
    until "$@"; do
        if [ "$(date +%s)" -gt $deadline ]; then
            check "waiting for $*" "" "in vain"
            finish
        fi
        usleep 100000
    done
}
finish() {
    if [ $failures -gt 0 ]; then
        systemctl status --no-pager -l tlswatch.service
        journalctl -b --no-pager | tail -n 60
        for file in *.log; do
            echo "--- $file"
            tail -n 10 "$file"
        done
        echo "RESULT fail $failures of $checks"
    else
        echo "RESULT pass $checks"
    fi
    poweroff -f
}

scrape() { wget -q -O metrics "$1/metrics" 2>wget.log; } # URL
ended() {                                                # how many handshakes have ended well, at both ends
    awk '/^tlswatch_handshakes_total\{/ && /outcome="completed"/ { sum += $NF } END { printf "%d", sum }' metrics
}
# handshakes NAME [VARIABLE=VALUE…]: a server and clients, until both ends of one more handshake are seen.
handshakes() {
    name=$1
    shift
    : >server.log
    env "$@" openssl s_server -www -accept 127.0.0.1:0 -cert /etc/certificate.pem -key /etc/key.pem >server.log 2>&1 &
    server=$!
    wait_for grep -q '^ACCEPT' server.log
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
    scrape $url
    before=$(ended)
    wait_for one_more "$@"
    check "$name" seen seen
    kill $server
    wait $server
}
one_more() {
    env "$@" openssl s_client -connect "127.0.0.1:$port" -brief </dev/null >client.log 2>&1
    usleep 500000
    scrape $url && [ "$(ended)" -ge $((before + 2)) ]
}

echo "Linux $(uname -r), $(systemctl --version | head -n 1)"
wait_for is SubState running
check "started by" "active notify" "$(property ActiveState) $(property Type)"
check "tells how it fares" observing "$(property StatusText | cut -d ' ' -f 1)"
check "probes" "probe_type=$probes" "$(journal -o cat | grep -o 'probe_type=[a-z][a-z]*')"
check "the journal has its priority" "6" "$(journal -o json -n 1 | sed 's/.*"PRIORITY":"\([0-9]\)".*/\1/')"
main=$(property MainPID)
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$main/status"; }
check "its user is none of the host's" dynamic "$(status Uid | awk '$1 >= 61184 && $1 <= 65519 { print "dynamic" }')"
check "no way to more privileges" 1 "$(status NoNewPrivs)"
check "under the unit's filters" 2 "$(status Seccomp)"
check "what it is bounded by" "$(cat /etc/capabilities)" "$(status CapBnd)"
check "what the thread that serves holds" 0000000000000000 "$(status CapPrm)"
check "its /home" 0 "$(find "/proc/$main/root/home" -mindepth 1 | wc -l)"

handshakes "the linker's library"
# Where the unit itself cannot go: through the process that maps them it gets there.
handshakes "a library in /tmp" LD_LIBRARY_PATH=/tmp/copy
handshakes "a library in a home directory" LD_LIBRARY_PATH=/home/user/copy
# A lease on another's file, which has who writes it wait until its probes are off.
check "leases on what is probed" held "$(grep -q "LEASE *ACTIVE *READ *$main " /proc/locks && echo held)"
# Nobody maps it now; what is let go of for that is so within three seconds. A program that starts later will find it.
usleep 4000000
scrape $url
check "it is kept for the next program" 1 "$(grep -c 'library="/home/user/copy/libssl.*state="emulated"} [1-9]' metrics)"
# What only a file's owner may read.
chmod 700 /opt/copy
chmod 600 /opt/copy/*
handshakes "a library that others may not read" LD_LIBRARY_PATH=/opt/copy

echo 'sweep-interval: 2m' >/etc/tlswatch/tlswatch.yml
systemctl reload tlswatch.service
wait_for told 'configuration reloaded changed=sweep-interval=2m'
check "reloads" active "$(property ActiveState)"

# It drains nothing while it is stopped.
kill -STOP "$main"
wait_for is NRestarts 1
wait_for is SubState running
check "the watchdog has it restarted" changed "$([ "$(property MainPID)" != "$main" ] && echo changed)"
handshakes "after that"

# Other addresses than this host's are let in by the drop-in alone.
ip address add 192.0.2.7/32 dev lo
echo 'listen: "0.0.0.0:9899"' >/etc/tlswatch/tlswatch.yml
systemctl restart tlswatch.service
check "this host's scrape" 0 "$(scrape $url && echo $?)"
check "another's" refused "$(wget -q -T 3 -O metrics http://192.0.2.7:9899/metrics 2>wget.log && echo served || echo refused)"
cp /usr/share/doc/tlswatch/examples/other-hosts.conf /etc/systemd/system/tlswatch.service.d/
systemctl daemon-reload
systemctl restart tlswatch.service
wait_for told 'beyond loopback without TLS or passwords'
check "another's with the drop-in" 0 "$(scrape http://192.0.2.7:9899 && echo $?)"

# What another start does not mend is not started again.
echo 'lisen: "127.0.0.1:9899"' >/etc/tlswatch/tlswatch.yml
systemctl restart tlswatch.service 2>restart.log
check "wrong settings" "failed exit-code 65 0" \
    "$(property ActiveState) $(property Result) $(property ExecMainStatus) $(property NRestarts)"
: >/etc/tlswatch/tlswatch.yml
systemctl restart tlswatch.service
check "right ones" active "$(property ActiveState)"

systemctl stop tlswatch.service
check "stopped" "inactive success 0" "$(property ActiveState) $(property Result) $(property ExecMainStatus)"
check "BPF programs left" 0 "$(grep -c 'tls_enter.*\[bpf\]' /proc/kallsyms)"
# All that was asked for is taken away.
check "what it complained of" "" "$(journal -p warning -o cat | grep -v -e lisen -e 'require a restart' -e 'beyond loopback without TLS' -e 'mapping events are refused' | grep -v '^tlswatch.service')"
check "what its runtime wrote" "" "$(journal -o cat | grep 'thread priority')"
finish
