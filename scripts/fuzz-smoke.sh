#!/bin/sh
# Runs every fuzz target for FUZZ_SECONDS seconds (15), starting from the test vectors. Needs g++; installs cargo-fuzz where missing.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-15}

cargo fuzz --version > /dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
# The sanitizer's flags are unstable ones; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
python3 fuzz/corpus.py
cargo fuzz build
count=0
for target in $(cargo fuzz list); do
  mkdir -p "fuzz/corpus/$target"
  log=$(mktemp)
  if cargo fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -max_len=65536 -timeout=10 -print_final_stats=1 \
    > "$log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, no failure"
  else
    tail -40 "$log"
    exit 1
  fi
  rm "$log"
  count=$((count + 1))
done
echo "fuzz: $count targets, no failure"
