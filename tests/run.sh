#!/usr/bin/env bash
# Builds winze and runs every test: unit tests, header and include checks, an out-of-tree consumer, and the interop suite
# against peers of other makes. Installs what is missing by apt.
#   --fast        unit tests alone
#   --no-peers    without the interop suite
#   --peers=all   also against the peers that are built from source (Xray, sing-box, shadowsocks-rust), which takes
#                 some minutes once, and against strongSwan of Debian 13
#   --whole       a file of 1 GiB through every pair of protocol, cipher, stream and peer, where 16 MiB go else
# With WINZE_SOAK_SECONDS=3600 in the environment the soak test loads for an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/packages.sh

fast= peers=yes built= interop=()
for argument in "$@"; do
  case $argument in
    --fast) fast=yes peers= ;;
    --no-peers) peers= ;;
    --peers=all) built=yes ;;
    --whole) interop+=(--whole) ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown option $argument; see --help" >&2; exit 2 ;;
  esac
done

packages=("${build_packages[@]}" "${test_packages[@]}")
if [ -n "$peers" ]; then packages+=("${peer_packages[@]}" "${strongswan_packages[@]}" "${ike_packages[@]}"); fi
install_missing "${packages[@]}"
if [ -n "$peers" ] && { [ "$(id -u)" != 0 ] || ! ip netns list >/dev/null 2>&1; }; then
  echo "Note: not root, or no network namespaces here. Tests that need them say so and are skipped (with CI set they fail)."
fi

passed=0 failed=0
step() { # step NAME COMMAND...: counts as one test
  local name=$1
  shift
  echo "== $name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
  fi
}

echo "== build"
cmake --preset release >/dev/null
cmake --build --preset release

echo "== unit tests"
log=$(mktemp)
trap 'rm -rf "$log" "${consumer:-}"' EXIT
bash tests/unit.sh release | tee "$log" || true
count=$(sed -n 's/^\([0-9]*\)% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\2 \3/p' "$log")
read -r unit_failed unit_all <<<"${count:-1 1}"
passed=$((passed + unit_all - unit_failed)) failed=$((failed + unit_failed))
failed_at_first=$(sed -n '/^== failed at first: /,$p' "$log")
again=$(grep -c '^== failed at first: ' "$log" || true)

if [ -z "$fast" ]; then
  step "includes follow the arrows" python3 tests/arrows.py
  step "headers are self-contained" cmake --build build/release --target all_verify_interface_header_sets
  consumer=$(mktemp -d)
  step "an installed winze serves a project out of tree" bash tests/consumer/run.sh build/release "$consumer"
fi

if [ -n "$peers" ]; then
  if [ -n "$built" ]; then
    step "peers built from source" bash tests/interop/built_peers.sh
    step "strongSwan of Debian 13" bash tests/interop/trixie_root.sh
  fi
  echo "== interop"
  # Most of a test's time is waiting for deadlines and for processes to start. What fails is run once more, and told: the other
  # makers' processes have races of their own.
  /usr/bin/python3 -m pytest -q -raR -n 2 --dist loadfile --reruns 1 "${interop[@]}" tests/interop 2>&1 | tee "$log" || true
  tally() { grep -oE "[0-9]+ $1" "$log" | tail -n 1 | grep -oE '[0-9]+' || echo 0; }
  interop_failed=$(($(tally failed) + $(tally error)))
  if ! grep -qE '[0-9]+ passed' "$log"; then interop_failed=$((interop_failed + 1)); fi
  passed=$((passed + $(tally passed))) failed=$((failed + interop_failed)) again=$((again + $(tally rerun)))
fi

if [ -n "$failed_at_first" ]; then printf '\n%s\n' "$failed_at_first"; fi
echo
echo "$passed passed, $failed failed, $again run a second time"
[ "$failed" = 0 ]
