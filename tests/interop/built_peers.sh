#!/usr/bin/env bash
# Builds the peers that Debian has not, at the versions below: those that come as Go modules from what the Go module proxy
# serves, that which comes as a crate from crates.io. They go to build/peers/bin, or the folder in WINZE_PEERS; what is
# there already at its version is left alone. On two cores all take about five minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${WINZE_PEERS:-$PWD/build/peers/bin}
xray=v1.260327.0
sing_box=v1.14.1
shadowsocks_rust=1.25.0

# Where rustup puts cargo, and Go's own archive go; a PATH that no login made may lack both.
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin:/usr/local/go/bin

need() { # need PROGRAM WHAT
  if command -v "$1" >/dev/null; then return; fi
  echo "There is no \"$1\" here to build $2." >&2
  exit 1
}
need go "Xray and sing-box with. They need Go 1.26 or newer; Debian 12 has 1.19"
need cargo "shadowsocks-rust with. It needs Rust 1.91 or newer; Debian 12 has 1.63"
mkdir -p "$folder"

# go_peer NAME VERSION PACKAGE [FLAG...]: a program carries the version of its module.
go_peer() {
  local name=$1 version=$2 package=$3
  shift 3
  if go version -m "$folder/$name" 2>/dev/null | awk '$1 == "mod" { print $3 }' | grep -qxF "$version"; then return; fi
  echo "Building $name $version"
  local into
  into=$(mktemp -d "$folder/.build.XXXXXX")
  if GOBIN=$into nice go install -p 2 -trimpath -ldflags='-s -w' "$@" "$package@$version"; then
    mv "$into"/* "$folder/$name"
    rmdir "$into"
  else
    rm -rf "$into"
    echo "$name $version cannot be built: this needs the Go module proxy, and Go 1.26 or newer." >&2
    return 1
  fi
}

# shadowsocks-rust, whose two programs say their version.
rust_peer() {
  if "$folder/ssserver" --version 2>/dev/null | grep -qF " $shadowsocks_rust" && [ -x "$folder/sslocal" ]; then return; fi
  echo "Building shadowsocks-rust $shadowsocks_rust"
  local into status=0
  into=$(mktemp -d "$folder/.build.XXXXXX")
  # Link-time optimisation in parts: as a whole it takes this machine minutes more.
  CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 nice cargo install --quiet --locked --no-track \
    --root "$into" --no-default-features --features server,local,local-tunnel,multi-threaded,aead-cipher,aead-cipher-2022 \
    --bin ssserver --bin sslocal "shadowsocks-rust@$shadowsocks_rust" || status=$?
  if [ $status = 0 ]; then mv "$into"/bin/* "$folder"; fi
  rm -rf "$into"
  if [ $status != 0 ]; then
    echo "shadowsocks-rust $shadowsocks_rust cannot be built: this needs crates.io, and Rust 1.91 or newer." >&2
  fi
  return $status
}

go_peer xray $xray github.com/xtls/xray-core/main
go_peer sing-box $sing_box github.com/sagernet/sing-box/cmd/sing-box -tags=with_utls,with_quic
rust_peer
