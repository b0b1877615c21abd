"""Every proxy protocol (harness.PROTOCOLS) with each of its ciphers over each kind of stream, winze and v2ray 4.34 in both
roles, and winze with itself: a file down and up, and 10,000 datagrams."""
import pytest

import harness
from harness import HOST, PROTOCOLS, free_port, listener, transfer
from packets import Association

PAIRS = [("winze", "v2ray"), ("v2ray", "winze"), ("winze", "winze")]
# v2ray 4.34's Trojan client sends datagrams that wait together as one.
JOINS_DATAGRAMS = {("trojan", "v2ray")}
# Words for v2ray 4.34's client that it takes for another without a word.
UNKNOWN_TO_V2RAY = {("vmess", "zero")}
# One flow for all peers. v2ray 4.34 has one for each, in either role, and lets nobody else answer.
FULL_CONE = {"trojan", "shadowsocks"}


def cases():
    for name, protocol in PROTOCOLS.items():
        for security in protocol.securities:
            for kind in protocol.kinds:
                for makers in PAIRS:
                    if makers == ("winze", "winze") and kind not in ("tcp", "ws-tls"):
                        continue
                    if makers[0] == "v2ray" and (name, security) in UNKNOWN_TO_V2RAY:
                        continue
                    words = [name, security, kind, *makers]
                    yield pytest.param(name, security, kind, makers, id="-".join(word for word in words if word))


@pytest.mark.parametrize("protocol,security,kind,makers", cases())
def test_streams_and_datagrams(stage, origin, files, hashes, echo, protocol, security, kind, makers):
    socks = free_port()
    inbound = listener("socks", socks, auth="noauth", udp=True, ip=HOST)
    harness.start_pair(stage, makers, protocol, kind, [inbound], security=security)
    transfer(socks, origin, files, hashes)
    if PROTOCOLS[protocol].packets_apart and kind != "tcp":
        return
    first, second = echo(), echo()
    with Association(socks) as association:
        if protocol in FULL_CONE and "v2ray" not in makers:
            association.check_full_cone(first, second)
        association.check_many(first, window=1 if (protocol, makers[0]) in JOINS_DATAGRAMS else 16)


@pytest.mark.parametrize("makers", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "vless"])  # vless: test_peers.py
def test_one_gibibyte(stage, origin, files, hashes, protocol, makers):
    socks = free_port()
    security, kind = PROTOCOLS[protocol].securities[0], PROTOCOLS[protocol].kinds[0]
    harness.start_pair(stage, makers, protocol, kind, [listener("socks", socks, auth="noauth")], security=security)
    transfer(socks, origin, files, hashes, "1g.bin")
