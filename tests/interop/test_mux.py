"""Multiplexing: winze with v2ray 4.34 and Xray in both roles, and with itself."""
import concurrent.futures

import pytest

from harness import (HOST, PROTOCOLS, client, curl, fetch_sha256, free_port, listener, proxy_client, proxy_server,
                     require_maker, transfer, wait_text)
from packets import Association

PAIRS = [("winze", "v2ray"), ("v2ray", "winze"), ("winze", "winze")]
XRAY_PAIRS = [("winze", "xray"), ("xray", "winze"), ("winze", "winze")]
KINDS = ["tcp", "tls", "ws", "ws-tls"]
# A word that v2ray 4.34's client takes for another.
UNKNOWN = {("v2ray", "zero")}
# Xray's own ways of multiplexing UDP: with the streams, and apart from them.
XUDP = [{"xudpConcurrency": 0}, {"xudpConcurrency": 4}]


def ids(value):
    return "-".join(str(v) for v in (value.values() if isinstance(value, dict) else value))


def start_pair(stage, makers, kind="tcp", protocol="vless", flow=None, security=None, **mux):
    """Client and server, multiplexed; returns the client's SOCKS port."""
    for maker in makers:
        require_maker(maker)
    server_port, socks = free_port(), free_port()
    security = security or PROTOCOLS[protocol].securities[0]
    server = proxy_server(protocol, server_port, kind, security=security)
    if flow:
        server["inbounds"][0]["settings"]["clients"][0]["flow"] = flow
    stage.server = stage.start(makers[1], server, [server_port], "server")
    outbound = proxy_client(protocol, server_port, kind, security=security)
    if flow:
        outbound["settings"]["vnext"][0]["users"][0]["flow"] = flow
    outbound["mux"] = {"enabled": True, "concurrency": 8} | mux
    inbound = listener("socks", socks, auth="noauth", udp=True, ip=HOST)
    stage.start(makers[0], client([inbound], outbound), [socks], "client")
    return socks


def cases():
    def row(protocol, kind, security, makers):
        words = [protocol, kind, security, *makers]
        return pytest.param(protocol, kind, security, makers, id="-".join(word for word in words if word))

    for protocol in PROTOCOLS:
        for kind in KINDS:
            yield from (row(protocol, kind, None, makers) for makers in PAIRS)
    for security in PROTOCOLS["vmess"].securities[1:]:
        yield from (row("vmess", "tcp", security, makers) for makers in PAIRS[:2]
                    if (makers[0], security) not in UNKNOWN)


@pytest.mark.parametrize("protocol,kind,security,makers", cases())
def test_streams_and_datagrams(stage, origin, files, hashes, echo, protocol, kind, security, makers):
    socks = start_pair(stage, makers, kind, protocol, security=security)
    transfer(socks, origin, files, hashes)
    server = echo()
    with Association(socks) as association:
        # v2ray 4.34's client garbles its carrier when several wait, whoever the server is.
        association.check_many(server, window=1 if makers[0] == "v2ray" else 16)


@pytest.mark.parametrize("makers", PAIRS[:2], ids="-".join)
def test_one_gibibyte(stage, origin, files, hashes, makers):
    transfer(start_pair(stage, makers), origin, files, hashes, "1g.bin")


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_many_at_once(stage, origin, hashes, makers):
    proxy = f"socks5h://{HOST}:{start_pair(stage, makers)}"

    def fetch(i):
        name = "16m.bin" if i % 10 == 0 else "1k.bin"
        return fetch_sha256(f"http://{HOST}:{origin.port}/{name}", "-x", proxy) == hashes[name]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(pool.map(fetch, range(60)))


@pytest.mark.parametrize("mux", XUDP, ids=ids)
@pytest.mark.parametrize("makers", XRAY_PAIRS, ids="-".join)
def test_xudp(stage, origin, files, hashes, echo, makers, mux):
    socks = start_pair(stage, makers, **mux)
    transfer(socks, origin, files, hashes)
    first, second = echo(), echo()
    with Association(socks) as association:
        association.check_full_cone(first, second)
        association.check_many(second)


FLOW = "xtls-rprx-vision"


@pytest.mark.parametrize("mux", [None, 4])
@pytest.mark.parametrize("makers", XRAY_PAIRS, ids="-".join)
def test_xudp_with_the_flow(stage, origin, files, hashes, echo, makers, mux):
    """Vision leaves datagrams to XUDP: Xray's clients send them so always. Streams go by themselves."""
    settings = {"concurrency": -1, "xudpConcurrency": mux} if mux else {"enabled": False}
    socks = start_pair(stage, makers, "tls", flow=FLOW, **settings)
    transfer(socks, origin, files, hashes)
    server = echo()
    with Association(socks) as association:
        association.check_many(server)


@pytest.mark.parametrize("maker", ["xray"])
def test_streams_of_a_user_with_the_flow_are_not_multiplexed(stage, origin, maker):
    require_maker(maker)
    socks = start_pair(stage, (maker, "winze"), "tls", flow=FLOW)
    result = curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin", seconds=10)
    assert result.returncode != 0 and not result.stdout
    wait_text(stage.server, "streams of a user with a flow are not multiplexed")
