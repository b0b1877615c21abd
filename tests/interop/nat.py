"""A NAT before winze's end of ike_sites.py."""
import contextlib
import shutil

from harness import require
from ike_sites import INNER_NEAR
from spaces import Space, sh

# From behind it connections get other ports; and what comes for IKE's ports is brought on, as a gateway there needs it.
RULES = """table ip nat {{
    chain out {{
        type nat hook postrouting priority srcnat
        oifname "wire" masquerade random
    }}
    chain in {{
        type nat hook prerouting priority dstnat
        iifname "wire" udp dport {{ 500, 4500 }} dnat to {inside}
    }}
}}
"""
INSIDE = "198.18.0.2"


@contextlib.contextmanager
def behind_a_nat(sites):
    """winze runs at INSIDE, in a namespace of its own; the peer knows it as NEAR."""
    require(shutil.which("nft"), "nftables is not installed")
    router, home = sites.near, Space(sites.near.name.rsplit("-", 1)[0] + "-h")
    rules = sites.folder / "nat"
    rules.write_text(RULES.format(inside=INSIDE))
    try:
        sh("ip", "link", "add", "home", "netns", router.name, "type", "veth", "peer", "name", "wire", "netns", home.name)
        router.batch("addr add 198.18.0.1/24 dev home\nlink set home up")
        home.batch(f"addr add {INSIDE}/24 dev wire\nlink set wire up\nroute add default via 198.18.0.1\n"
                   f"addr add {INNER_NEAR[4]}/24 dev lo")
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        router.run("nft", "-f", rules)
        sites.near = home
        yield
        # What goes on in the namespace ends before it does.
        if sites.winze:
            sites.winze.stop()
    finally:
        sites.near = router
        router.run("nft", "delete", "table", "ip", "nat", check=False)
        router.run("ip", "link", "del", "home", check=False)
        home.close()
