#!/bin/busybox sh
# The first program of the virtual machine that test-kernels.sh boots: runs the main job there and tells of each check.
# Kernel command line: rung=RUNG, the probes that this kernel is to be observed with. The last line it writes is
# "RESULT pass CHECKS" or "RESULT fail …"; whatever else comes, or nothing, is a failure too.
# shellcheck shell=dash
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs trace /sys/kernel/tracing
ip link set lo up
rung=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^rung=//p')
cd /tmp || exit
checks=0 failures=0

check() { # NAME EXPECTED ACTUAL
    checks=$((checks + 1))
    if [ "$2" = "$3" ]; then
        echo "ok    $1: $3"
    else
        failures=$((failures + 1))
        echo "FAIL  $1: expected '$2', got '$3'"
    fi
}

has() { # NAME FILE TEXT…: each text is in the file
    name=$1 file=$2
    shift 2
    for text; do
        if grep -qF -e "$text" "$file"; then check "$name" "$text" "$text"; else check "$name" "$text" missing; fi
    done
}

wait_for() { # COMMAND…: until it succeeds; without it nothing after it makes sense
    deadline=$(($(date +%s) + 120)) # emulated, on a machine that may have other work
    until "$@"; do
        if [ "$(date +%s)" -gt $deadline ]; then
            check "waiting for $*" "" "in vain"
            finish
        fi
        usleep 100000
    done
}

says() { grep -qs -e "$2" "$1"; }                # FILE TEXT
programs() { grep -c '\[bpf\]' /proc/kallsyms; } # BPF programs in the kernel
no_programs() { [ "$(programs)" = 0 ]; }
scrape() { wget -q -O metrics http://127.0.0.1:9899/metrics 2>wget.log; }

field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2"; } # NAME FILE: a number of a row

total() { # METRIC [LABELS]: the sum of its series whose labels contain this text
    awk -v name="$1" -v labels="$2" '
        { brace = index($1, "{") }
        (brace ? substr($1, 1, brace - 1) : $1) == name && (labels == "" || index($1, labels)) { sum += $NF }
        END { printf "%d", sum }' metrics
}

sessions() { scrape && [ "$(total tlswatch_sessions_started_total)" = "$1" ] && [ "$(total tlswatch_handshakes_in_flight)" = "$2" ]; }

# The books, of a moment at which nothing was under way: this script's own programs make events too.
balanced() {
    usleep 700000
    scrape || return
    hits=$(total tlswatch_probe_hits_total) submitted=$(total tlswatch_events_total)
    dropped=$(total tlswatch_events_dropped_total) skipped=$(total tlswatch_events_skipped_total)
    decoded=$(total tlswatch_events_decoded_total) rejected=$(total tlswatch_events_rejected_total)
    [ "$hits/$submitted" = $((submitted + dropped + skipped))/$((decoded + rejected)) ]
}

client() { # ARGUMENTS of s_client besides the server's address
    openssl s_client -connect 127.0.0.1:4433 -servername demo.example -brief "$@" </dev/null >>client.log 2>&1
}

successes() { # COUNT COMMAND…: how often it succeeded
    count=$1 good=0
    shift
    while [ "$count" -gt 0 ]; do
        "$@" && good=$((good + 1))
        count=$((count - 1))
    done
    echo $good
}

finish() { # tells the result, and of a failure everything that was written
    if [ $failures -gt 0 ]; then
        for file in *.log metrics *.json; do
            [ -e "$file" ] || continue
            echo "--- $file"
            grep -v -e '^#' -e _bucket "$file" | tail -n 60
        done
        echo "--- dmesg"
        dmesg | tail -n 20
        echo "RESULT fail $failures of $checks"
    else
        echo "RESULT pass $checks"
    fi
    poweroff -f
}

nothing_left() { # AFTER WHAT
    wait_for no_programs
    check "BPF programs left after $1" 0 "$(programs)"
    check "uprobe events left after $1" "" "$(cat /sys/kernel/tracing/uprobe_events)"
}

echo "Linux $(uname -r)"
check "BPF programs at the start" 0 "$(programs)"

tlswatch doctor >doctor.log 2>&1
check "doctor's exit status" 0 $?
has "doctor" doctor.log "$rung probes: in use" "state_machine: emulated" "ok sched_info: available"
if [ "$rung" = perf ]; then has "doctor" doctor.log "sys_exit: available (replaces"; fi
if [ "$rung" != perf ]; then has "doctor" doctor.log "sock_recv_length: available"; fi

# The daemon: five handshakes, three that fail for the protocol, two for the certificate, one whose program is killed.
tlswatch run >run.log 2>&1 &
daemon=$!
wait_for says run.log '^ready'
has "daemon" run.log "probe_type=$rung"
openssl s_server -www -accept 4433 -cert certificate.pem -key key.pem -alpn h2 >server.log 2>&1 &
server=$!
wait_for says server.log ACCEPT
check "clients served" 5 "$(successes 5 client -alpn h2 -CAfile certificate.pem -verify_return_error)"
check "clients refused for ALPN" 0 "$(successes 3 client -alpn http/1.1 -CAfile certificate.pem -verify_return_error)"
check "clients that refuse the certificate" 0 "$(successes 2 client -alpn h2 -verify_return_error)"
sleep 300 | nc -l -p 4434 >/dev/null &
silent=$!
wait_for grep -q ':1152 .* 0A ' /proc/net/tcp /proc/net/tcp6 # port 4434 listens
openssl s_client -connect 127.0.0.1:4434 -brief </dev/null >>client.log 2>&1 &
killed=$!
wait_for sessions 21 1
kill -9 $killed
wait $killed
wait_for sessions 21 0
kill $silent 2>kill.log # it may have gone with its client
wait_for balanced
for role in client server; do
    of="role=\"$role\",stack=\"openssl\""
    check "$role: completed" 5 "$(total tlswatch_handshakes_total "$of,outcome=\"completed\",reason=\"none\"")"
    check "$role: refused protocol" 3 \
        "$(total tlswatch_handshakes_total "$of,outcome=\"failed\",reason=\"no_application_protocol\"")"
    check "$role: refused certificate" 2 "$(total tlswatch_handshakes_total "$of,outcome=\"failed\",reason=\"unknown_ca\"")"
    for histogram in handshake_duration tcp_connect first_record_delay key_exchange_duration alpn_negotiation; do
        check "$role: $histogram" 5 "$(total tlswatch_${histogram}_seconds_count "role=\"$role\"")"
    done
done
check "abandoned" 1 "$(total tlswatch_handshakes_total 'outcome="abandoned"')"
check "key exchanges of x25519" 10 "$(total tlswatch_key_exchanges_total 'group="x25519",result="success"')"
check "hits = submitted + dropped + skipped" "$hits" $((submitted + dropped + skipped))
check "submitted = decoded + rejected" "$submitted" $((decoded + rejected))
check "rejected" 0 "$rejected"
check "started = ended + in flight" "$(total tlswatch_sessions_started_total)" \
    $(($(total tlswatch_handshakes_total) + $(total tlswatch_handshakes_in_flight)))
check "BPF programs of the daemon" some "$(no_programs && echo none || echo some)"
kill $daemon
wait $daemon
check "the daemon's exit status" 0 $?
nothing_left "the daemon"

# One shot: a command that succeeds, and one that fails.
tlswatch capture --format json --output completed.json -- openssl s_client -connect 127.0.0.1:4433 \
    -servername demo.example -alpn h2 -CAfile certificate.pem -verify_return_error -brief </dev/null >capture.log 2>&1
check "capture's exit status" 0 $?
check "rows" 1 "$(wc -l <completed.json)"
has "row" completed.json '"role":"client","outcome":"completed"' '"tls_version":"TLSv1.3"' '"group":"x25519"' \
    '"alpn":"h2"' '"sni":"demo.example"' '"remote":"127.0.0.1:4433"' '"socket_confidence":"exact"' \
    '"tcp_connect_ns":' '"first_record_delay_ns":' '"key_exchange_ns":' '"busy_ns":' '"cpu_ns":' \
    '"runqueue_ns":' '"unread_ns":' '"peer_ns":' '"cause":"' '"rtt_ns":' '"retransmits":0'
check "the parts' sum" "$(field duration_ns completed.json)" $(($(field cpu_ns completed.json) + \
    $(field runqueue_ns completed.json) + $(field unread_ns completed.json) + $(field peer_ns completed.json)))
tlswatch capture --format json --output failed.json -- openssl s_client -connect 127.0.0.1:4433 \
    -verify_return_error -brief </dev/null >>capture.log 2>&1
check "capture's exit status after a failure" 1 $?
check "rows" 1 "$(wc -l <failed.json)"
has "row" failed.json '"outcome":"failed"' '"reason":"unknown_ca"' '"alert_direction":"sent"' '"socket_confidence":"exact"'
nothing_left "the captures"
kill $server

finish
