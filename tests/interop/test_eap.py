"""EAP-TLS led by winze, with wpa_supplicant as the peer: its eapol_test speaks RADIUS, which is translated here."""
import contextlib
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import threading

import pytest

from harness import BIN, HOST, require_program
from strongswan import Pki

SECRET = b"testing123"
ACCEPT, REJECT, CHALLENGE = 2, 3, 11
EAP_MESSAGE, MESSAGE_AUTHENTICATOR, VENDOR = 79, 80, 26
MICROSOFT, SEND_KEY, RECV_KEY = 311, 16, 17


def attribute(kind, value):
    return bytes([kind, len(value) + 2]) + value


def mppe_key(kind, key, authenticator):
    """RFC 2548 section 2.4.2."""
    salt = bytes([0x80 | os.urandom(1)[0], os.urandom(1)[0]])
    plain = bytes([len(key)]) + key
    plain += bytes(-len(plain) % 16)
    sealed, before = b"", authenticator + salt
    for i in range(0, len(plain), 16):
        before = bytes(a ^ b for a, b in zip(plain[i:i + 16], hashlib.md5(SECRET + before).digest()))
        sealed += before
    body = salt + sealed
    return attribute(VENDOR, struct.pack("!IBB", MICROSOFT, kind, len(body) + 2) + body)


class RadiusFront:
    """A RADIUS server for one client, whose EAP eap_server leads."""

    def __init__(self, folder, name):
        self.server = subprocess.Popen([str(BIN / "eap_server"), str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.outcome = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _ask(self, line):
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline().split()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                request, client = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(request), client)

    def _answer(self, request):
        identifier, authenticator, eap, at = request[1], request[4:20], b"", 20
        while at < len(request):
            kind, size = request[at:at + 2]
            if kind == EAP_MESSAGE:
                eap += request[at + 2:at + size]
            at += size
        if eap[4] == 1:  # it tells its identity unasked
            asked = bytes.fromhex(self._ask("begin")[1])
            eap = eap[:1] + asked[1:2] + eap[2:]
        verb, *rest = self._ask(eap.hex())
        code = {"send": CHALLENGE, "success": ACCEPT}.get(verb, REJECT)
        packet = bytes.fromhex(rest[0])
        attributes = b"".join(attribute(EAP_MESSAGE, packet[i:i + 253]) for i in range(0, len(packet), 253)) + attribute(24, b"one")
        if verb != "send":
            self.outcome = verb, *rest[1:]
        if code == ACCEPT:
            msk = bytes.fromhex(rest[2])
            attributes += mppe_key(RECV_KEY, msk[:32], authenticator) + mppe_key(SEND_KEY, msk[32:], authenticator)
        head = struct.pack("!BBH", code, identifier, 20 + len(attributes) + 18)
        empty = attribute(MESSAGE_AUTHENTICATOR, bytes(16))
        proof = hmac.digest(SECRET, head + authenticator + attributes + empty, "md5")
        attributes += attribute(MESSAGE_AUTHENTICATOR, proof)
        return head + hashlib.md5(head + authenticator + attributes + SECRET).digest() + attributes

    def stop(self):
        self.socket.close()
        self.server.stdin.close()
        assert self.server.wait(10) == 0


def authenticate(tmp_path, version, kind, stranger=False):
    require_program("eapol_test")
    pki = Pki(tmp_path / "pki", kind).issue("gw").issue("carol", "email:carol@client.test")
    of_client = pki
    if stranger:
        of_client = Pki(tmp_path / "other", kind).issue("carol", "email:carol@client.test")
    server = pki.give(tmp_path / "server", "gw").folder
    client = of_client.give(tmp_path / "client", "carol").folder
    settings = tmp_path / "eapol.conf"
    settings.write_text(f"""network={{
    key_mgmt=WPA-EAP
    eap=TLS
    identity="carol@client.test"
    ca_cert="{server}/x509ca/ca.pem"
    client_cert="{client}/x509/carol.pem"
    private_key="{client}/private/carol.pem"
    altsubject_match="DNS:gw.test"
    phase1="tls_disable_tlsv1_3={int(version == '1.2')}"
}}
""")
    front = RadiusFront(server, "gw")
    try:
        command = ["eapol_test", "-c", str(settings), "-a", HOST, "-p", str(front.port), "-s", SECRET.decode(), "-t", "20"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60), front.outcome
    finally:
        front.stop()


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_eap_tls_with_wpa_supplicant(tmp_path, version, kind):
    """Both ends have the same MSK: eapol_test compares its own with what the RADIUS server says."""
    result, outcome = authenticate(tmp_path, version, kind)
    assert result.returncode == 0 and "MPPE keys OK: 1  mismatch: 0" in result.stdout, result.stdout[-3000:]
    assert outcome[0] == "success" and outcome[-1] == "carol@client.test", outcome
    assert f"Using TLS version TLSv{version}" in result.stdout
    assert ("ACKing Commitment Message" in result.stdout) == (version == "1.3"), result.stdout[-3000:]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_eap_tls_with_a_stranger(tmp_path, version):
    result, outcome = authenticate(tmp_path, version, "ec", stranger=True)
    assert result.returncode != 0 and outcome[0] == "failure", outcome
