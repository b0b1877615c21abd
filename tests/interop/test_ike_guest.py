"""IKEv2 with strongSwan whose ESP a Linux kernel carries (kernel-netlink, in a guest), winze as the client and as the gateway."""
import os
import re
import shutil

import pytest

from harness import require
from ike_cases import Cases, bring_up
from ike_core import CORE
from ike_guest import GuestSites, GuestWorld
from ike_sites import far_connection, near_connection

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


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    require(shutil.which("iperf3"), "iperf3 is not installed")
    with GuestWorld(tmp_path_factory.mktemp("guest")) as world:
        yield world


@pytest.mark.parametrize("name", CASES)
def test_ike_guest(world, tmp_path, name):
    with GuestSites(tmp_path, world) as sites:
        CASES[name](sites)
