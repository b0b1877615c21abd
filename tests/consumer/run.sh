#!/usr/bin/env bash
# run.sh BUILD SCRATCH: installs BUILD into SCRATCH and builds and runs the consumer project against it.
set -euo pipefail
build=$(realpath "$1") scratch=$(realpath "$2") here=$(cd "$(dirname "$0")" && pwd)
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
cmake -S "$here" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$scratch/build"
"$scratch/build/consumer"
"$scratch/prefix/bin/winze" version
