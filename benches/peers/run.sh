#!/bin/bash
# Drumlin beside other tools and beside lower bounds, on generated data. `make bench`.
#
#   BENCH_DIR    where data, repositories and results go (target/bench): 12 GB of data, and four times that while it runs
#   BENCH_SETS   media,sql,vm,tree
#   BENCH_TOOLS  drumlin,restic,rustic,borg,bupstash,vykar; what is not on PATH is left out and named
#   BENCH_REPS   repetitions (3); tables show medians
#   SCALE        size of the data (1)
# Restores go to /dev/shm where there is one, so that a disk busy with deleted files is not what is measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${BENCH_DIR:-target/bench}
sets=${BENCH_SETS:-media,sql,vm,tree}
export PATH="${CARGO_TARGET_DIR:-$PWD/target}/release:$PATH"

benches/peers/mkdata.sh "$work/data" 1 "${SCALE:-1}"
restored=$work
[ -d /dev/shm ] && [ -w /dev/shm ] && restored=/dev/shm/drumlin-bench
mkdir -p "$work" "$restored"
rm -f "$work/results.jsonl"
python3 benches/peers/lifecycle.py "$work/data" "$work/work" --data "$sets" --rep "${BENCH_REPS:-3}" --restored "$restored" \
  --out "$work/results.jsonl" --log "$work/commands.log" ${BENCH_TOOLS:+--tools "$BENCH_TOOLS"}
echo
python3 benches/peers/lifecycle.py --show "$work/results.jsonl" --markdown

echo
echo "## Lower bounds: the bare primitives over the same bytes"
for name in ${sets//,/ }; do
  folder=$work/data/$name
  [ -d "$folder" ] || folder=${folder}1
  echo
  cargo bench --quiet --locked --bench bound -- "$folder" "$work/work" "$restored"
  cargo bench --quiet --locked --bench walk -- "$folder"
done
rmdir "$restored" 2> /dev/null || true
