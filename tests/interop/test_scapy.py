"""ESP and AH packets between winze and scapy's IPsec layer, both ways: algorithm x mode x ESN x IP version."""
import pytest
from scapy.all import (
    ICMP, IP, TCP, UDP, ICMPv6EchoRequest, IPOption_Router_Alert, IPOption_RR, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw)
from scapy.layers.ipsec import AH, ESP, SecurityAssociation

NULL, GCM, CCM, CHACHA, GMAC, CBC, CTR, DES3 = range(8)
SPI = 0x1234
NEAR4, FAR4, NEAR6, FAR6 = "192.0.2.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"
IN4, OUT4, IN6, OUT6 = "10.0.0.1", "10.1.0.1", "fd00::1", "fd00:1::1"

# name: winze's number, scapy's name, key size, ICV size. scapy cuts no ICV of GCM: the Linux kernel's tests have those.
AEADS = {f"{name}-{aes * 8}-{icv}": (number, theirs, aes + salt, icv)
         for name, number, theirs, salt, icvs in (("gcm", GCM, "AES-GCM", 4, (16,)), ("ccm", CCM, "AES-CCM", 3, (8, 12, 16)))
         for aes in (16, 24, 32) for icv in icvs}
AEADS["chacha20"] = (CHACHA, "CHACHA20-POLY1305", 36, 16)
CIPHERS = {"null": (NULL, "NULL", 0), "cbc-128": (CBC, "AES-CBC", 16), "cbc-192": (CBC, "AES-CBC", 24),
           "cbc-256": (CBC, "AES-CBC", 32), "ctr-128": (CTR, "AES-CTR", 20), "ctr-256": (CTR, "AES-CTR", 36),
           "3des": (DES3, "3DES", 24)}
MACS = {"sha1": (1, "HMAC-SHA1-96", 20), "sha256": (2, "SHA2-256-128", 32), "sha384": (3, "SHA2-384-192", 48),
        "sha512": (4, "SHA2-512-256", 64), "cmac": (6, "AES-CMAC-96", 16), "md5": (7, "HMAC-MD5-96", 16)}

PACKETS = {
    "udp4": IP(src=IN4, dst=OUT4, tos=0x2A, id=7) / UDP(sport=1, dport=2) / Raw(b"hello world"),
    "tcp4": IP(src=IN4, dst=OUT4, flags="DF", id=8) / TCP(sport=1, dport=2) / Raw(bytes(1000)),
    "options4": IP(src=IN4, dst=OUT4, id=9, options=[IPOption_Router_Alert(), IPOption_RR(routers=["1.2.3.4"])]) / ICMP(),
    "udp6": IPv6(src=IN6, dst=OUT6, tc=0x2A, fl=0x1234) / UDP(sport=1, dport=2) / Raw(b"hello world"),
    "hop6": IPv6(src=IN6, dst=OUT6) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / ICMPv6EchoRequest(),
    "options6": IPv6(src=IN6, dst=FAR6) / IPv6ExtHdrRouting(segleft=1, addresses=[OUT6])
    / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / UDP(sport=1, dport=2) / Raw(b"12345"),
}
# An outer header of the other version too.
MODES = {"transport": None, "tunnel4": IP(src=NEAR4, dst=FAR4), "tunnel6": IPv6(src=NEAR6, dst=FAR6)}


def key(size, first):
    return bytes((first + 7 * i) % 256 for i in range(size))


def arrived(packet):
    """The packet as it reaches the last of its routing header's addresses."""
    if IPv6ExtHdrRouting in packet and packet.nh == 43 and packet[IPv6ExtHdrRouting].segleft:
        route = packet[IPv6ExtHdrRouting]
        packet.dst, route.addresses, route.segleft = route.addresses[0], [packet.dst], 0
    return packet.__class__(bytes(packet))


def both_ways(ask, sa, proto, fields, mode, sequence, esn=False, **theirs):
    """Every packet is sealed by each and opened by the other."""
    outer = MODES[mode]
    fields |= {"proto": proto, "mode": "tunnel" if outer else "transport", "first": sequence, "esn": int(esn)}
    if outer:
        fields |= {"local": outer.src, "remote": outer.dst}
    for name, packet in PACKETS.items():
        packet = packet.__class__(bytes(packet))
        low, high = sequence & 0xffffffff, sequence >> 32
        numbers = {"esn_en": True, "esn": high} if esn else {}
        make = lambda: SecurityAssociation(sa, SPI, seq_num=low, tunnel_header=outer.copy() if outer else None,
                                           **theirs, **numbers)
        expected = bytes(packet if outer else arrived(packet.copy()))
        sealed = ask("seal", packet, **fields)
        kind = IPv6 if sealed[0] >> 4 == 6 else IP
        opened = make().decrypt(arrived(kind(sealed)))
        assert bytes(opened) == expected, f"{name} sealed by winze"
        sealed = arrived(make().encrypt(packet))
        assert ask("open", sealed, **fields) == expected, f"{name} sealed by scapy"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("esn", [False, True], ids=["", "esn"])
@pytest.mark.parametrize("suite", AEADS)
def test_esp_aead(ask, suite, esn, mode):
    number, theirs, size, icv = AEADS[suite]
    secret = key(size, 1)
    both_ways(ask, ESP, "esp", {"encryption": number, "ekey": secret.hex(), "icv": icv}, mode,
              0x1_0000_0005 if esn else 5, esn, crypt_algo=theirs, crypt_key=secret, crypt_icv_size=icv)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mac", MACS)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_esp_cipher_and_mac(ask, cipher, mac, mode):
    number, theirs, size = CIPHERS[cipher]
    mac_number, their_mac, mac_size = MACS[mac]
    secret, auth = key(size, 1), key(mac_size, 99)
    fields = {"encryption": number, "ekey": secret.hex(), "integrity": mac_number, "ikey": auth.hex()}
    both_ways(ask, ESP, "esp", fields, mode, 5, crypt_algo=theirs, crypt_key=secret or None, auth_algo=their_mac,
              auth_key=auth)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("esn", [False, True], ids=["", "esn"])
@pytest.mark.parametrize("mac", MACS)
def test_ah(ask, mac, esn, mode):
    number, theirs, size = MACS[mac]
    secret = key(size, 1)
    both_ways(ask, AH, "ah", {"integrity": number, "ikey": secret.hex()}, mode,
              0x1_0000_0005 if esn else 5, esn, auth_algo=theirs, auth_key=secret)
