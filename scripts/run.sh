#!/usr/bin/env bash
# run.sh BINARY: starts `tlswatch run` in the foreground and makes a few handshakes over loopback, so that the first
# look at /metrics is not empty. Ctrl-C ends it.
set -euo pipefail

binary=$1
listen=${TLSWATCH_LISTEN:-127.0.0.1:9899}
if ((EUID != 0)); then
    echo "tlswatch needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE): sudo make run" >&2
    exit 77
fi

work=$(mktemp -d)
server=
demo() {
    until curl -fsS -o /dev/null "http://$listen/readyz" 2>/dev/null; do
        [[ -e $work/stop ]] && return
        read -r -t 0.2 <> <(:) || true
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=demo.example \
        -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    openssl s_server -accept "127.0.0.1:$port" -cert "$work/certificate.pem" -key "$work/key.pem" -alpn h2 -quiet \
        >/dev/null 2>&1 &
    server=$!
    for _ in 1 2 3 4 5; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            if openssl s_client -connect "127.0.0.1:$port" -servername demo.example -alpn h2 </dev/null >/dev/null 2>&1; then
                break
            fi
            read -r -t 0.1 <> <(:) || true
        done
    done
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    echo
    echo "Five handshakes were made over loopback. See them, and everything else that happens on this host:"
    echo "  curl -s http://$listen/metrics | grep tlswatch_handshake"
    echo "  sudo $binary capture            # one line a handshake, in another terminal"
    echo "Ctrl-C ends it."
}
demo &
demonstration=$!
# Called by the trap.
# shellcheck disable=SC2317
finish() {
    touch "$work/stop"
    wait "$demonstration" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap : INT TERM
status=0
"$binary" run --listen "$listen" || status=$?
exit "$status"
