"""sing-box's multiplexing (smux, yamux, h2mux): winze with sing-box in both roles, and with itself."""
import concurrent.futures
import pathlib
import socket
import struct
import time

import pytest

from harness import (HOST, UUID, RawServer, client, curl, fetch_sha256, free_port, listener, vless_out,
                     vless_server, transfer)
from packets import Association

PAIRS = [("winze", "singbox"), ("singbox", "winze"), ("winze", "winze")]
PROTOCOLS = ["smux", "yamux", "h2mux"]


def multiplex(protocol, padding=False, **numbers):
    """The client's "multiplex" of sing-box."""
    return {"enabled": True, "protocol": protocol, "padding": padding} | (numbers or {"max_connections": 2})


def start_server(stage, maker, port, padding=False, enabled=True):
    """A VLESS server that takes carriers, with padding only those that have it."""
    if maker == "winze":
        config = vless_server(port, "tcp")
        config["inbounds"][0]["mux"] = {"enabled": enabled, "padding": padding}
    else:
        inbound = {"type": "vless", "listen": HOST, "listen_port": port, "users": [{"uuid": UUID}],
                   "multiplex": {"enabled": enabled, "padding": padding}}
        config = {"log": {"level": "error"}, "inbounds": [inbound], "outbounds": [{"type": "direct"}]}
    return stage.start(maker, config, [port], f"server-{maker}")


def start_client(stage, maker, server_port, socks, mux):
    if maker == "winze":
        names = {"max_connections": "maxConnections", "min_streams": "minStreams", "max_streams": "maxStreams"}
        outbound = vless_out(server_port, "tcp") | {"mux": {names.get(k, k): v for k, v in mux.items()}}
        config = client([listener("socks", socks, auth="noauth", udp=True, ip=HOST)], outbound)
    else:
        inbound = {"type": "socks", "listen": HOST, "listen_port": socks}
        outbound = {"type": "vless", "server": HOST, "server_port": server_port, "uuid": UUID, "packet_encoding": "",
                    "multiplex": mux}
        config = {"log": {"level": "error"}, "inbounds": [inbound], "outbounds": [outbound]}
    return stage.start(maker, config, [socks], f"client-{maker}")


def start_pair(stage, makers, protocol, padding=False, **numbers):
    """Returns the client's SOCKS port."""
    server_port, socks = free_port(), free_port()
    start_server(stage, makers[1], server_port, padding)
    start_client(stage, makers[0], server_port, socks, multiplex(protocol, padding, **numbers))
    return socks


@pytest.mark.parametrize("padding", [False, True], ids=["plain", "padded"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_streams_and_datagrams(stage, origin, files, hashes, echo, makers, protocol, padding):
    socks = start_pair(stage, makers, protocol, padding)
    transfer(socks, origin, files, hashes, "16m.bin")
    first, second = echo(), echo()
    with Association(socks) as association:
        association.check_full_cone(first, second)
        association.check_many(second, count=2000)


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
    deadline = time.monotonic() + 5
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
