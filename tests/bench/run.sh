#!/usr/bin/env bash
# run.sh SUITE [--json FILE] [--quick]: side-by-side runs against peers of other makes; prints ratios of medians.
#   proxy   winze, v2ray 4.34, haproxy, shadowsocks-libev, trojan, and Xray, sing-box and shadowsocks-rust where
#           tests/interop/built_peers.sh has built them, carrying the same load over the same chains; --chains NAMES takes
#           some of them
#   esp     winze's ESP in UDP, strongSwan's in user space, and no tunnel, between two namespaces
#   ike     IKE handshakes: winze as the gateway beside charon, under the same load over loopback; in process with both
#           ends on one core; memory and wake-ups of idle tunnels
#   slow    small requests beside uploads that fill a slow path, all in one connection (mux.cool, h2mux, smux)
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/packages.sh
suite=${1:-}
case $suite in
  proxy) packages=("${peer_packages[@]}") targets=(winze_tool proxy_load) ;;
  esp) packages=("${strongswan_packages[@]}" iperf3 iputils-ping procps) targets=(esp_tunnel esp_bench database_bench) ;;
  ike) packages=("${strongswan_packages[@]}") targets=(ike_bench ike_load ipsec_gateway) ;;
  slow) packages=("${peer_packages[@]}" python3-pytest) targets=(winze_tool) ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; [ "$suite" = --help ] || [ "$suite" = -h ]; exit ;;
esac
shift
install_missing "${build_packages[@]}" libbenchmark-dev doctest-dev python3 iproute2 openssl "${packages[@]}"
cmake --preset release >/dev/null
cmake --build --preset release --target "${targets[@]}"
if [ "$suite" = ike ]; then
  build/release/bin/ike_bench --benchmark_repetitions=3 --benchmark_report_aggregates_only=true
  exec python3 tests/bench/ike.py "$@" # makes its own namespaces
fi
if [ "$suite" = esp ]; then
  exec python3 tests/bench/esp.py "$@" # makes its own namespaces
fi
if [ "$(id -u)" != 0 ] || ! ip netns list >/dev/null 2>&1; then
  echo "Not root, or no network namespaces: running on this host's own loopback, with its congestion control."
  exec python3 "tests/bench/$suite.py" "$@"
fi
# A namespace of our own, with a congestion control that loopback does not hold back.
space=winze-bench-$$
ip netns add "$space"
trap 'ip netns del "$space"' EXIT
ip -n "$space" link set lo up
ip netns exec "$space" sysctl -qw net.ipv4.tcp_congestion_control=reno
ip netns exec "$space" python3 "tests/bench/$suite.py" "$@"
