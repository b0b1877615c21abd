#!/usr/bin/env bash
# Runs interop suites on a loopback that passes so much a second, in a network namespace of its own: what waits there
# meets races that are never seen where everything is done at once. As root, after a build.
#
#   bash tests/interop/at_rate.sh 200mbit tests/interop/test_mux.py [OPTION OF PYTEST...]
#
# On one processor, because on several the kernel brings the datagrams that had to wait out of order. Tests of a speed
# above the rate fail, as they should.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -lt 2 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
exec taskset -c 0 unshare --net bash -euc '
  ip link set lo up
  tc qdisc add dev lo root tbf rate "$0" burst 256k limit 200m
  exec /usr/bin/python3 -m pytest -q "$@"' "$@"
