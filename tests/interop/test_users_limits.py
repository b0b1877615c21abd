"""Limits of a user over the wire: the rate up, addresses, an expiry that comes, and each of them for datagrams."""
import contextlib
import dataclasses
import functools
import random
import time

import pytest

from embedded import ACCOUNT, MIB, WAYS, Target, background, reach, server, start_client
from harness import HOST, curl, free_port
from packets import Association
from streams import by_socks, by_vless

RATE_UP = ["socks", "vless", "trojan", "shadowsocks", "vision-winze"]
# Datagrams, by winze's own client where there is one between.
DATAGRAMS = {name: dataclasses.replace(WAYS[name], maker="winze" if WAYS[name].maker else "")
             for name in ("socks", "vless", "vmess", "trojan", "shadowsocks")}
each_with_datagrams = pytest.mark.parametrize("way", DATAGRAMS.values(), ids=DATAGRAMS)


@pytest.fixture
def target(origin, web):
    return Target(origin, web)


def associate(stage, way, port):
    return Association(start_client(stage, way, port)) if way.maker else Association(port, account=ACCOUNT)


@pytest.mark.parametrize("name", RATE_UP)
def test_a_rate_up_is_kept_and_can_be_lifted(stage, host, target, files, hashes, name):
    way, port = WAYS[name], free_port()
    embedded = host(server(way, port, limits={"up": "1MiB"}), port)
    arguments = reach(stage, way, port)
    upload = background(["-T", str(files / "16m.bin"), "-H", "Expect:", *arguments], target(way, "up/16m.bin"), "1G")
    embedded.settle(lambda s: s["users"][0]["up"] > MIB / 4)
    embedded.check_rate("up", MIB)
    assert embedded.ask("limit in alice 0 0 0") == "ok"
    assert upload.wait(20) == 0
    assert embedded.settle(lambda s: s["users"][0]["connections"] == 0)["users"][0]["up"] > 16 * MIB


REQUEST = b"GET /1k.bin HTTP/1.1\r\nHost: a\r\n\r\n"


def answered(name, port, origin, address):
    """A connection from this address by which an answer has come, or none."""
    with contextlib.ExitStack() as stack:
        try:
            if name == "socks":
                connection = by_socks(port, origin.port, ACCOUNT, source=address)
            else:
                connection = by_vless(port, origin.port, source=address)
            stack.enter_context(connection)
            connection.sendall(REQUEST)
            if not connection.recv(100):
                return None
        except (AssertionError, ConnectionError):
            return None
        stack.pop_all()
        return connection


@pytest.mark.parametrize("name", ["socks", "vless"])
def test_a_limit_of_addresses(host, origin, name):
    way, port = WAYS[name], free_port()
    embedded = host(server(way, port, limits={"addresses": 2}), port)
    answers = functools.partial(answered, name, port, origin)
    held = [answers("127.0.0.2"), answers("127.0.0.3"), answers("127.0.0.2")]
    assert all(held)
    assert embedded.user()["addresses"] == 2
    assert not answers("127.0.0.4")
    embedded.wait_log("too many addresses", "2 of 2")
    # One of those there may come again; another when one has gone.
    held.append(answers("127.0.0.3"))
    held[0].close()
    embedded.settle(lambda s: s["users"][0]["connections"] == 3)
    held[2].sendall(REQUEST)  # who is quiet for long gives way
    assert held[2].recv(100)
    assert not answers("127.0.0.4")
    held[2].close()
    embedded.settle(lambda s: s["users"][0]["addresses"] == 1)
    held.append(answers("127.0.0.4"))
    assert all(held)
    for connection in held:
        connection.close()


@pytest.mark.parametrize("name", ["socks", "vless"])
def test_a_client_that_moves_to_another_address_is_let_in(host, origin, name):
    way, port = WAYS[name], free_port()
    embedded = host(server(way, port, limits={"addresses": 1}), port)
    left = answered(name, port, origin, "127.0.0.2")
    began = time.monotonic()
    while not (moved := answered(name, port, origin, "127.0.0.3")):
        assert time.monotonic() - began < 30
        time.sleep(1)
    assert time.monotonic() - began >= 10
    embedded.wait_log("gave way to another address")
    assert embedded.user()["addresses"] == 1
    left.settimeout(5)
    with contextlib.suppress(ConnectionError):
        while left.recv(65536):
            pass
    moved.close()


@pytest.mark.parametrize("name", ["socks", "vmess", "shadowsocks", "vision-winze"])
def test_an_expiry_that_comes_ends_what_runs(stage, host, target, echo, name):
    way, port, far = WAYS[name], free_port(), echo()
    embedded = host(server(way, port, expiry=int(time.time()) + 4), port)
    arguments = reach(stage, way, port)
    transfer = background(arguments, target(way, "1g.bin"), "10M")
    with associate(stage, way, port) if name == "socks" else contextlib.nullcontext() as association:
        embedded.settle(lambda s: s["users"][0]["connections"] == (2 if association else 1))
        if association:
            far.check(association.exchange(far), [5])
        assert transfer.poll() is None
        embedded.settle(lambda s: s["inbounds"][0]["connections"] == 0, 20)
        assert not association or association.control.recv(1) == b""
    transfer.terminate() if way.maker else None
    assert transfer.wait(5) != 0
    embedded.wait_log("user expired")
    assert curl(*arguments, *target(way, "1k.bin"), seconds=3).returncode != 0


@each_with_datagrams
def test_datagrams_are_counted_and_a_quota_ends_them(stage, host, echo, way):
    port, far, quota = free_port(), echo(), 100_000
    embedded = host(server(way, port), port)
    with associate(stage, way, port) as association:
        sizes = [random.randint(1, 1400) for _ in range(50)]
        far.check(association.exchange(far), sizes)
        up, down = sum(sizes), sum(sizes) + 2 * len(sizes)
        statistics = embedded.settle(lambda s: s["users"][0]["down"] == down, 1.0)
        for counted in (statistics["users"][0], statistics["inbounds"][0], statistics["outbounds"][0]):
            assert (counted["up"], counted["down"], counted["connections"]) == (up, down, 1)
        # As far as whole datagrams go; one of the other direction may be smaller than what is left.
        assert embedded.ask(f"limit in alice 0 0 {up + down + quota}") == "ok"
        association.socket.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                association.send(bytes(1000), HOST, far.port)
                association.receive()
        user = embedded.settle(lambda s: s["inbounds"][0]["connections"] == 0)["users"][0]
        assert quota - 1002 < user["up"] + user["down"] - up - down <= quota
        embedded.wait_log("quota used up")


@each_with_datagrams
def test_datagrams_keep_a_rate(stage, host, echo, way):
    """No sooner than it allows, and without a loss."""
    port, far, rate, count = free_port(), echo(), 400_000, 1000
    embedded = host(server(way, port, limits={"down": rate}), port)
    with associate(stage, way, port) as association:
        begun = time.monotonic()
        association.check_many(far, count=count, window=8)
        user = embedded.user()
        assert user["down"] == user["up"] + 2 * count
        # What it may catch up is a tenth of a second's.
        assert time.monotonic() - begun > 0.9 * (user["down"] / rate - 0.1)
