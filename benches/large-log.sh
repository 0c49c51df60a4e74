#!/usr/bin/env bash
# Measures verify-checksums, frame-list and checkpoint-now on a log written by SQLite against SQLite's
# own recovery and checkpoint of the same log, whole processes, in one run, medians of seven, page
# cache warm. Usage: benches/large-log.sh [MIB]
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024}
cargo build --release --locked --quiet --bin walsmith --example oracle
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
database=$folder/large.db
walsmith=target/release/walsmith
oracle=target/release/examples/oracle

"$oracle" grow "$database" $((mib * 1048576))
rm -f "$database-shm"

median() { sort -n | sed -n 4p; }
milliseconds() {
    local start end
    start=$(date +%s%N)
    "$@" >/dev/null
    end=$(date +%s%N)
    echo $(((end - start) / 1000000))
}
recovery() { rm -f "$database-shm"; "$oracle" recover "$database"; }
seven() { for _ in 1 2 3 4 5 6 7; do "$@"; done | median; }
peak_kib() {
    "$@" >/dev/null &
    local pid=$! peak=0 now
    while now=$(awk '/VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
        peak=$now
        sleep 0.02
    done
    wait "$pid"
    echo "$peak"
}

cat "$database-wal" >/dev/null
sqlite=$(seven recovery)
rm -f "$database-shm"
verify=$(seven milliseconds "$walsmith" verify-checksums "$database")
list=$(seven milliseconds "$walsmith" frame-list --format csv "$database")
ratio() { awk -v a="$sqlite" -v b="$1" 'BEGIN {printf "%.2f", a / b}'; }
echo "log: $mib MiB; SQLite's recovery: $sqlite ms"
echo "verify-checksums: $verify ms, ratio $(ratio "$verify"), peak $(peak_kib "$walsmith" verify-checksums "$database") KiB"
echo "frame-list (csv): $list ms, ratio $(ratio "$list"), peak $(peak_kib "$walsmith" frame-list --format csv "$database") KiB"

# A checkpoint changes the database, so each run begins with a fresh copy of it; the log is shared.
cp "$database" "$folder/fresh.db"
fresh() { cp "$folder/fresh.db" "$database" && rm -f "$database-shm"; }
by_sqlite() { fresh && milliseconds "$oracle" checkpoint "$database" PASSIVE "$1"; }
by_walsmith() { fresh && milliseconds "$walsmith" checkpoint-now "$database" --sync "$@"; }
for sync in off full; do
    sqlite=$(seven by_sqlite "$sync")
    plain=$(seven by_walsmith "$sync" --no-verify)
    verified=$(seven by_walsmith "$sync")
    echo "checkpoint passive, sync $sync: SQLite $sqlite ms, walsmith $verified ms (ratio $(ratio "$verified")), without verifying $plain ms (ratio $(ratio "$plain"))"
done
