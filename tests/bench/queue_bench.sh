#!/usr/bin/env bash
# The comparative benchmark of the queue, in one command: installs the other queues where they are missing, builds, runs.
#   tests/bench/queue_bench.sh [--quick | --long] [--only SECTION]... [--json FILE]
# Everything is on the loopback and in temporary folders; README.md says what the figures mean.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rivals=$root/build/bench_rivals

"$root/deploy/install-deps.sh" --bench || echo "queue_bench: without the packages of the other queues; the tables say which" >&2

# The server's files, also where the program is killed; the server runs as another user and goes with the program.
work=$(mktemp -d "${TMPDIR:-/tmp}/queue_bench_XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

mkdir -p "$rivals"
cp "$root"/tests/bench/rivals/*.mjs "$root"/tests/bench/rivals/package*.json "$rivals/"
# npm ci deletes and downloads everything again: only where the lock file is another one than last time.
if ! cmp -s "$rivals/package-lock.json" "$rivals/installed-lock.json"; then
  if npm ci --prefix "$rivals" --no-audit --no-fund --ignore-scripts > "$rivals/npm.log" 2>&1; then
    cp "$rivals/package-lock.json" "$rivals/installed-lock.json"
  else
    tail -n 5 "$rivals/npm.log" >&2
    echo "queue_bench: npm could not install graphile-worker and pg-boss" >&2
  fi
fi

cmake --preset release -S "$root" > /dev/null
ninja -C "$root/build" queue_bench centralcloud_daemon > "$rivals/build.log" || { tail -n 20 "$rivals/build.log" >&2; exit 1; }
# Twice what the long mode takes: a run that hangs ends.
TMPDIR=$work timeout --foreground 3600 "$root/build/bin/queue_bench" --rivals "$rivals" "$@"
