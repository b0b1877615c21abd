"""Removing a user ends everything of hers within 100 ms, as her own sockets see it: streams and datagrams of each protocol,
carriers of sing-mux, on one thread and on several."""
import contextlib
import dataclasses
import select
import struct
import time
from collections.abc import Callable

import pytest

from embedded import ACCOUNT, WAYS, Way, best_of, server, start_client
from harness import HOST, RawServer, free_port
from packets import Association
from streams import address, by_socks, by_trojan, by_vless, receive, tcp

COUNT = 6  # connections of a case: on several threads each has some
SECONDS = 0.1


def ask_http(port, to, method):
    """A download by CONNECT, or by a plain request."""
    head = b"Host: a\r\nProxy-Authorization: Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==\r\n\r\n"
    connection = tcp(port)
    connection.sendall(method + (f" {HOST}:{to} " if method == b"CONNECT" else f" http://{HOST}:{to}/ ").encode() +
                       b"HTTP/1.1\r\n" + head)
    return connection


def vless_datagrams(port, echo):
    connection = by_vless(port, echo.port, udp=True)
    connection.sendall(struct.pack(">H", 5) + b"hello")
    assert receive(connection, 2 + 2 + 7)[-5:] == b"hello"
    return connection


def trojan_datagrams(port, echo):
    connection = by_trojan(port, echo.port, udp=True)
    connection.sendall(address(echo.port) + struct.pack(">H", 5) + b"\r\nhello")
    assert receive(connection, 7 + 2 + 2 + 7)[-5:] == b"hello"
    return connection


def association(port, echo):
    made = Association(port, account=ACCOUNT)
    echo.check(made.exchange(echo), [5])
    return made.control


@dataclasses.dataclass(frozen=True)
class Case:
    way: Way
    # From the server's port and an endless origin, or an echo of datagrams, to the socket that ends.
    connect: Callable
    datagrams: bool = False


CASES = {
    "socks": Case(WAYS["socks"], lambda port, to: by_socks(port, to.port, ACCOUNT)),
    "socks-udp": Case(WAYS["socks"], association, datagrams=True),
    "http-connect": Case(Way("http"), lambda port, to: ask_http(port, to.port, b"CONNECT")),
    "http-plain": Case(Way("http"), lambda port, to: ask_http(port, to.port, b"GET")),
    "vless": Case(WAYS["vless"], lambda port, to: by_vless(port, to.port)),
    "vless-udp": Case(WAYS["vless"], vless_datagrams, datagrams=True),
    "trojan": Case(WAYS["trojan"], lambda port, to: by_trojan(port, to.port)),
    "trojan-udp": Case(WAYS["trojan"], trojan_datagrams, datagrams=True),
}


def until_all_ended(connections, seconds=10):
    """Reads what is left of each, up to its end or a reset."""
    deadline, left = time.monotonic() + seconds, list(connections)
    for connection in left:
        connection.setblocking(False)
    while left:
        for connection in select.select(left, [], [], max(0, deadline - time.monotonic()))[0]:
            with contextlib.suppress(BlockingIOError):
                try:
                    ended = not connection.recv(1 << 18)
                except ConnectionError:
                    ended = True
                if ended:
                    left.remove(connection)
                    connection.close()
        assert time.monotonic() < deadline, f"{len(left)} of {len(connections)} go on"


@pytest.fixture
def endless():
    """Sends as long as anybody reads, at a pace."""

    def serve(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 16))
            time.sleep(0.02)

    origin = RawServer(serve)
    yield origin
    origin.stop()


def measure(embedded, way, connect):
    """How long removal takes to be seen by all of `connect`'s sockets; she may come again afterwards."""
    connections = connect()
    embedded.settle(lambda s: s["users"][0]["connections"] == COUNT)
    begun = time.monotonic()
    assert embedded.ask("remove in alice") == "ok"
    until_all_ended(connections)
    taken = time.monotonic() - begun
    embedded.settle(lambda s: s["inbounds"][0]["connections"] == 0)
    embedded.add(way)
    return taken


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sockets_end_within_100_ms(host, endless, echo, case, threads):
    port, far = free_port(), echo() if case.datagrams else endless
    embedded = host(server(case.way, port), port, threads)

    def connect():
        made = [case.connect(port, far) for _ in range(COUNT)]
        if not case.datagrams:
            assert all(connection.recv(1) for connection in made)
        return made

    best_of(lambda: measure(embedded, case.way, connect), SECONDS)


@pytest.mark.parametrize("protocol", ["smux", "yamux", "h2mux"])
def test_the_streams_of_a_carrier_end_within_100_ms(stage, host, endless, protocol):
    """At the client's side of a client that multiplexes."""
    way, port = Way("vless", "winze", WAYS["vless"].credential), free_port()
    embedded = host(server(way, port), port, threads=2)
    near = start_client(stage, way, port, protocol=protocol, maxConnections=2)

    def connect():
        made = [by_socks(near, endless.port) for _ in range(COUNT)]
        assert all(connection.recv(1) for connection in made)
        return made

    best_of(lambda: measure(embedded, way, connect), SECONDS)


@pytest.mark.parametrize("name", ["vmess", "shadowsocks"])
def test_datagrams_end_within_100_ms(stage, host, echo, name):
    """What has no connection of the client's to end, or hides it: the server holds nothing, and passes nothing on."""
    way, port, far = dataclasses.replace(WAYS[name], maker="winze"), free_port(), echo()
    embedded = host(server(way, port), port, threads=2)
    near = start_client(stage, way, port)

    def removal():
        with Association(near) as first:
            far.check(first.exchange(far), [5])
            embedded.settle(lambda s: s["users"][0]["connections"] == 1)
            begun = time.monotonic()
            assert embedded.ask("remove in alice") == "ok"
            embedded.settle(lambda s: s["inbounds"][0]["connections"] == 0)
            taken = time.monotonic() - begun
            came = len(far.sources)
            first.socket.settimeout(0.3)
            first.send(b"again", HOST, far.port)
            with pytest.raises(TimeoutError):
                first.receive()
            assert len(far.sources) == came
            embedded.add(way)
            return taken

    best_of(removal, SECONDS)
