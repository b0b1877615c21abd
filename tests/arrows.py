#!/usr/bin/env python3
"""Holds every #include of include/ and lib/ against the arrows between the folders (lib/README.md)."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each folder may include, besides itself.
ARROWS = {
    "base": set(),
    "crypto": {"base"},
    "proto": {"crypto", "base"},
    "io": {"base"},
    "layer": {"proto", "crypto", "io", "base"},
    "chain": {"layer", "proto", "io", "base"},
    "tunnel": {"layer", "proto", "crypto", "io", "base"},
    "node": {"chain", "tunnel", "layer", "proto", "crypto", "io", "base"},
    "config": {"node", "proto", "base"},
}
# Folders whose private sources may use OpenSSL's headers, and folders that may use Asio.
OPENSSL = {"crypto", "layer"}
ASIO = {"io", "layer", "chain", "tunnel", "node"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def complaints(path: pathlib.Path):
    public = path.parts[len(ROOT.parts)] == "include"
    folder = path.parts[len(ROOT.parts) + (2 if public else 1)]
    for target in INCLUDE.findall(path.read_text()):
        parts = target.split("/")
        if parts[0] == "winze" and len(parts) > 2 and parts[1] != folder and parts[1] not in ARROWS[folder]:
            yield f"{folder} must not include {target}"
        if parts[0] == "openssl" and (public or folder not in OPENSSL):
            yield f"{target}: BoringSSL's headers belong in private sources of {', '.join(sorted(OPENSSL))}"
        if parts[0] in ("asio", "asio.hpp") and folder not in ASIO:
            yield f"{folder} must not include {target}"
        if target == "asio.hpp":
            yield "asio.hpp pulls in all of Asio: include the narrow header"


def main() -> int:
    bad = 0
    files = [p for top in ("include", "lib") for p in (ROOT / top).rglob("*") if p.suffix in (".h", ".cc")]
    for path in sorted(files):
        for complaint in complaints(path):
            print(f"{path.relative_to(ROOT)}: {complaint}")
            bad += 1
    print(f"{len(files)} files, {bad} includes against the arrows")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
