#!/usr/bin/env bash
# source: made by this script with OpenSSL's command line; run again to renew. Certificates, CRLs and OCSP responses for
# the tests of chains. `now` is when they were made; the tests judge them at times counted from there.
set -eu
cd "$(dirname "$0")"
rm -rf ./*.pem ./*.der ./*.key now work
mkdir work
date +%s >now
days=36500

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "work/$1.key" 2>/dev/null; }
# cert NAME CA EXTENSIONS [openssl x509 options]: NAME's subject is SUBJECT or CN=NAME; CA "-" signs itself; a key that is there stays
cert() {
  local name=$1 ca=$2 extensions=$3
  shift 3
  [ -e "work/$name.key" ] || key "$name"
  printf '%b' "$extensions" >"work/$name.ext"
  openssl req -new -key "work/$name.key" -subj "${SUBJECT:-/C=CH/O=Example/CN=$name}" -out "work/$name.csr"
  local signer=(-CA "$ca.pem" -CAkey "work/$ca.key" -set_serial "0x1$(printf %s "$name" | sha1sum | cut -c-14)")
  [ "$ca" != - ] || signer=(-signkey "work/$name.key")
  openssl x509 -req -in "work/$name.csr" "${signer[@]}" -days $days -extfile "work/$name.ext" "$@" -out "$name.pem" 2>/dev/null
}
ca='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
leaf='basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'
server='extendedKeyUsage=serverAuth\n'
names='subjectAltName=DNS:gw.example.org,DNS:*.pool.example.org,email:Admin@Example.org,IP:192.0.2.1,IP:2001:db8::1\n'

cert root - "$ca"
cert sub root "$ca"
cert subsub sub "$ca"
SUBJECT='/C=CH/O=Example/CN=root' cert stranger - "$ca"    # another key under the root's name
cert server sub "$leaf$server$names"
cert deep subsub "$leaf$server$names"
cert client sub "${leaf}extendedKeyUsage=clientAuth\nsubjectAltName=email:alice@example.org\n"
cert ike sub "${leaf}extendedKeyUsage=1.3.6.1.5.5.7.3.17\n"
cert intermediate sub "${leaf}extendedKeyUsage=1.3.6.1.5.5.8.2.2\n"
cert any sub "${leaf}extendedKeyUsage=2.5.29.37.0\n"
cert code sub "${leaf}extendedKeyUsage=codeSigning\n"
cert plain sub "$leaf"
cert encipher sub "basicConstraints=CA:FALSE\nkeyUsage=keyEncipherment\n"
cert critical sub "${leaf}1.2.3.4=critical,ASN1:UTF8:unknown\n"
SUBJECT='/CN=gw.example.org' cert common sub "$leaf"        # a name that stands in the subject alone
cert below server "$leaf"                                   # issued by a leaf
cert naked sub "basicConstraints=CA:FALSE\n"
cert below_naked naked "$leaf"
cert short root "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n"
cert toolong short "$ca"
cert toodeep toolong "$leaf"
cert clientca root "${ca}extendedKeyUsage=clientAuth\n"     # a CA that is not for servers
cert wrongca clientca "$leaf"
days=1 cert expired sub "$leaf"
cert sha1 sub "$leaf" -sha1
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out work/weak.key 2>/dev/null
cert weak sub "$leaf"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out work/rsa.key 2>/dev/null
cert rsa sub "$leaf$server$names"
openssl genpkey -algorithm ED25519 -out work/edward.key
cert edward sub "$leaf$server$names"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-224 -out work/p224.key 2>/dev/null
cert p224 sub "$leaf"

# Name constraints (CVE-2026-35331)
cert inside root "${ca}nameConstraints=critical,permitted;DNS:example.org,permitted;email:example.org\n"
cert inside_good inside "${leaf}subjectAltName=DNS:a.example.org\n"
cert inside_bad inside "${leaf}subjectAltName=DNS:a.example.org,DNS:a.example.net\n"
cert inside_mail inside "${leaf}subjectAltName=email:a@example.net\n"
cert inside_suffix inside "${leaf}subjectAltName=DNS:notexample.org\n"
cert outside root "${ca}nameConstraints=critical,excluded;DNS:secret.example.org\n"
cert outside_good outside "${leaf}subjectAltName=DNS:a.example.org\n"
cert outside_bad outside "${leaf}subjectAltName=DNS:a.secret.example.org\n"
cert outside_case outside "${leaf}subjectAltName=DNS:a.SECRET.example.org\n"
cert networks root "${ca}nameConstraints=critical,permitted;IP:192.0.2.0/255.255.255.0\n"
cert networks_bad networks "${leaf}subjectAltName=IP:198.51.100.1\n"

# CRLs. crl NAME CA SERIALS(of certificates that are revoked) [openssl ca options]
crl() {
  local name=$1 ca=$2 revoked=$3 extensions=${EXTENSIONS:-}
  shift 3
  : >work/index
  for one in $revoked; do
    printf 'R\t21000101000000Z\t230101000000Z\t%s\tunknown\t/CN=%s\n' "$(openssl x509 -in "$one.pem" -noout -serial | cut -d= -f2)" "$one" >>work/index
  done
  echo 01 >work/crlnumber
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=work/index\ncrlnumber=work/crlnumber\ndefault_md=sha256\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n%b' "$extensions" >work/ca.conf
  openssl ca -gencrl -config work/ca.conf -cert "${SIGNER:-$ca}.pem" -keyfile "work/${SIGNER:-$ca}.key" "$@" -out "$name.pem" 2>/dev/null
}
crl root_crl root "" -crldays $days
crl root_crl_sub root sub -crldays $days
crl sub_crl sub "" -crldays $days
crl sub_crl_server sub server -crldays $days
crl sub_crl_stale sub "" -crlhours 1
crl sub_crl_server_stale sub server -crlhours 1
SIGNER=stranger crl stranger_crl root sub -crldays $days    # by another key under the root's name
EXTENSIONS='issuingDistributionPoint=critical,@p\n[p]\nfullname=URI:http://crl.example.org/1\n' crl sub_crl_part sub "" -crldays $days
EXTENSIONS='2.5.29.27=critical,ASN1:INTEGER:1\n' crl sub_crl_delta sub server -crldays $days

# Certificates that say where to ask about them.
cert told - "$ca"
cert where_crl told "${leaf}crlDistributionPoints=URI:http://crl.example.org/1\n"
cert where_ocsp told "${leaf}authorityInfoAccess=OCSP;URI:http://ocsp.example.org\n"
cert where_issuer told "${leaf}authorityInfoAccess=caIssuers;URI:http://ca.example.org\n"

# OCSP responses. ocsp NAME CA SIGNER STATUS(V or R) CERTIFICATE [openssl ocsp options]
cert responder sub "${leaf}extendedKeyUsage=OCSPSigning\n"
cert foreign stranger "${leaf}extendedKeyUsage=OCSPSigning\n"
ocsp() {
  local name=$1 ca=$2 signer=$3 status=$4 certificate=$5
  shift 5
  printf '%s\t21000101000000Z\t%s\t%s\tunknown\t/CN=x\n' "$status" "$([ "$status" = V ] || echo 230101000000Z)" \
    "$(openssl x509 -in "$certificate.pem" -noout -serial | cut -d= -f2)" >work/index
  openssl ocsp -issuer "$ca.pem" -cert "$certificate.pem" -no_nonce -reqout work/request.der >/dev/null 2>&1
  openssl ocsp -index work/index -CA "$ca.pem" -rsigner "$signer.pem" -rkey "work/$signer.key" -reqin work/request.der \
    -respout "$name.der" "$@" >/dev/null 2>&1
}
ocsp ocsp_good sub sub V server -ndays $days
ocsp ocsp_sub_good root root V sub -ndays $days
ocsp ocsp_revoked sub sub R server -ndays $days
ocsp ocsp_stale sub sub V server -nmin 60
ocsp ocsp_delegated sub responder V server -ndays $days
ocsp ocsp_by_leaf sub server V server -ndays $days          # by a certificate that is not for that
ocsp ocsp_by_stranger sub foreign V server -ndays $days
ocsp ocsp_other sub sub V client -ndays $days               # about another certificate
printf '0\003\012\001\006' >ocsp_unauthorized.der

for name in server client rsa edward; do cp "work/$name.key" "$name.key"; done
cat server.pem sub.pem >server_chain.pem
openssl x509 -in server.pem -outform DER -out server.der
rm -r work
