"""A second gateway for clients that the first sends elsewhere (RFC 5685)."""
from harness import BIN, wait_text
from ike_sites import INNER_NEAR, PSK, config, near_connection
from spaces import Space, sh


def second_gateway(sites):
    """winze in a namespace of its own, which strongSwan reaches at 203.0.113.1."""
    other = Space(sites.folder.name + "-s")
    sites.stack.callback(other.close)
    sh("ip", "link", "add", "second", "netns", other.name, "type", "veth", "peer", "name", "second", "netns", sites.far.name)
    other.batch(f"addr add 203.0.113.1/24 dev second\nlink set second up\naddr add {INNER_NEAR[4]}/24 dev lo")
    sites.far.batch("addr add 203.0.113.2/24 dev second\nlink set second up")
    home = sites.folder / "second"
    home.mkdir()
    (home / "swanctl.conf").write_text(config({"home": near_connection(local_addrs=None, remote_addrs=None)}, secrets=PSK))
    gateway = other.start(sites.folder / "second.log", BIN / "ipsec_gateway", "-c", home / "swanctl.conf", "--interface", "tun")
    sites.stack.callback(gateway.stop)
    wait_text(gateway, "listening at")
    return gateway
