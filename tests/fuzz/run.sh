#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: builds the fuzz targets and runs each for that long from its corpus, two at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:?seconds for each target}
shift
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for source in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "${source%.cc}")"); done
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fuzz_one() {
  local target=$1 seeds=tests/fuzz/corpus/${1%_fuzz} words=tests/fuzz/${1%_fuzz}.dict
  mkdir -p "$work/$target"
  if "build/fuzz/bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$work/$target-" \
    $([ -f "$words" ] && echo "-dict=$words") "$work/$target" $([ -d "$seeds" ] && echo "$seeds") >"$work/$target.log" 2>&1; then
    echo "$target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$work/$target.log" || true)s"
  else
    tail -n 40 "$work/$target.log"
    for crash in "$work/$target"-*; do [ -e "$crash" ] && base64 "$crash"; done
    echo "FAILED: $target"
    return 1
  fi
}
export -f fuzz_one
export seconds work
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz_one {}'
