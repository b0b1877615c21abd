"""MOBIKE (RFC 4555) with strongSwan beyond a new address: further addresses of a gateway, and the check of a new path."""
import re

import pytest

from ike_cases import Cases, bring_up
from ike_sites import FAR, NEAR, NETS, far_connection, near_connection

CASES = Cases(__file__)
case = CASES.case
outcomes = CASES.outcomes()

POOL = {"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}}
CLIENT = {"vips": "0.0.0.0", "local_addrs": None, "children": {"net": {"local_ts": None}}}
GATEWAY = {"pools": "v4", "remote_addrs": None, "local_addrs": "%any", "children": {"net": {"remote_ts": None}}}
IMPATIENT = {"dpd_delay": "1s", "retransmit_timeout": "1s", "retransmit_base": "1.2", "retransmit_tries": "4"}


@case
def a_gateways_other_address(sites):
    """The one that we talk to falls silent: packets for it go astray on the wire."""
    sites.far.ip("addr", "add", "192.0.2.9/24", "dev", "wire")
    bring_up(sites, "client", near_connection(**CLIENT, **IMPATIENT), far_connection(**GATEWAY), far_others=POOL)
    address = sites.address_given()
    sites.use(source=address)
    sites.near.ip("neigh", "replace", FAR[4], "lladdr", "02:00:00:00:00:99", "dev", "wire", "nud", "permanent")
    sites.wait_winze("the gateway is also at", 1, 30)
    sites.wait_winze("<-> 192.0.2.9:4500 now", 1, 30)
    sites.wait_winze("rekeyed, SPI", 1, 30)  # user-space ESP of strongSwan moves by a rekey
    sites.use(source=address)
    assert "closed: " not in sites.winze.log, sites.winze.log


@case
def a_gateways_other_address_when_the_route_is_gone(sites):
    """By IPv6, which the gateway has told, and the configuration has not."""
    bring_up(sites, "client", near_connection(**CLIENT), far_connection(**GATEWAY), far_others=POOL)
    address = sites.address_given()
    sites.near.ip("route", "add", "unreachable", FAR[4] + "/32")
    sites.wait_winze(f"goes by [{NEAR[6]}]", 1, 20)
    sites.wait_winze("rekeyed, SPI", 1, 30)
    sites.use(source=address)


@case
def our_addresses_are_told(sites):
    sites.near.ip("addr", "add", "192.0.2.8/24", "dev", "wire")
    serve = {"pools": "v4", "remote_addrs": None, "local_addrs": None, "children": {"net": {"local_ts": NETS[4][0], "remote_ts": None}}}
    ask = {"vips": "0.0.0.0", "remote_addrs": NEAR[4], "local_addrs": None, "children": {"net": {"local_ts": None, "remote_ts": NETS[4][0]}}}
    bring_up(sites, "gateway", near_connection(**serve), far_connection(**ask), near_others=POOL)
    assert "N(ADD_4_ADDR)" in sites.swan.log, sites.swan.log[-3000:]
    told = sites.swan.log.count("parsed INFORMATIONAL request")
    sites.near.ip("addr", "add", "192.0.2.6/24", "dev", "wire")
    sites.swan.wait_log("parsed INFORMATIONAL request", told + 1)
    sites.ping(to=re.search(r"10\.3\.0\.\d+", sites.swan.sas()).group(0))


@case
def a_new_address_of_the_peer_is_checked(sites):
    serve = {"pools": "v4", "remote_addrs": None, "children": {"net": {"local_ts": NETS[4][0], "remote_ts": None}}}
    ask = {"vips": "0.0.0.0", "remote_addrs": NEAR[4], "local_addrs": None, "children": {"net": {"local_ts": None, "remote_ts": NETS[4][0]}}}
    bring_up(sites, "gateway", near_connection(**serve), far_connection(**ask), near_others=POOL)
    sites.far.ip("addr", "add", "192.0.2.9/24", "dev", "wire")
    sites.far.ip("addr", "del", FAR[4] + "/24", "dev", "wire")
    sites.wait_winze("192.0.2.9:4500 now", 1, 20)
    lines = [line for line in sites.swan.log.splitlines() if "parsed INFORMATIONAL request" in line and "N(COOKIE2)" in line]
    assert lines, sites.swan.log[-4000:]


@pytest.mark.parametrize("name", CASES)
def test_ike_mobike(outcomes, name):
    outcomes[name].result(300)
