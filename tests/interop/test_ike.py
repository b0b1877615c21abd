"""IKEv2 with strongSwan's charon (user-space ESP), winze as the client and as the gateway."""
import shutil
import time

import pytest

import nat
from harness import require
from ike_cases import Cases, bring_up
from ike_core import CORE, FAR_CERT, IMPATIENT, NEAR_CERT
from ike_sites import FAR, NEAR, PSK, config, far_connection, merge, near_connection
from strongswan import Pki

CASES = Cases(__file__)
CASES.update(CORE)
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()


PROPOSALS = {
    "gcm-128-ecp256": ("aes128gcm16-prfsha256-ecp256", "aes128gcm16-ecp256"),
    "gcm-256-ecp384": ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"),
    "gcm-192-ecp521": ("aes192gcm16-prfsha512-ecp521", "aes192gcm16-ecp521"),
    "gcm8-modp2048": ("aes128gcm8-prfsha256-modp2048", "aes128gcm8-modp2048"),
    "gcm12-modp3072": ("aes256gcm12-prfsha256-modp3072", "aes256gcm12-modp3072"),
    "chacha20-x25519": ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305-x25519"),
    "cbc-256-sha256-modp4096": ("aes256-sha256-modp4096", "aes256-sha256-modp4096"),
    "cbc-128-sha1-modp2048": ("aes128-sha1-modp2048", "aes128-sha1"),
    "cbc-192-sha384-ecp384": ("aes192-sha384-ecp384", "aes192-sha384"),
    "cbc-256-sha512-x25519": ("aes256-sha512-x25519", "aes256-sha512-x25519"),
    "cbc-128-xcbc": ("aes128-aesxcbc-modp2048", "aes128-aesxcbc"),
    "cbc-128-cmac-modp6144": ("aes128-aescmac-modp6144", "aes128-aescmac"),
    "ctr-256-sha256": ("aes256ctr-sha256-x25519", "aes256ctr-sha256"),
    "ctr-192-sha512-modp8192": ("aes192ctr-sha512-modp8192", "aes192ctr-sha512"),
    "ccm-128": ("aes256-sha256-x25519", "aes128ccm16"),
    "ccm8-256": ("aes256ccm16-prfsha384-ecp384", "aes256ccm8"),
    "ccm12-128": ("aes128ccm12-prfsha256-ecp256", "aes128ccm12"),
    "null-sha256": ("aes256-sha256-x25519", "null-sha256"),
    "legacy-3des-modp1024": ("3des-sha1-modp1024", "3des-sha1"),
    "legacy-modp1536": ("aes256-sha256-modp1536", "aes256-sha256-modp1536"),
}
for suite, (ike, esp) in PROPOSALS.items():
    for role in ("client", "gateway"):
        def proposal(sites, role=role, ike=ike, esp=esp, suite=suite):
            more = {"proposals": ike, "children": {"net": {"esp_proposals": esp}}}
            legacy = {"legacy": "yes"} if suite.startswith("legacy") else {}
            bring_up(sites, role, near_connection(**merge(more, legacy)), far_connection(**more))
            sites.ping()
            # The groups for child SAs are used in a rekey.
            with sites.carrying():
                sites.swan.ctl("--rekey", "--child", "net")
                sites.wait_winze("rekeyed, SPI")
            sites.ping()
        CASES[f"proposal-{suite}-{role}"] = proposal


@case
def checks_that_fail(sites):
    """The pings and the stream that other cases carry find a tunnel that ends under them."""
    bring_up(sites, "client", near_connection(), far_connection())
    with pytest.raises(AssertionError, match="timed out"), sites.streaming():
        with pytest.raises(AssertionError, match="no answers any more"), sites.pinging():
            time.sleep(0.3)
            sites.swan.kill()
            sites.far.run("ip", "link", "del", "ipsec0", check=False)


@case
def peer_comes_back(sites):
    """After a crash of the peer the client begins anew by itself."""
    bring_up(sites, "client", near_connection(dpd_delay="1s", keyingtries="0", **IMPATIENT), far_connection())
    sites.use()
    sites.swan.kill()
    text = (sites.swan.folder / "swanctl" / "swanctl.conf").read_text()
    shutil.rmtree(sites.swan.folder)
    sites.near.run("true")
    sites.far.run("ip", "link", "del", "ipsec0", check=False)
    sites.start_swan(text)
    sites.wait_winze("up with", 2, 90)
    sites.wait_winze("child net up", 2)
    sites.use()


# --- NAT ---


@both_roles
def behind_a_nat(sites, role):
    """winze has a private address, as the client and as a gateway whose ports are brought on."""
    with nat.behind_a_nat(sites):
        bring_up(sites, role, near_connection(local_addrs=None), far_connection())
        assert f"@ {NEAR[4]}[" in sites.swan.sas(), sites.swan.sas()
        sites.use()
        with sites.carrying():
            sites.rekey_near()
            sites.wait_winze(" rekeyed", 2)
            sites.swan.ctl("--rekey", "--child", "net")
            sites.wait_winze("rekeyed, SPI", 2)
        sites.use()


# --- the first exchange ---


@case
def cookie_of_the_peer(sites):
    """ike-scan leaves SAs half open, so that strongSwan asks for cookies."""
    require(shutil.which("ike-scan"), "ike-scan is not installed")
    sites.start_swan(config({"home": far_connection(proposals="aes256gcm16-prfsha256-x25519, aes256-sha1-modp2048")}, secrets=PSK),
                     extra="cookie_threshold = 1\ncookie_threshold_ip = 1")
    sites.near.run("ike-scan", "--ikev2", "--dhgroup=14", "--sport=0", "--retry=1", FAR[4])
    sites.start_winze("client", config({"home": near_connection()}, secrets=PSK))
    assert "N(COOKIE)" in sites.swan.log, sites.swan.log
    sites.use()


@case
def cookie_of_ours(sites):
    """The same the other way round."""
    require(shutil.which("ike-scan"), "ike-scan is not installed")
    near = near_connection(proposals="aes256gcm16-prfsha256-x25519, aes256-sha1-modp2048")
    sites.start_winze("gateway", config({"home": near}, secrets=PSK, charon={"cookie_threshold": "1"}))
    sites.far.run("ike-scan", "--ikev2", "--dhgroup=14", "--sport=0", "--retry=1", NEAR[4])
    sites.start_swan(config({"home": far_connection()}, secrets=PSK)).ctl("--initiate", "--child", "net")
    assert "N(COOKIE)" in sites.swan.log, sites.swan.log
    sites.use()


@case
def no_proposal_in_common(sites):
    """Both lists are in what the gateway says, and the peer is told."""
    sites.start_winze("gateway", config({"home": near_connection()}, secrets=PSK))
    swan = sites.start_swan(config({"home": far_connection(proposals="aes128-sha256-modp2048")}, secrets=PSK))
    assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
    sites.wait_winze("closed: ")
    assert "aes128-sha256" in sites.winze.log and "aes256gcm16-prfsha256-x25519" in sites.winze.log, sites.winze.log
    assert "NO_PROPOSAL_CHOSEN" in swan.log or "NO_PROP" in swan.log


@both_roles
def wrong_secret(sites, role):
    wrong = {"ike-1": {"secret": '"wrong"'}}
    near, far = config({"home": near_connection()}, secrets=wrong), config({"home": far_connection()}, secrets=PSK)
    if role == "gateway":
        sites.start_winze("gateway", near)
        swan = sites.start_swan(far)
        assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
        sites.wait_winze("closed: ")
    else:
        swan = sites.start_swan(far)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near)
    assert "AUTH_FAILED" in swan.log
    assert "AUTHENTICATION_FAILED" in sites.winze.log and "up with" not in sites.winze.log, sites.winze.log


# --- certificates ---


@both_roles
def certificate_of_a_stranger(sites, role):
    """From another root of the same name: neither end takes it."""
    ours, theirs = (Pki(sites.folder / name, "ec").issue("a").issue("b") for name in ("pki", "other"))
    near, far = (config({"home": c}) for c in (near_connection(**NEAR_CERT), far_connection(**FAR_CERT)))
    a, b = ours.give(sites.folder / "a", "a"), theirs.give(sites.folder / "b", "b")
    if role == "gateway":
        sites.start_winze("gateway", near, a)
        swan = sites.start_swan(far, b)
        assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
    else:
        sites.start_swan(far, b)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near, a)
    assert "up with" not in sites.winze.log, sites.winze.log


@pytest.mark.parametrize("name", CASES)
def test_ike(outcomes, name):
    outcomes[name].result(300)
