"""What swanctl.conf says of a tunnel's begin, end and life, with strongSwan: start_action, close_action, dpd_action, unique,
reauth_time (AUTH_LIFETIME, RFC 4478), send_cert."""
import re

import pytest

from ike_cases import Cases, bring_up
from ike_sites import INNER_FAR, INNER_NEAR, PSK, config, far_connection, merge, near_connection
from harness import BIN
from strongswan import Pki

CASES = Cases(__file__)
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()

IMPATIENT = {"dpd_delay": "1s", "retransmit_timeout": "1s", "retransmit_base": "1.2", "retransmit_tries": "2"}


def start_waiting(sites, near):
    """winze's client, which does nothing yet."""
    home = sites.folder / "waiting"
    home.mkdir()
    (home / "swanctl.conf").write_text(config({"home": near}, secrets=PSK))
    sites.winze = sites.near.start(sites.folder / "client.log", BIN / "ipsec_client", "-c", home / "swanctl.conf", "--interface", "tun")
    sites.stack.callback(sites.winze.stop)
    sites.wait_winze("waits for traffic")


def knock(sites):
    """The first packet begins the tunnel, and is lost."""
    sites.near.run("ping", "-c", "1", "-W", "1", "-I", INNER_NEAR[4], INNER_FAR[4], check=False)


@case
def traffic_begins_a_tunnel(sites):
    swan = sites.start_swan(config({"home": far_connection()}, secrets=PSK))
    start_waiting(sites, near_connection(children={"net": {"start_action": "trap"}}))
    knock(sites)
    sites.wait_winze("child net up")
    sites.use()
    # And again, whatever the peer ends.
    swan.ctl("--terminate", "--child", "net")
    sites.wait_winze("down: ")
    knock(sites)
    sites.wait_winze("child net up", 2)
    sites.use()
    swan.ctl("--terminate", "--ike", "home")
    sites.wait_winze("closed: ")
    knock(sites)
    sites.wait_winze("child net up", 3)
    sites.use()


@case
def a_child_that_the_peer_ends_is_begun_anew(sites):
    bring_up(sites, "client", near_connection(children={"net": {"close_action": "start"}}), far_connection())
    sites.swan.ctl("--terminate", "--child", "net")
    sites.wait_winze("child net up", 2)
    sites.use()
    assert "closed: " not in sites.winze.log, sites.winze.log
    sites.swan.ctl("--terminate", "--ike", "home")
    sites.wait_winze("child net up", 3)
    sites.use()


@case
def a_peer_that_vanishes_leaves_a_trap(sites):
    bring_up(sites, "client", near_connection(**IMPATIENT, children={"net": {"dpd_action": "trap"}}), far_connection())
    text = (sites.swan.folder / "swanctl" / "swanctl.conf").read_text()
    sites.swan.kill()
    sites.wait_winze("does not answer", 1, 20)
    sites.far.run("ip", "link", "del", "ipsec0", check=False)
    sites.swan.folder.rename(sites.folder / "dead")
    sites.start_swan(text)
    sites.wait_winze("waits for traffic")
    assert sites.winze.log.count("up with") == 1, sites.winze.log
    knock(sites)
    sites.wait_winze("child net up", 2)
    sites.use()


@case
def a_tunnel_that_the_peer_ends_is_not_begun_anew(sites):
    bring_up(sites, "client", near_connection(children={"net": {"close_action": "none"}}), far_connection())
    sites.swan.ctl("--terminate", "--ike", "home")
    assert sites.winze.process.wait(10) == 1, sites.winze.log
    assert "closed by the peer" in sites.winze.log, sites.winze.log


# --- unique ---


def two_from_one_peer(sites, unique):
    """The same identity from two addresses of strongSwan's host."""
    sites.far.ip("addr", "add", "192.0.2.9/24", "dev", "wire")
    near = near_connection(unique=unique, remote_addrs=None)
    first = far_connection(unique="never")
    second = merge(first, {"local_addrs": "192.0.2.9", "children": {"net": None, "other": first["children"]["net"]}})
    sites.start_winze("gateway", config({"home": near}, secrets=PSK))
    swan = sites.start_swan(config({"home": first, "away": second}, secrets=PSK))
    swan.ctl("--initiate", "--child", "net")
    sites.wait_winze("child net up")
    return swan, swan.ctl("--initiate", "--child", "other", check=False).returncode == 0


@case
def the_newest_replaces(sites):
    swan, up = two_from_one_peer(sites, "replace")
    assert up
    sites.wait_winze("closed: established: replaced")
    swan.wait_log("received DELETE for IKE_SA home")
    sites.ping()


@case
def the_first_is_kept(sites):
    swan, up = two_from_one_peer(sites, "keep")
    assert not up and "has an IKE SA already" in sites.winze.log, sites.winze.log
    assert "AUTH_FAILED" in swan.log
    sites.ping()


# --- reauth_time ---


LIFETIME = {"reauth_time": "5s", "rand_time": "0s", "over_time": "4s"}


@case
def our_client_obeys_the_gateways_lifetime(sites):
    """strongSwan says it to clients with virtual addresses only; with others it begins anew itself."""
    near = near_connection(vips="0.0.0.0", children={"net": {"local_ts": None}})
    far = far_connection(**LIFETIME, pools="v4", remote_addrs=None, children={"net": {"remote_ts": None}})
    bring_up(sites, "client", near, far, far_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    sites.use(source=sites.address_given())
    sites.wait_winze("in place of", 1, 20)
    assert "N(AUTH_LFT)" in sites.swan.log, sites.swan.log[-3000:]
    sites.ping(source=re.findall(r", address ([0-9.]+)/32", sites.winze.log)[-1])


@case
def strongswans_client_obeys_our_lifetime(sites):
    bring_up(sites, "gateway", near_connection(**LIFETIME), far_connection(), extra="make_before_break = yes")
    with sites.carrying(lost=5):
        sites.wait_winze("up with", 2, 20)
    assert "received AUTH_LIFETIME of 5s" in sites.swan.log, sites.swan.log[-3000:]
    sites.use()


# --- send_cert, send_certreq ---


@both_roles
def certificates_are_shown_to_who_asks(sites, role):
    pki = Pki(sites.folder / "pki", "ec").issue("a").issue("b")
    cert = {"local": {"auth": "pubkey"}, "remote": {"auth": "pubkey"}}
    near, far = near_connection(**merge(cert, {"local": {"certs": "a.pem"}})), far_connection(**merge(cert, {"local": {"certs": "b.pem"}}))
    # Each has the other's, so that nobody needs to be shown any.
    a, b = pki.give(sites.folder / "a", "a"), pki.give(sites.folder / "b", "b")
    (b.folder / "x509" / "peer.pem").write_bytes((a.folder / "x509" / "a.pem").read_bytes())
    far["send_certreq"] = "no"
    far["remote"]["certs"] = "peer.pem"
    bring_up(sites, role, near, far, a, b)
    sites.use()
    assert "received end entity cert" not in sites.swan.log, sites.swan.log[-4000:]


@pytest.mark.parametrize("name", CASES)
def test_ike_conduct(outcomes, name):
    outcomes[name].result(300)
