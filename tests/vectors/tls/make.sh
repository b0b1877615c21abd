#!/usr/bin/env bash
# source: made by this script with OpenSSL's command line; run again to renew. Certificates for the TLS tests.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem ./*.key
days=36500

ca() { # ca NAME: a root
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout "$1.key" -out "$1.pem"
}
leaf() { # leaf NAME CA SAN USAGE [openssl x509 options]
  local name=$1 ca=$2 san=$3 usage=$4
  shift 4
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$san" "$usage" >"$name.ext"
  openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -extfile "$name.ext" "$@" -out "$name.pem"
  rm "$name.csr" "$name.ext"
}
ca root
ca stranger
leaf a root DNS:a.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1 serverAuth -days $days
leaf b root DNS:b.test serverAuth -days $days
leaf expired root DNS:a.test serverAuth -days -1
leaf client root DNS:client.test clientAuth -days $days
leaf unknown stranger DNS:a.test serverAuth -days $days
rm -f ./*.srl
