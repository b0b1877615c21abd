#!/usr/bin/env bash
# Lays out strongSwan 6.0 of Debian 13, for what 5.9 of Debian 12 has not. It goes to build/peers/bin/trixie, or to a
# folder of that name in WINZE_PEERS; what is there already from these packages is left alone. Nothing is installed, and
# no package's script runs: these are files alone, which a test binds over /usr where only its processes see it. Takes
# some seconds, and 100 MB.
#   trixie_root.sh sid   takes Debian's newest in place of it: 6.1, which has ML-KEM
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=(
  strongswan-charon strongswan-swanctl libstrongswan-standard-plugins libstrongswan-extra-plugins
  libcharon-extra-plugins libcharon-extauth-plugins
)
suite=${1:-trixie}
folder=${WINZE_PEERS:-$PWD/build/peers/bin}
root=$folder/trixie
made="$suite ${packages[*]}"
if [ "$(cat "$root/made" 2>/dev/null)" = "$made" ]; then exit; fi

# Where this machine's own packages come from, by whatever proxy apt is told to use.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Origin: Debian' |
  sed -n 1p)
mirror=${mirror:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$folder"
into=$(mktemp -d "$folder/.trixie.XXXXXX")
trap 'rm -rf "$into"' EXIT
apt=$into/apt
mkdir -p "$apt"/{lists,cache,etc} "$into/root"
: >"$apt/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/etc/sources.list"

# An apt of its own, on whose machine nothing is installed yet.
apt_get() {
  apt-get -qq -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/status" \
    -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}
echo "Laying out strongSwan of Debian $suite from $mirror"
if ! { apt_get -o APT::Update::Error-Mode=any update &&
  apt_get install -y --download-only --no-install-recommends "${packages[@]}"; }; then
  echo "strongSwan of Debian $suite cannot be laid out: $mirror has to be reachable, and has to have $suite." >&2
  exit 1
fi
for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$into/root"; done
echo "$made" >"$into/root/made"
rm -rf "$root"
mv -T "$into/root" "$root"
