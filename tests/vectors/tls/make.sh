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
# later NAME CA SAN: valid from the year 2100 on (x509 has no option for the beginning)
later() {
  local name=$1 ca=$2 san=$3
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
  mkdir "$name.ca"
  touch "$name.ca/index"
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n' \
    "$name.ca" "$name.ca" >"$name.ca/config"
  printf 'x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$san" \
    >>"$name.ca/config"
  openssl ca -batch -notext -config "$name.ca/config" -cert "$ca.pem" -keyfile "$ca.key" -in "$name.csr" \
    -startdate 21000101000000Z -enddate 21100101000000Z -out "$name.pem"
  rm -r "$name.csr" "$name.ca"
}
pins() { # pins NAME: SHA-256 of the certificate and of its public key
  printf '\nid = %s\ncertificate = %s\nspki = %s\n' "$1" \
    "$(openssl x509 -in "$1.pem" -outform der | sha256sum | cut -c-64)" \
    "$(openssl x509 -in "$1.pem" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -c-64)"
}
ca root
ca stranger
leaf a root DNS:a.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1 serverAuth -days $days
leaf b root DNS:b.test serverAuth -days $days
leaf expired root DNS:a.test serverAuth -days -1
leaf client root DNS:client.test clientAuth -days $days
leaf unknown stranger DNS:a.test serverAuth -days $days
leaf unknown_client stranger DNS:client.test clientAuth -days $days
later later root DNS:a.test
(echo "# source: make.sh, with OpenSSL's command line" && pins root && pins a && pins unknown) >pins.txt
rm -f ./*.srl
