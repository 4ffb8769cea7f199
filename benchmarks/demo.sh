#!/usr/bin/env bash
# The demo over several seeds, the two controls and the two other tasks; one line a run. Needs `make demo` once.
set -euo pipefail
cd "$(dirname "$0")/.."
paretune=$PWD/.venv/bin/paretune
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() {
  local name=$1
  shift
  local began=$SECONDS
  "$paretune" demo --store "$folder/$name/w.sqlite" "$@" >"$folder/$name.txt" 2>&1 || true
  printf '%-10s %4d s  %s\n' "$name" $((SECONDS - began)) "$(grep -a -m1 -E '^(a gain|no gain)' "$folder/$name.txt")"
}

for seed in $(seq 0 $((${1:-5} - 1))); do
  run "money-$seed" --seed "$seed"
done
run order --task order
run date --task date
run shuffled --shuffle-rewards
run none --proposer none
