#!/usr/bin/env bash
# check.sh SOURCES…: formatting, the rooms' order, scripts, metrics. Changes nothing.
set -euo pipefail

status=0
swift format lint --strict --recursive "$@" || status=1
./scripts/format-c.sh --dry-run --Werror || status=1
# Which room may name which, and whether the check itself sees what it is for.
python3 scripts/check-rooms.py || status=1
python3 scripts/check-rooms.py --self-test || status=1
python3 Benchmarks/overhead/test_overhead.py 2>/dev/null || { echo "Benchmarks/overhead/test_overhead.py fails" >&2; status=1; }
python3 Benchmarks/stacks/test_stacks.py 2>/dev/null || { echo "Benchmarks/stacks/test_stacks.py fails" >&2; status=1; }
shellcheck .ci/run scripts/*.sh Plugins/CompileBPF/*.sh || status=1
# Both architectures compile; x86-64 is the one that is run.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for machine in x86_64 aarch64; do
    bash Plugins/CompileBPF/compile-bpf.sh bpf "$work/$machine.swift" "$machine" || status=1
done
promtool check rules metrics/recording-rules*.yml metrics/alerts.yml >/dev/null || status=1
promtool test rules metrics/rules-test.yml >/dev/null || status=1
promtool check metrics <Tests/HandshakesTests/Fixtures/metrics.txt || status=1
if ((status == 0)); then echo "check: fine"; fi
exit "$status"
