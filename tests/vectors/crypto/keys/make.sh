#!/usr/bin/env bash
# source: made by this script with OpenSSL's command line; run again to renew. Private keys in every form that is read.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem ./*.der
key() { # key NAME [openssl genpkey options]: PKCS#8 and its public key
  local name=$1
  shift
  openssl genpkey "$@" -out "$name.pem"
  openssl pkey -in "$name.pem" -pubout -out "$name.pub.pem"
}
key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
key p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
key ed25519 -algorithm ED25519
key p224 -algorithm EC -pkeyopt ec_paramgen_curve:P-224
openssl rsa -in rsa.pem -traditional -out rsa.pkcs1.pem
openssl rsa -in rsa.pem -traditional -outform DER -out rsa.pkcs1.der
openssl ec -in p256.pem -out p256.sec1.pem
openssl pkey -in p256.pem -outform DER -out p256.der
openssl pkcs8 -topk8 -in p256.pem -v2 aes-256-cbc -passout pass:secret -out p256.enc.pem
openssl pkcs8 -topk8 -in p256.pem -v2 aes-256-cbc -passout pass:secret -outform DER -out p256.enc.der
openssl rsa -in rsa.pem -traditional -aes256 -passout pass:secret -out rsa.enc.pem
# What OpenSSL itself signs of the message "winze\n".
printf 'winze\n' >message
for name in rsa p256 p384 p521; do
  openssl dgst -sha256 -sign "$name.pem" -out "$name.sha256.sig" message
done
openssl dgst -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign rsa.pem -out rsa.pss384.sig message
openssl pkeyutl -sign -inkey ed25519.pem -rawin -in message -out ed25519.sig
