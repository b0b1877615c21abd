"""VMess beyond the matrix: what v2ray 4.34 does not speak (sealed lengths, packetaddr, "zero"), against the Xray and the
sing-box that built_peers.sh builds, in both roles."""
import pytest

import harness
import sing_box
from harness import HOST, free_port, listener, transfer
from packets import Association


def socks_inbound(port):
    return listener("socks", port, auth="noauth", udp=True, ip=HOST)


def winze_client(stage, port, socks, security, sealed=False, encoding="None"):
    outbound = harness.proxy_client("vmess", port, "tcp", security=security)
    outbound["settings"]["packetEncoding"] = encoding
    if sealed:
        outbound["settings"]["vnext"][0]["users"][0]["experiments"] = "AuthenticatedLength"
    return stage.start("winze", harness.client([socks_inbound(socks)], outbound), [socks], "client")


def xray(stage, role, port, socks, security, sealed):
    if role == "server":
        return stage.start("xray", harness.proxy_server("vmess", port, "tcp"), [port], "server")
    outbound = harness.proxy_client("vmess", port, "tcp", security=security)
    if sealed:
        outbound["settings"]["vnext"][0]["users"][0]["experiments"] = "AuthenticatedLength"
    return stage.start("xray", harness.client([socks_inbound(socks)], outbound), [socks], "client")


def singbox(stage, role, port, socks, security, sealed, encoding=""):
    if role == "server":
        return stage.start("singbox", sing_box.server("vmess", port), [port], "server")
    config = sing_box.client("vmess", port, socks, security=security, global_padding=True, authenticated_length=sealed,
                             packet_encoding=encoding)
    return stage.start("singbox", config, [socks], "client")


@pytest.mark.parametrize("sealed", [False, True], ids=["", "sealed"])
@pytest.mark.parametrize("security", ["aes-128-gcm", "chacha20-poly1305"])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("maker", ["xray", "singbox"])
def test_others(stage, origin, files, hashes, echo, maker, role, security, sealed):
    """`role` is the other maker's."""
    port, socks = free_port(), free_port()
    start = {"xray": xray, "singbox": singbox}[maker]
    if role == "client":
        stage.start("winze", harness.proxy_server("vmess", port, "tcp"), [port], "server")
        start(stage, "client", port, socks, security, sealed)
    else:
        start(stage, "server", port, socks, security, sealed)
        winze_client(stage, port, socks, security, sealed)
    transfer(socks, origin, files, hashes)
    server = echo()
    with Association(socks) as association:
        association.check_many(server)


def test_one_gibibyte(stage, origin, files, hashes):
    port, socks = free_port(), free_port()
    stage.start("winze", harness.proxy_server("vmess", port, "tcp"), [port], "server")
    xray(stage, "client", port, socks, "aes-128-gcm", sealed=False)
    transfer(socks, origin, files, hashes, "1g.bin")


@pytest.mark.parametrize("security", ["none", "zero"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_without_protection(stage, origin, files, hashes, role, security):
    port, socks = free_port(), free_port()
    if role == "client":
        stage.start("winze", harness.proxy_server("vmess", port, "tcp"), [port], "server")
        singbox(stage, "client", port, socks, security, False)
    else:
        singbox(stage, "server", port, socks, security, False)
        winze_client(stage, port, socks, security)
    transfer(socks, origin, files, hashes)


@pytest.mark.parametrize("role", ["client", "server"])
def test_packet_addresses(stage, echo, role):
    """One stream for all destinations, and strangers may answer."""
    port, socks, servers = free_port(), free_port(), [echo(), echo("::1")]
    if role == "client":
        stage.start("winze", harness.proxy_server("vmess", port, "tcp"), [port], "server")
        singbox(stage, "client", port, socks, "aes-128-gcm", False, "packetaddr")
    else:
        singbox(stage, "server", port, socks, "aes-128-gcm", False)
        winze_client(stage, port, socks, "aes-128-gcm", encoding="Packet")
    with Association(socks) as association:
        for number in range(20):
            server = servers[number % 2]
            server.check(association.exchange(server), [number + 1])
        association.send(b"from another port", HOST, servers[0].port)
        assert association.receive()[1] == (HOST, servers[0].other_port)
        association.check_many(servers[0])
