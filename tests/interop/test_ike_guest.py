"""IKEv2 with strongSwan whose ESP a Linux kernel carries (kernel-netlink, in a guest), winze as the client and as the gateway."""
import os
import re
import shutil

import pytest

import nat
from harness import require
from ike_cases import Cases, bring_up
from ike_core import CORE
from ike_guest import GuestSites, GuestSwan, GuestWorld
from ike_sites import FAR, NEAR, far_connection, merge, near_connection

CASES = Cases(__file__)
# Kinds of certificates are no matter of the kernel.
CASES.update((name, run) for name, run in CORE.items() if not re.match("certificates_(rsa|ec384|ed25519)", name))


# What kernel-libipsec cannot do, or that the kernel has an implementation of its own for.
for esp, role in (("aes256gcm16-x25519-esn", "client"), ("aes128-sha256-x25519-esn", "gateway"), ("chacha20poly1305-x25519", "client"),
                  ("aes256-sha512", "gateway")):
    def proposal(sites, esp=esp, role=role):
        more = {"children": {"net": {"esp_proposals": esp}}}
        bring_up(sites, role, near_connection(**more), far_connection(**more))
        with sites.carrying():
            sites.swan.ctl("--rekey", "--child", "net")
            sites.wait_winze("rekeyed, SPI")
        assert ("/ESN" in sites.swan.sas()) == esp.endswith("-esn"), sites.swan.sas()
    CASES[f"proposal-{esp}-{role}"] = proposal


# --- where ESP goes in UDP, and where not ---


def used(sites, **ends):
    """Before, during and after new keys by either end."""
    sites.use(**ends)
    with sites.carrying(**ends):
        sites.rekey_near()
        sites.wait_winze(" rekeyed", 2)
        sites.swan.ctl("--rekey", "--child", "net")
        sites.wait_winze("rekeyed, SPI", 2)
    sites.use(**ends)


@CASES.both_roles
def encap_no(sites, role):
    """ESP as protocol 50."""
    bring_up(sites, role, near_connection(encap="no"), far_connection())
    assert not sites.in_udp()
    used(sites)


@CASES.both_roles
def encap_no_by_ipv6(sites, role):
    bring_up(sites, role, near_connection(6, encap="no"), far_connection(6))
    assert not sites.in_udp()
    used(sites)


@CASES.both_roles
def encap_yes(sites, role):
    """The peer is made to believe in a NAT."""
    bring_up(sites, role, near_connection(encap="yes"), far_connection())
    assert sites.in_udp()
    used(sites)


@CASES.both_roles
def encap_yes_of_the_peer(sites, role):
    bring_up(sites, role, near_connection(encap="no"), far_connection(encap="yes"))
    assert sites.in_udp()
    used(sites)


@CASES.both_roles
def encap_no_behind_a_nat(sites, role):
    with nat.behind_a_nat(sites):
        bring_up(sites, role, near_connection(local_addrs=None, encap="no"), far_connection())
        assert sites.in_udp()
        used(sites)


# --- transport mode: what the two hosts say to each other ---

HOSTS = {"children": {"net": {"mode": "transport", "local_ts": None, "remote_ts": None}}}


def transport(sites, role, encapsulated, source=NEAR[4], **near):
    bring_up(sites, role, near_connection(**(HOSTS | near)), far_connection(**HOSTS))
    assert sites.in_udp() == encapsulated
    assert "mode transport" in sites.guest.run("ip xfrm state") and "TRANSPORT" in sites.swan.sas()
    used(sites, source=source, to=FAR[4])


@CASES.both_roles
def transport_as_protocol_50(sites, role):
    transport(sites, role, False, encap="no")


@CASES.both_roles
def transport_in_udp(sites, role):
    transport(sites, role, True)


@CASES.both_roles
def transport_behind_a_nat(sites, role):
    with nat.behind_a_nat(sites):
        transport(sites, role, True, nat.INSIDE, local_addrs=None)


@CASES.case
def transport_moves(sites):
    """The child goes on for what the two hosts say to each other from the new address."""
    bring_up(sites, "client", near_connection(**(HOSTS | {"local_addrs": None})),
             far_connection(**(HOSTS | {"remote_addrs": None})))
    used(sites, source=NEAR[4], to=FAR[4])
    sites.near.ip("addr", "add", "192.0.2.7/24", "dev", "wire")
    sites.near.ip("addr", "del", NEAR[4] + "/24", "dev", "wire")
    sites.wait_winze("goes by 192.0.2.7", 1, 20)
    used(sites, source="192.0.2.7", to=FAR[4])
    assert "closed: " not in sites.winze.log, sites.winze.log


@CASES.both_roles
def transport_that_the_peer_does_not_want(sites, role):
    """It falls back to tunnel mode."""
    tunnel = {"children": {"net": {"local_ts": None, "remote_ts": None}}}
    bring_up(sites, role, near_connection(**HOSTS), far_connection(**tunnel))
    assert "TUNNEL" in sites.swan.sas()
    used(sites, source=NEAR[4], to=FAR[4])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    require(shutil.which("iperf3"), "iperf3 is not installed")
    with GuestWorld(tmp_path_factory.mktemp("guest"), GuestSwan) as world:
        yield world


@pytest.mark.parametrize("name", CASES)
def test_ike_guest(world, tmp_path, name):
    with GuestSites(tmp_path, world) as sites:
        CASES[name](sites)
