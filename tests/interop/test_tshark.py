"""Wireshark's dissector as the reader: it decrypts what winze sealed, and finds every ICV good that it can check."""
import itertools
import os
import shutil
import subprocess

import pytest
from scapy.all import ICMP, IP, UDP, ICMPv6EchoRequest, IPv6, Raw, RawPcapWriter

from harness import require
from spaces import FAR, NEAR, keys, running, two_spaces
from test_scapy import CIPHERS, FAR4, FAR6, IN4, IN6, MACS, NEAR4, NEAR6, OUT4, OUT6, key

# Its names. It has neither AES-CCM, GMAC nor ChaCha20-Poly1305 in 4.0, and no column for extended sequence numbers.
GCM = {icv: f"AES-GCM with {icv} octet ICV [RFC4106]" for icv in (8, 12, 16)}
ENCRYPTION = {"null": "NULL", "cbc": "AES-CBC [RFC3602]", "ctr": "AES-CTR [RFC3686]", "3des": "TripleDES-CBC [RFC2451]"}
UNCHECKED = "ANY 96 bit authentication [no checking]"
INTEGRITY = {"sha1": "HMAC-SHA-1-96 [RFC2404]", "sha256": "HMAC-SHA-256-128 [RFC4868]", "sha384": "HMAC-SHA-384-192 [RFC4868]",
             "sha512": "HMAC-SHA-512-256 [RFC4868]", "md5": "HMAC-MD5-96 [RFC2403]",
             "sha256-96": "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]", "cmac": UNCHECKED, "xcbc": UNCHECKED}
# winze's number, and the size of the key.
MAC_KEYS = {name: (number, size) for name, (number, _, size) in MACS.items()} | {"xcbc": (5, 16), "sha256-96": (8, 32)}


def gcm(bits, icv):
    """Fields for `ask`; tshark's encryption, its key, tshark's integrity, its key."""
    secret = key(bits // 8 + 4, 1)
    return {"encryption": 1, "ekey": secret.hex(), "icv": icv}, GCM[icv], secret, "NULL", b""


def cipher_and_mac(cipher, mac):
    (encryption, _, size), (integrity, mac_size) = CIPHERS[cipher], MAC_KEYS[mac]
    secret, auth = key(size, 1), key(mac_size, 99)
    return ({"encryption": encryption, "ekey": secret.hex(), "integrity": integrity, "ikey": auth.hex()},
            ENCRYPTION[cipher.split("-")[0]], secret, INTEGRITY[mac], auth)


SUITES = {f"gcm-{bits}-{icv}": gcm(bits, icv) for bits in (128, 192, 256) for icv in GCM}
SUITES |= {f"{cipher}-sha256": cipher_and_mac(cipher, "sha256") for cipher in CIPHERS}
SUITES |= {f"{cipher}-{mac}": cipher_and_mac(cipher, mac) for cipher in ("null", "cbc-128") for mac in INTEGRITY}
PACKETS = (IP(src=IN4, dst=OUT4, id=7) / UDP(sport=40007, dport=40009) / Raw(b"hello world"),
           IP(src=IN4, dst=OUT4, id=8) / ICMP(id=5, seq=6) / Raw(b"0123456789abcdef" * 64),
           IPv6(src=IN6, dst=OUT6) / UDP(sport=40007, dport=40009) / Raw(b"hello world"),
           IPv6(src=IN6, dst=OUT6) / ICMPv6EchoRequest(id=5, seq=6, data=b"0123456789abcdef" * 64))
MODES = ({"mode": "transport"}, {"mode": "tunnel", "local": NEAR4, "remote": FAR4},
         {"mode": "tunnel", "local": NEAR6, "remote": FAR6})
FIELDS = ("esp.spi", "esp.sequence", "esp.icv_good", "esp.icv_bad", "esp.contained_data", "udp.dstport", "data.data")


def capture_of(folder, packets):
    with RawPcapWriter(str(folder / "capture.pcap"), linktype=101) as writer:  # bare IP packets
        for packet in packets:
            writer.write(packet)
    return folder / "capture.pcap"


def dissect(folder, capture, associations):
    """One dict of FIELDS for each packet, each with all that stands there, outermost first."""
    require(shutil.which("tshark"), "tshark is not installed")
    options = ["esp.enable_encryption_decode:TRUE", "esp.enable_authentication_check:TRUE"]
    options += [f"uat:esp_sa:{row}" for row in associations]
    # Its preferences, wherever it looks for them, are not the user's.
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "WIRESHARK_CONFIG_DIR": str(folder)}
    command = ["tshark", "-r", capture, "-T", "fields", "-E", "separator=|"]
    command += [x for field in FIELDS for x in ("-e", field)] + [x for option in options for x in ("-o", option)]
    result = subprocess.run(command, env=os.environ | home, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [dict(zip(FIELDS, line.split("|"))) for line in result.stdout.splitlines()]


def association(version, spi, encryption, encryption_key, integrity, integrity_key):
    """A row of its table."""
    keys = ["0x" + secret.hex() if secret else "" for secret in (encryption_key, integrity_key)]
    return ",".join(f'"{x}"' for x in (f"IPv{version}", "*", "*", f"{spi:#x}", encryption, keys[0], integrity, keys[1]))


@pytest.mark.parametrize("suite", SUITES)
def test_decrypts(ask, tmp_path, suite):
    fields, *algorithms = SUITES[suite]
    sealed, associations, expected = [], [], []
    for how, packet, port in itertools.product(MODES, PACKETS, (0, 4500)):
        packet = packet.__class__(bytes(packet))  # with its checksums
        spi = 0x1000 + len(sealed)
        sealed.append(ask("seal", packet, proto="esp", spi=spi, udp=port, **how, **fields))
        associations.append(association(sealed[-1][0] >> 4, spi, *algorithms))
        ports = ["4500"] * (port != 0) + ["40009"] * (UDP in packet)
        data = packet[ICMPv6EchoRequest].data if ICMPv6EchoRequest in packet else bytes(packet[Raw])
        expected.append({"esp.spi": f"0x{spi:08x}", "esp.sequence": "1", "esp.icv_bad": "0",
                         "esp.icv_good": "0" if UNCHECKED in algorithms else "1",
                         "esp.contained_data": bytes(packet if how["mode"] == "tunnel" else packet.payload).hex(),
                         "udp.dstport": ",".join(ports), "data.data": data.hex()})
    assert dissect(tmp_path, capture_of(tmp_path, sealed), associations) == expected


def test_finds_a_damaged_icv(ask, tmp_path):
    """So that a good one means something."""
    fields, *algorithms = SUITES["gcm-128-16"]
    sealed = bytearray(ask("seal", PACKETS[0], proto="esp", spi=0x1000, **MODES[1], **fields))
    sealed[-1] ^= 1
    shown, = dissect(tmp_path, capture_of(tmp_path, [bytes(sealed)]), [association(4, 0x1000, *algorithms)])
    assert (shown["esp.icv_good"], shown["esp.icv_bad"]) == ("0", "1")


CAPTURE = """import sys
from scapy.all import sniff, wrpcap
# The pings; what else the system has to say is shorter.
wrpcap(sys.argv[1], sniff(iface="wire", count=6, timeout=20, lfilter=lambda packet: len(packet) > 700,
                          started_callback=lambda: print("ready", flush=True)))"""


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("suite", ["gcm-256", "cbc-256-sha256"])
def test_decrypts_a_running_tunnel(spaces, tmp_path, suite, outer):
    require(shutil.which("tshark"), "tshark is not installed")
    capture = tmp_path / "capture.pcap"
    near, far = two_spaces(spaces, outer == 6)
    local, peer = ("[2001:db8::1]:4500", "[2001:db8::2]:4500") if outer == 6 else ("192.0.2.1:4500", "192.0.2.2:4500")
    ends = [near.tunnel(tmp_path, "near.log", suite, False, "--local", local, "--peer", peer),
            far.tunnel(tmp_path, "far.log", suite, True, "--local", peer, "--peer", local)]
    near.ip("addr", "add", "10.10.0.1/24", "dev", "tun")
    far.ip("addr", "add", "10.10.0.2/24", "dev", "tun")
    with running(*ends):
        sniffer = subprocess.Popen([*far.inside, "/usr/bin/python3", "-c", CAPTURE, capture],
                                   stdout=subprocess.PIPE, text=True)
        assert sniffer.stdout.readline() == "ready\n"
        near.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "-s", "700", "-p", "a55a", "10.10.0.2")
        assert sniffer.wait(30) == 0
    encryption, integrity = {"gcm-256": (GCM[16], "NULL"), "cbc-256-sha256": (ENCRYPTION["cbc"], INTEGRITY["sha256"])}[suite]
    associations = []
    for spi, first in ((NEAR, 0x01), (FAR, 0x81)):
        encryption_key, integrity_key = map(bytes.fromhex, keys(first, suite))
        associations.append(association(outer, spi, encryption, encryption_key, integrity, integrity_key))
    shown = dissect(tmp_path, capture, associations)
    assert [s["esp.spi"] for s in shown] == ["0x00001001", "0x00001002"] * 3
    for packet in shown:
        assert (packet["esp.icv_good"], packet["udp.dstport"]) == ("1", "4500")
        assert packet["data.data"].endswith("a55a" * 300)
