#!/usr/bin/env bash
# unit.sh PRESET: runs the unit tests of a preset's build. One that fails is run once more, and what it said at first comes
# again at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ctest --preset "$1" --repeat until-pass:2 2>&1 | tee "$log"
status=$?
# A first attempt has its number before it.
awk '/^ *Start +[0-9]+:/ { shown = 0 }
  /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: .*\*\*\*/ && !/Not Run/ { shown = 1; print "== failed at first: " $4; next }
  shown' "$log"
exit $status
