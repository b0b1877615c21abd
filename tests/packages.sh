# Sourced by the scripts that set a machine up: the Debian packages they need, and how to install them.

# To build the library, the tool and the examples.
build_packages=(
  g++ cmake ninja-build pkg-config
  libasio-dev libabsl-dev android-libboringssl-dev libnghttp2-dev nlohmann-json3-dev libcli11-dev
)
# To run the quickstart.
demo_packages=(nginx-light curl openssl iproute2 iputils-ping iperf3)
# To build and run the tests.
test_packages=(
  doctest-dev libbenchmark-dev python3 python3-pytest python3-pytest-xdist python3-pytest-rerunfailures
  python3-scapy clang-16 clang-format-16 libclang-rt-16-dev
  "${demo_packages[@]}"
)
# The peers of other makes.
peer_packages=(v2ray trojan shadowsocks-libev simple-obfs shadowsocks-v2ray-plugin haproxy user-mode-linux kmod procps iputils-ping iperf3 tshark ike-scan)
# The peer of the IKE tests and of the ESP benchmark.
strongswan_packages=(
  strongswan-charon strongswan-swanctl libstrongswan-standard-plugins libstrongswan-extra-plugins libcharon-extra-plugins
  libcharon-extauth-plugins
)
# Others of the IKE tests. libreswan itself conflicts with strongSwan: tests/interop/libreswan.py fetches and unpacks it, and
# it finds what it depends on.
libreswan_depends=(libcap-ng0 libcurl3-nss libevent-pthreads-2.1-7 libldns3 libnss3-tools libunbound8)
ike_packages=(freeradius eapoltest nftables "${libreswan_depends[@]}")

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_missing PACKAGE...: says what it installs; services that packages bring are kept from starting.
install_missing() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return 0; fi
  echo "Installing with apt: ${missing[*]}"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "Neither root nor sudo: install these packages and run again." >&2
    return 1
  fi
  local policy=/usr/sbin/policy-rc.d ours=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    ours=yes
  fi
  local status=0
  as_root apt-get update -q >/dev/null || status=$?
  if [ $status = 0 ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
      status=$?
  fi
  if [ -n "$ours" ]; then as_root rm -f "$policy"; fi
  return $status
}
