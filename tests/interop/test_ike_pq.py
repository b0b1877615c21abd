"""Preshared keys against those who record (RFC 8784) with strongSwan's charon, winze as the client and as the gateway; and
gateways that send their clients elsewhere (RFC 5685), strongSwan's and ours.

strongSwan has no tickets (RFC 5723): those are tested between two engines. Further key exchanges (RFC 9370), and a redirect in
IKE_AUTH that is followed: test_ike_strongswan6.py.
"""
import pytest

from harness import wait_text
from ike_cases import Cases
from ike_redirect import second_gateway
from ike_sites import INNER_FAR, INNER_NEAR, PSK, config, far_connection, merge, near_connection
from strongswan import Pki

CASES = Cases(__file__)
outcomes = CASES.outcomes()

KEY = "0x" + "5a" * 32
OTHER = "0x" + "a5" * 32


def secrets(ppk_id=None, key=KEY):
    return merge({"secrets": PSK}, {"secrets": {"ppk-1": {"id": ppk_id, "secret": key}}} if ppk_id else {})


def comes_up(sites, role, near, far, near_secrets, far_secrets, pkis=(None, None)):
    near_text, far_text = config({"home": near}, **near_secrets), config({"home": far}, **far_secrets)
    if role == "gateway":
        sites.start_winze("gateway", near_text, pkis[0])
        return sites.start_swan(far_text, pkis[1]).ctl("--initiate", "--child", "net", check=False).returncode == 0
    sites.start_swan(far_text, pkis[1])
    try:
        sites.start_winze("client", near_text, pkis[0])
        sites.wait_winze("child net up")
        return True
    except AssertionError:
        return False


def used(sites, ppk_id):
    return f"using PPK for PPK_ID '{ppk_id}'" in sites.swan.log


@CASES.both_roles
def ppk_of_both(sites, role):
    one = {"ppk_id": "one", "ppk_required": "yes"}
    assert comes_up(sites, role, near_connection(**one), far_connection(**one), secrets("one"), secrets("one"))
    assert used(sites, "one"), sites.swan.log
    sites.ping()
    # What comes after has it in its keys too.
    sites.swan.ctl("--rekey", "--ike", "home")
    sites.wait_winze(" rekeyed")
    sites.rekey_near()
    sites.wait_winze("rekeyed, SPI")
    sites.ping()


@CASES.both_roles
def ppk_that_only_the_initiator_names(sites, role):
    one = {"ppk_id": "one"}
    near, far = (one, {}) if role == "client" else ({}, one)
    assert comes_up(sites, role, near_connection(**near), far_connection(**far), secrets("one"), secrets("one"))
    assert used(sites, "one"), sites.swan.log
    sites.ping()


@CASES.both_roles
def ppk_of_another_name_without_need(sites, role):
    # As responder strongSwan holds out for a name that its connection has.
    far = far_connection(ppk_id="two") if role == "gateway" else far_connection()
    assert comes_up(sites, role, near_connection(ppk_id="one"), far, secrets("one"), secrets("two"))
    assert not used(sites, "one") and not used(sites, "two"), sites.swan.log
    sites.ping()


@CASES.both_roles
def ppk_of_winze_alone(sites, role):
    assert comes_up(sites, role, near_connection(ppk_id="one"), far_connection(), secrets("one"), secrets())
    sites.ping()


@CASES.both_roles
def ppk_of_winze_alone_who_needs_it(sites, role):
    one = {"ppk_id": "one", "ppk_required": "yes"}
    assert not comes_up(sites, role, near_connection(**one), far_connection(), secrets("one"), secrets())


@CASES.both_roles
def ppk_that_differs_under_one_name(sites, role):
    one = {"ppk_id": "one", "ppk_required": "yes"}
    assert not comes_up(sites, role, near_connection(**one), far_connection(**one), secrets("one"), secrets("one", OTHER))


def by_certificates(sites, role, near_id, far_id):
    pki = Pki(sites.folder / "pki", "ec").issue("a").issue("b")
    near = {"ppk_id": near_id, "local": {"auth": "pubkey", "certs": "a.pem"}, "remote": {"auth": "pubkey"}}
    far = {"ppk_id": far_id if role == "gateway" else None, "local": {"auth": "pubkey", "certs": "b.pem"}, "remote": {"auth": "pubkey"}}
    pkis = pki.give(sites.folder / "a", "a"), pki.give(sites.folder / "b", "b")
    assert comes_up(sites, role, near_connection(**near), far_connection(**far), secrets(near_id), secrets(far_id), pkis)
    assert used(sites, "one") == (near_id == far_id), sites.swan.log
    sites.ping()


@CASES.both_roles
def ppk_beside_certificates(sites, role):
    by_certificates(sites, role, "one", "one")


@CASES.both_roles
def ppk_of_another_name_beside_certificates(sites, role):
    """The initiator signs twice."""
    by_certificates(sites, role, "one", "two")


@CASES.case
def redirect_by_strongswan(sites):
    """To another address of the same host: a new IKE SA there, then the old one ends."""
    sites.far.ip("addr", "add", "192.0.2.3/24", "dev", "wire")
    far = far_connection(local_addrs="192.0.2.2, 192.0.2.3")
    assert comes_up(sites, "client", near_connection(follow_redirects="yes"), far, secrets(), secrets())
    sites.ping()
    sites.swan.ctl("--redirect", "--ike", "home", "--gateway", "192.0.2.3")
    sites.wait_winze("up with", 2)
    assert "at 192.0.2.3" in sites.winze.log, sites.winze.log
    sites.ping()


@CASES.case
def redirect_of_strongswan_at_once(sites):
    """In IKE_SA_INIT: its client begins with winze, and has its tunnel with the other one."""
    second = second_gateway(sites)
    sites.start_winze("gateway", config({"home": near_connection()}, **secrets()), None, "--redirect-to", "203.0.113.1")
    swan = sites.start_swan(config({"home": far_connection(local_addrs=None)}, **secrets()))
    swan.ctl("--initiate", "--child", "net")
    wait_text(second, "child net up")
    assert "203.0.113.1" in swan.sas() and "up with" not in sites.winze.log, swan.sas() + sites.winze.log
    sites.ping(source=INNER_FAR[4], to=INNER_NEAR[4], space=sites.far)


@CASES.case
def redirect_of_strongswan_that_has_proved_itself(sites):
    """In IKE_AUTH. strongSwan 5.9.8 believes it, and begins anew, but frees something twice before its first message is out."""
    sites.start_winze("gateway", config({"home": near_connection(redirect_to="203.0.113.1")}, **secrets()))
    swan = sites.start_swan(config({"home": far_connection()}, **secrets()))
    swan.ctl("--initiate", "--child", "net", check=False)
    sites.wait_winze("closed: IKE_AUTH: redirected")
    told = swan.log[swan.log.index("authentication of 'a.test' with pre-shared key successful"):]
    assert "redirected to 203.0.113.1" in told and "initiating IKE_SA home[1] to 203.0.113.1" in told, told


@CASES.case
def redirect_of_one_who_does_not_follow(sites):
    """IKE_SA_INIT lets it in, and IKE_AUTH does not."""
    follows_not = {"extra": "follow_redirects = no"}
    sites.start_winze("gateway", config({"home": near_connection()}, **secrets()), None, "--redirect-to", "203.0.113.1")
    sites.start_swan(config({"home": far_connection()}, **secrets()), **follows_not).ctl("--initiate", "--child", "net")
    sites.ping()
    sites.winze.stop()
    sites.swan.ctl("--terminate", "--ike", "home", "--force", check=False)
    sites.start_winze("gateway", config({"home": near_connection(redirect_to="203.0.113.1")}, **secrets()))
    assert sites.swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
    sites.wait_winze("closed: ")
    assert "child net up" not in sites.winze.log, sites.winze.log


@pytest.mark.parametrize("name", CASES)
def test_ike_pq(outcomes, name):
    outcomes[name].result(120)
