"""Bare public keys (RFC 7670) with strongSwan, winze as the client and as the gateway. strongSwan 5.9 knows its peer's key and
shows none; it passes over the one that it is shown."""
import hashlib
import subprocess

import pytest

from ike_cases import Cases, bring_up
from ike_sites import config, far_connection, merge, near_connection
from strongswan import Pki

CASES = Cases(__file__)
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()

NEAR = {"local": {"auth": "pubkey", "pubkeys": "a.pem"}, "remote": {"auth": "pubkey", "pubkeys": "b.pem"}}
FAR = {"local": {"auth": "pubkey", "pubkeys": "b.pem"}, "remote": {"auth": "pubkey", "pubkeys": "a.pem"}}


def given(sites, kind="ec"):
    pki = Pki(sites.folder / "pki", kind).issue("a").issue("b")
    return pki.give_key(sites.folder / "a", "a", "b"), pki.give_key(sites.folder / "b", "b", "a")


def up(sites, role, kind="ec", near=None, far=None, **others):
    near, far = near_connection(**merge(NEAR, near or {})), far_connection(**merge(FAR, far or {}))
    bring_up(sites, role, near, far, *given(sites, kind), **others)
    sites.use()


for kind in ("ec", "ec384", "rsa", "ed25519"):
    def keys_of(sites, role, kind=kind):
        up(sites, role, kind)
        assert "authentication of 'a.test'" in sites.swan.log and "successful" in sites.swan.log, sites.swan.log[-3000:]
    keys_of.__name__ = f"keys_of_{kind}"
    both_roles(keys_of)


@both_roles
def a_key_that_is_always_shown(sites, role):
    up(sites, role, near={"send_cert": "always"})
    assert "CERT" in sites.swan.log and "received end entity cert" not in sites.swan.log, sites.swan.log[-3000:]


@both_roles
def ends_that_go_by_the_hash_of_their_keys(sites, role):
    """What an end is called that has no other name."""
    near_pki, far_pki = given(sites)

    def key_id(name):
        pem = near_pki.folder / "pubkey" / f"{name}.pem"
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", pem, "-outform", "DER"], capture_output=True, check=True).stdout
        return "@#" + hashlib.sha1(der).hexdigest()

    near = merge(near_connection(**NEAR), {"local": {"id": None}, "remote": {"id": f'"{key_id("b")}"'}})
    far = merge(far_connection(**FAR), {"local": {"id": None}, "remote": {"id": f'"{key_id("a")}"'}})
    bring_up(sites, role, near, far, near_pki, far_pki)
    assert f"up with {key_id('b')}" in sites.winze.log, sites.winze.log
    sites.use()


@both_roles
def a_key_for_the_client_and_a_secret_for_the_gateway(sites, role):
    secret = {"auth": "psk", "pubkeys": None}
    near, far = ({"remote": secret}, {"local": secret}) if role == "client" else ({"local": secret}, {"remote": secret})
    up(sites, role, near=near, far=far)


@both_roles
def a_key_of_somebody_else(sites, role):
    """Each believes another b than there is."""
    near_pki, _ = given(sites)
    other = Pki(sites.folder / "other").issue("b")
    other._openssl("pkey", "-in", str(near_pki.folder / "private" / "a.pem"), "-pubout", "-out", str(sites.folder / "a.pub"))
    stranger = other.give_key(sites.folder / "stranger", "b", "b")
    (stranger.folder / "pubkey" / "a.pem").write_bytes((sites.folder / "a.pub").read_bytes())
    near, far = config({"home": near_connection(**NEAR)}), config({"home": far_connection(**FAR)})
    if role == "gateway":
        sites.start_winze("gateway", near, near_pki)
        assert sites.start_swan(far, stranger).ctl("--initiate", "--child", "net", check=False).returncode != 0
        sites.wait_winze("closed: ")
    else:
        sites.start_swan(far, stranger)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near, near_pki)
    assert "b.test: its signature is not right" in sites.winze.log and "up with" not in sites.winze.log, sites.winze.log


@case
def a_password_behind_the_key_of_the_gateway(sites):
    """EAP begins once the gateway is believed, by its key too."""
    secrets = {"secrets": {"eap-1": {"id": "carol", "secret": '"tumble weed"'}}}
    eap = {"auth": "eap-mschapv2", "id": "a.test", "eap_id": "carol", "pubkeys": None}
    up(sites, "client", near={"local": eap}, far={"remote": eap}, near_others=secrets, far_others=secrets)


@pytest.mark.parametrize("name", CASES)
def test_ike_keys(outcomes, name):
    outcomes[name].result(300)
