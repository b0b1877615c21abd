"""VLESS, VMess and Trojan with the Xray and the sing-box that built_peers.sh builds, in both roles: a file both ways, 10,000
datagrams, and full cone where datagrams have addresses. With a flow: test_vision.py and test_mux.py; more of VMess:
test_vmess.py."""
import pytest

import harness
import sing_box
from harness import HOST, free_port, listener, transfer
from packets import Association

# The other maker, the protocol, the stream, and whether datagrams go by XUDP, as those of Xray's clients always do.
ROWS = [("xray", "vless", "tcp", False), ("xray", "vless", "ws", False), ("xray", "vless", "ws-tls", False),
        ("xray", "vmess", "tcp", True), ("xray", "trojan", "tls", False),
        ("singbox", "vless", "tcp", False), ("singbox", "vless", "tcp", True), ("singbox", "vmess", "tcp", True),
        ("singbox", "trojan", "tls", False)]


def cases():
    for maker, protocol, kind, xudp in ROWS:
        for makers in (("winze", maker), (maker, "winze")):
            words = [protocol, kind, *(["xudp"] if xudp else []), *makers]
            yield pytest.param(makers, protocol, kind, xudp, id="-".join(words))


def start_server(stage, maker, protocol, port, kind):
    if maker == "singbox":
        config = sing_box.server(protocol, port, kind)
    else:
        config = harness.proxy_server(protocol, port, kind)
    stage.start(maker, config, [port], "server")


def start_client(stage, maker, protocol, port, kind, socks, xudp):
    if maker == "singbox":
        encoding = {} if protocol == "trojan" else {"packet_encoding": "xudp" if xudp else ""}
        config = sing_box.client(protocol, port, socks, kind, **encoding)
    else:
        security = "aes-128-gcm" if protocol == "vmess" else None
        outbound = harness.proxy_client(protocol, port, kind, security=security)
        if xudp and maker == "winze":
            outbound["mux"] = {"enabled": True, "concurrency": -1, "xudpConcurrency": 4}
        config = harness.client([listener("socks", socks, auth="noauth", udp=True, ip=HOST)], outbound)
    stage.start(maker, config, [socks], "client")


@pytest.mark.parametrize("makers,protocol,kind,xudp", cases())
def test_streams_and_datagrams(stage, origin, files, hashes, echo, makers, protocol, kind, xudp):
    port, socks = free_port(), free_port()
    start_server(stage, makers[1], protocol, port, kind)
    start_client(stage, makers[0], protocol, port, kind, socks, xudp)
    # Xray 26.3's Trojan client ends a connection for which more than 8 KiB wait at its beginning.
    transfer(socks, origin, files, hashes, patient=(makers[0], protocol) == ("xray", "trojan"))
    first, second = echo(), echo()
    with Association(socks) as association:
        if xudp or protocol == "trojan" or makers[0] == "xray":
            association.check_full_cone(first, second)
        association.check_many(second)
