"""sing-box's multiplexing (smux, yamux, h2mux) over the proxies that carry it: winze with sing-box in both roles, and
with itself."""
import base64
import concurrent.futures
import pathlib
import socket
import struct
import time

import pytest

from harness import (HOST, PASSWORD, TLS, UUID, RawServer, client, curl, fetch_sha256, free_port, listener,
                     proxy_client, proxy_server, transfer)
from packets import Association, udp_socket

OTHERS = [("winze", "singbox"), ("singbox", "winze")]
PAIRS = [*OTHERS, ("winze", "winze")]
PROTOCOLS = ["smux", "yamux", "h2mux"]


class Proxy:
    """A proxy protocol that carries: for winze by the names of harness.py, for sing-box what its inbound and its
    outbound say. `password`: of Shadowsocks."""

    def __init__(self, protocol, kind="tcp", security=None, inbound=None, outbound=None, password=None):
        self.protocol, self.kind, self.security, self.password = protocol, kind, security, password
        self.inbound = inbound or {"method": security, "password": password}
        self.outbound = outbound or self.inbound

    def winze_server(self, port):
        settings = {"password": self.password} if self.password else {}
        return proxy_server(self.protocol, port, self.kind, security=self.security, settings=settings)

    def winze_out(self, port):
        out = proxy_client(self.protocol, port, self.kind, security=self.security)
        if self.password:
            out["settings"]["servers"][0]["password"] = self.password
        return out


TLS_SERVER = {"enabled": True, "certificate_path": str(TLS / "a.pem"), "key_path": str(TLS / "a.key")}
TLS_CLIENT = {"enabled": True, "server_name": "a.test", "certificate_path": str(TLS / "root.pem")}
PROXIES = {
    "vless": Proxy("vless", inbound={"users": [{"uuid": UUID}]}, outbound={"uuid": UUID, "packet_encoding": ""}),
    "vmess": Proxy("vmess", security="aes-128-gcm", inbound={"users": [{"uuid": UUID, "alterId": 0}]},
                   outbound={"uuid": UUID, "security": "aes-128-gcm", "packet_encoding": ""}),
    "trojan": Proxy("trojan", "tls", inbound={"users": [{"name": "peer", "password": PASSWORD}], "tls": TLS_SERVER},
                    outbound={"password": PASSWORD, "tls": TLS_CLIENT}),
    "shadowsocks": Proxy("shadowsocks", security="aes-256-gcm", password=PASSWORD),
    "shadowsocks-2022": Proxy("shadowsocks", security="2022-blake3-aes-128-gcm",
                              password=base64.b64encode(bytes(16)).decode()),
}


def multiplex(protocol, padding=False, **numbers):
    """The client's "multiplex" of sing-box."""
    return {"enabled": True, "protocol": protocol, "padding": padding} | (numbers or {"max_connections": 2})


def start_server(stage, maker, port, padding=False, enabled=True, proxy="vless"):
    """A server that takes carriers, with padding only those that have it."""
    proxy = PROXIES[proxy]
    if maker == "winze":
        config = proxy.winze_server(port)
        config["inbounds"][0]["mux"] = {"enabled": enabled, "padding": padding}
    else:
        inbound = {"type": proxy.protocol, "listen": HOST, "listen_port": port,
                   "multiplex": {"enabled": enabled, "padding": padding}} | proxy.inbound
        config = {"log": {"level": "error"}, "inbounds": [inbound], "outbounds": [{"type": "direct"}]}
    return stage.start(maker, config, [port], f"server-{maker}")


def start_client(stage, maker, server_port, socks, mux, proxy="vless", door=None):
    """`door`: a port for UDP, open before the one for SOCKS, and the one that its datagrams are for."""
    proxy = PROXIES[proxy]
    if maker == "winze":
        names = {"max_connections": "maxConnections", "min_streams": "minStreams", "max_streams": "maxStreams"}
        outbound = proxy.winze_out(server_port) | {"mux": {names.get(k, k): v for k, v in mux.items()}}
        inbounds = [listener("socks", socks, auth="noauth", udp=True, ip=HOST)]
        if door:
            inbounds.insert(0, listener("dokodemo-door", door[0], address=HOST, port=door[1], network="udp"))
        config = client(inbounds, outbound)
    else:
        server = {"server": HOST, "server_port": server_port}
        outbound = {"type": proxy.protocol, "multiplex": mux} | server | proxy.outbound
        inbound = {"type": "socks", "listen": HOST, "listen_port": socks}
        config = {"log": {"level": "error"}, "inbounds": [inbound], "outbounds": [outbound]}
        if door:
            config["inbounds"].insert(0, {"type": "direct", "tag": "door", "listen": HOST, "listen_port": door[0],
                                          "network": "udp", "override_address": HOST, "override_port": door[1]})
            rule = {"inbound": "door", "action": "route-options", "udp_connect": True}
            config["route"] = {"rules": [rule]}
    return stage.start(maker, config, [socks], f"client-{maker}")


def start_pair(stage, makers, protocol, padding=False, proxy="vless", door=None, **numbers):
    """Returns the client's SOCKS port."""
    server_port, socks = free_port(), free_port()
    start_server(stage, makers[1], server_port, padding, proxy=proxy)
    start_client(stage, makers[0], server_port, socks, multiplex(protocol, padding, **numbers), proxy, door)
    return socks


def cases():
    for proxy in PROXIES:
        for protocol in PROTOCOLS:
            for padding in (False, True):
                # What is padded is the same for all three; it is the proxies that cut the pieces, each its own way.
                if padding and proxy != "vless" and protocol != "smux":
                    continue
                for makers in PAIRS if proxy == "vless" else OTHERS:
                    name = "-".join([*makers, proxy, protocol, *(["padded"] if padding else [])])
                    yield pytest.param(makers, proxy, protocol, padding, id=name)


@pytest.mark.parametrize("makers,proxy,protocol,padding", cases())
def test_streams_and_datagrams(stage, origin, files, hashes, echo, makers, proxy, protocol, padding):
    socks = start_pair(stage, makers, protocol, padding, proxy)
    transfer(socks, origin, files, hashes)
    first, second = echo(), echo()
    with Association(socks) as association:
        association.check_full_cone(first, second)
        association.check_many(second, count=1000)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("makers", OTHERS, ids="-".join)
def test_one_gibibyte_and_10000_datagrams(stage, origin, files, hashes, echo, makers, protocol):
    socks = start_pair(stage, makers, protocol)
    transfer(socks, origin, files, hashes, "1g.bin")
    with Association(socks) as association:
        association.check_many(echo())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("makers", OTHERS, ids="-".join)
def test_datagrams_for_one(stage, echo, makers, protocol):
    """They go without addresses."""
    server, door = echo(), free_port()
    start_pair(stage, makers, protocol, door=(door, server.port))
    with udp_socket(HOST) as asking:
        def exchange(data):
            asking.sendto(data, (HOST, door))
            return asking.recv(65535)

        server.check(exchange)


def receive(connection, size):
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


class Echoes:
    """Connections through a SOCKS proxy to a server that sends back what comes."""

    def __init__(self, socks):
        self.socks = socks
        self.server = RawServer(self.echo)
        self.open = []

    @staticmethod
    def echo(connection):
        while data := connection.recv(65536):
            connection.sendall(data)

    def connect(self, port):
        connection = socket.create_connection((HOST, self.socks), 20)
        connection.sendall(b"\5\1\0")
        assert receive(connection, 2) == b"\5\0"
        connection.sendall(b"\5\1\0\1" + socket.inet_aton(HOST) + struct.pack(">H", port))
        assert receive(connection, 10)[1] == 0
        self.open.append(connection)
        return connection

    def many(self, count):
        """So many at once, each with bytes of its own, several times."""
        connections = [self.connect(self.server.port) for _ in range(count)]
        for turn in range(3):
            texts = [f"{turn} of {i} ".encode() * (20 + i) for i in range(count)]
            for connection, text in zip(connections, texts):
                connection.sendall(text)
            for connection, text in zip(connections, texts):
                assert receive(connection, len(text)) == text
        return connections

    def stop(self):
        self.server.stop()
        for connection in self.open:
            connection.close()


@pytest.fixture
def echoes():
    made = []

    def make(socks):
        made.append(Echoes(socks))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_many_at_once(stage, origin, hashes, echoes, makers, protocol):
    socks = start_pair(stage, makers, protocol)
    echoes(socks).many(200)
    proxy = f"socks5h://{HOST}:{socks}"

    def fetch(_):
        return fetch_sha256(f"http://{HOST}:{origin.port}/16m.bin", "-x", proxy) == hashes["16m.bin"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fetch, range(4)))


@pytest.mark.parametrize("proxy", ["vless", "shadowsocks", "shadowsocks-2022"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("makers", OTHERS, ids="-".join)
def test_one_that_ends_leaves_the_others(stage, echoes, makers, protocol, proxy):
    """What says so in the carrier is a head without payload; in Shadowsocks 2022 sing-box's server has it followed by an
    empty chunk."""
    crowd = echoes(start_pair(stage, makers, protocol, proxy=proxy, max_connections=1))
    stays, *ending = crowd.many(4)
    for connection in ending:
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 1) == b""
        stays.sendall(b"still there")
        assert receive(stays, 11) == b"still there"


@pytest.mark.parametrize("protocol", ["yamux", "h2mux"])
@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_one_that_does_not_read(stage, origin, hashes, echoes, makers, protocol):
    """Where the protocol has windows, one stopped reader does not stop the others of its connection."""
    socks = start_pair(stage, makers, protocol, max_connections=1)
    stopped = echoes(socks).connect(origin.port)
    stopped.sendall(b"GET /64m.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    assert receive(stopped, 9) == b"HTTP/1.1 "
    proxy = f"socks5h://{HOST}:{socks}"
    assert fetch_sha256(f"http://{HOST}:{origin.port}/16m.bin", "-x", proxy) == hashes["16m.bin"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_is_killed(stage, echoes, protocol):
    """Its connections end, and the server is as it was."""
    port, socks = free_port(), free_port()
    server = start_server(stage, "winze", port)
    descriptors = pathlib.Path(f"/proc/{server.pid}/fd")
    rest, memory = len(list(descriptors.iterdir())), server.rss_kib()
    killed = start_client(stage, "singbox", port, socks, multiplex(protocol))
    echoes(socks).many(200)
    assert len(list(descriptors.iterdir())) > rest + 200
    killed.kill()
    deadline = time.monotonic() + 20
    while len(list(descriptors.iterdir())) > rest and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(descriptors.iterdir())) <= rest
    assert server.rss_kib() < memory + (16 << 10)


@pytest.mark.parametrize("maker", ["singbox", "winze"])
def test_what_a_server_refuses(stage, origin, maker):
    """Carriers at all, or those without padding."""
    for rules in ({"enabled": False}, {"padding": True}):
        port, socks = free_port(), free_port()
        start_server(stage, "winze", port, **rules)
        start_client(stage, maker, port, socks, multiplex("smux"))
        result = curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin", seconds=5)
        assert result.returncode != 0 and not result.stdout
        stage.stop()
