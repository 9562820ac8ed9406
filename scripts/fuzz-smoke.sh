#!/bin/sh
# Runs every fuzz target for FUZZ_SECONDS seconds (15), starting from its corpus. Needs g++; installs cargo-fuzz where missing.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-15}

cargo fuzz --version > /dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
# The sanitizer's flags are unstable ones; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
count=0
for target in $(cargo fuzz list); do
  echo "fuzz $target: $seconds s"
  cargo fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
  count=$((count + 1))
done
echo "fuzz: $count targets, no failure"
