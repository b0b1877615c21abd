#!/usr/bin/env bash
# Builds the peers that come as Go modules, at the versions below, from what the Go module proxy serves: into
# build/peers/bin, or the folder in WINZE_PEERS. What is there already at its version is left alone. On two cores both
# take about two minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${WINZE_PEERS:-$PWD/build/peers/bin}
xray=v1.260327.0
sing_box=v1.14.1

if ! command -v go >/dev/null; then
  echo "There is no \"go\" here to build Xray and sing-box with. They need Go 1.26 or newer; Debian 12 has 1.19." >&2
  exit 1
fi
mkdir -p "$folder"

# build NAME VERSION PACKAGE [FLAG...]: a program carries the version of its module.
build() {
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

build xray $xray github.com/xtls/xray-core/main
build sing-box $sing_box github.com/sagernet/sing-box/cmd/sing-box -tags=with_utls,with_quic
