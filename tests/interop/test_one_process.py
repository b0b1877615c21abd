"""The proxy half and the IPsec half of winze in one process: connections of a proxy's users that go on through a tunnel,
and a tunnel that goes through a proxy chain."""
import json
import os
import subprocess
import sys

import pytest

from harness import BIN, TLS, UUID, require, require_program, sha256_of, stream, wait_text
from ike_sites import FAR, INNER_FAR, NEAR, NETS, PSK, Sites, config, far_connection

SECRETS = {"ike": {"secret": "test-psk-ikev2"}}
AUTH = {"local": {"auth": "psk", "id": "a.test"}, "remote": {"auth": "psk", "id": "b.test"}}
SOCKS = {"tag": "users", "listen": "127.0.0.1", "port": 1080, "protocol": "socks", "settings": {"auth": "noauth", "udp": True}}
CHAIN_PORT = 8443
NET = {"local_ts": NETS[4][0], "remote_ts": NETS[4][1], "start_action": "start"}
ORIGIN = """import pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from harness import Origin
print("port", Origin(pathlib.Path(sys.argv[2]), sys.argv[3]).port, "is open", flush=True)
signal.pause()"""


@pytest.fixture
def sites(tmp_path):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    with Sites("one", tmp_path) as sites:
        yield sites


def run(sites, space, name, settings, ready):
    """winze run in a namespace, until its log has what `ready` says."""
    file = sites.folder / f"{name}.json"
    file.write_text(json.dumps(settings))
    process = space.start(sites.folder / f"{name}.log", BIN / "winze", "run", "-c", file, "--log-level", "info", "--threads", "1")
    sites.stack.callback(end, process)
    sites.winze = process
    sites.wait_winze(ready)


def end(process):
    assert process.stop() == 0, process.log


def client(*outbounds, **connection):
    """Users come by SOCKS5, and the first outbound takes them on; the tunnel begins by itself."""
    return {"inbounds": [SOCKS], "outbounds": list(outbounds),
            "ipsec": {"interface": "tun", "secrets": SECRETS, "connections": {"home": AUTH | {"children": {"net": NET}} | connection}}}


def gateway(**ipsec):
    other = {"local": AUTH["remote"], "remote": AUTH["local"]}
    children = {"net": {"local_ts": NETS[4][1], "remote_ts": NETS[4][0]}}
    return {"interface": "tun", "secrets": SECRETS, "connections": {"road": other | {"children": children}}} | ipsec


def through_the_proxy(sites):
    """A file down and up between a user of the SOCKS inbound, near, and a server in the network behind the gateway."""
    require_program("curl")
    files = sites.folder / "files"
    files.mkdir()
    file = files / "some"
    file.write_bytes(os.urandom(3 << 20))
    server = sites.far.start(sites.folder / "origin.log", sys.executable, "-c", ORIGIN, TLS.parents[1] / "interop", files, INNER_FAR[4])
    sites.stack.callback(server.stop)
    wait_text(server, "is open")
    url = f"http://{INNER_FAR[4]}:{server.log.split()[1]}"

    def curl(*arguments):
        command = ["curl", "-sS", "--max-time", "60", "--socks5-hostname", f"{SOCKS['listen']}:{SOCKS['port']}", *map(str, arguments)]
        return subprocess.run([*sites.near.inside, *command], capture_output=True, text=True)

    got = sites.folder / "got"
    down = curl("-o", got, f"{url}/some")
    assert down.returncode == 0 and sha256_of(got) == sha256_of(file), down.stderr + sites.winze.log
    up = curl("-T", file, f"{url}/up", "-H", "Expect:")
    assert up.stdout == sha256_of(file), up.stderr + sites.winze.log


@pytest.mark.parametrize("peer", ["strongswan", "winze"])
def test_users_of_a_proxy_reach_what_is_behind_a_gateway(sites, peer):
    """SOCKS5 in, `freedom` out, and from there through the tunnel of the same process."""
    if peer == "strongswan":
        sites.start_swan(config({"home": far_connection()}, secrets=PSK))
    else:
        run(sites, sites.far, "gateway", {"ipsec": gateway()}, "running")
    run(sites, sites.near, "client", client({"protocol": "freedom"}, local_addrs=NEAR[4], remote_addrs=FAR[4]), "child net up")
    through_the_proxy(sites)
    sites.use()


def chain_server(**more):
    return {"inbounds": [{"listen": FAR[4], "port": CHAIN_PORT, "protocol": "vless",
                          "settings": {"clients": [{"id": UUID}], "decryption": "none"}, "streamSettings": stream("ws-tls", "server")}],
            "outbounds": [{"protocol": "freedom"}]} | more


CHAIN = {"tag": "proxy", "protocol": "vless",
         "settings": {"vnext": [{"address": FAR[4], "port": CHAIN_PORT, "users": [{"id": UUID, "encryption": "none"}]}]},
         "streamSettings": stream("ws-tls", "client")}


def test_ike_and_esp_in_a_proxy_chain(sites):
    """RFC 9329 in VLESS in WebSocket in TLS, each end of it one process; and in the tunnel users of a SOCKS5 inbound."""
    run(sites, sites.far, "server", chain_server(ipsec=gateway(tcp_port=4500)), "running")
    settings = client({"protocol": "freedom"}, CHAIN, remote_addrs="127.0.0.1", outbound="proxy", remote_port=4500)
    run(sites, sites.near, "client", settings, "child net up")
    sites.use()
    through_the_proxy(sites)
    assert sites.near.run("ss", "-Huln", "sport = :500") != ""
    assert sites.far.run("ss", "-Htn", "state", "established", f"sport = :{CHAIN_PORT}") != ""


def test_a_proxy_chain_through_a_tunnel(sites):
    """The other way about: the chain's server is behind the gateway, and is reached by the tunnel alone."""
    sites.start_swan(config({"home": far_connection()}, secrets=PSK))
    server = chain_server()
    server["inbounds"][0]["listen"] = INNER_FAR[4]
    run(sites, sites.far, "server", server, "running")
    chain = json.loads(json.dumps(CHAIN))
    chain["settings"]["vnext"][0]["address"] = INNER_FAR[4]
    run(sites, sites.near, "client", client(chain, local_addrs=NEAR[4], remote_addrs=FAR[4]), "child net up")
    through_the_proxy(sites)
    assert sites.far.run("ss", "-Htn", "state", "established", f"src {INNER_FAR[4]}:{CHAIN_PORT}", "dst", "10.1.0.1") != ""
