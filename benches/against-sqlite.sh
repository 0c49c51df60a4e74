#!/usr/bin/env bash
# Measures walsmith against the bundled SQLite on logs that SQLite has written, and prints a table.
#
#   benches/against-sqlite.sh [MIB [GROWTH_MIB [GROUP..]]]
#
#   MIB         size of the logs, default 1024; 64 takes half a minute
#   GROWTH_MIB  largest log of the growth rows (64, 256, 1024, 4096), default MIB
#   GROUP       only these rows: logs, rows, states, appends, growth
#   SQLITE_SRC  SQLite's source tree, for its showwal; fetched as tests/sqlite-suite does without it
#   TMPDIR      where the logs go: some four times the size of the largest
#
# For each job both programs run in turn, eight times; the first round warms the page cache, and the
# medians of the rest are compared. Ratios are SQLite's time over ours. What is timed is the whole
# process, except for appending: there each engine times its own commits.
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024}
growth=${2:-$mib}
shift "$(($# < 2 ? $# : 2))"
cargo build --release --locked --quiet --bin walsmith --examples
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

showwal=
mkdir -p target/sqlite-suite
if source=$(tests/sqlite-suite/source target/sqlite-suite); then
    showwal=$folder/showwal
    cc -O2 -o "$showwal" "$source/tool/showwal.c"
else
    echo "without SQLite's source frame-list is not measured" >&2
fi
release=$PWD/target/release
"$release/examples/against-sqlite" run "$folder" "$release/walsmith" "$release/examples/worker" \
    "$release/examples/oracle" "$showwal" "$mib" "$growth" "$@"
