"""Multiplexing: winze and v2ray 4.34 in both roles, and winze with itself."""
import concurrent.futures
import os
import socket
import struct
import threading
import time

import pytest

from harness import (HOST, RawServer, client, curl, fetch_sha256, free_port, listener, vless_out, vless_server)
from test_udp import SIZES, Association, Echo

PAIRS = [("winze", "v2ray"), ("v2ray", "winze"), ("winze", "winze")]
KINDS = ["tcp", "tls", "ws", "ws-tls"]


def ids(value):
    return "-".join(value) if isinstance(value, tuple) else str(value)


def start_pair(stage, makers, kind="tcp", **mux):
    """Client and server over vless, multiplexed; returns the client's SOCKS port."""
    server_port, socks = free_port(), free_port()
    stage.server = stage.start(makers[1], vless_server(server_port, kind), [server_port], "server")
    outbound = vless_out(server_port, kind) | {"mux": {"enabled": True, "concurrency": 8} | mux}
    inbound = listener("socks", socks, auth="noauth", udp=True, ip=HOST)
    stage.client = stage.start(makers[0], client([inbound], outbound), [socks], "client")
    return socks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_down_and_up(stage, origin, files, hashes, makers, kind):
    proxy = ["-x", f"socks5h://{HOST}:{start_pair(stage, makers, kind)}"]
    url = f"http://{HOST}:{origin.port}"
    assert fetch_sha256(f"{url}/64m.bin", *proxy) == hashes["64m.bin"]
    result = curl(*proxy, "-T", str(files / "64m.bin"), f"{url}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["64m.bin"], result.stderr


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_many_at_once(stage, origin, hashes, makers):
    proxy = f"socks5h://{HOST}:{start_pair(stage, makers)}"
    url = f"http://{HOST}:{origin.port}"

    def fetch(i):
        name = "64m.bin" if i % 10 == 0 else "1k.bin"
        return fetch_sha256(f"{url}/{name}", "-x", proxy) == hashes[name]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(pool.map(fetch, range(60)))


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_udp(stage, makers):
    socks = start_pair(stage, makers)
    first, second = Echo(), Echo()
    try:
        with Association(socks) as association:
            for server in (first, second):
                server.check(association.exchange(server))
    finally:
        first.stop()
        second.stop()
