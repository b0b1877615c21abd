"""An hour of use compressed by load: thousands of connections of all kinds over a chain, and afterwards nothing is left:
descriptors, memory and counters are where they were."""
import concurrent.futures
import contextlib
import json
import os
import random
import signal
import socket
import struct
import time

import pytest

import harness
from harness import HOST, free_port, listener
from packets import Association

SECONDS = 6  # of a round
ROUNDS = 4  # at most
LEAK = 150  # bytes a connection, on average
WORKERS = 12


def connect(socks, port):
    """A stream through a SOCKS5 server, asked for with one write."""
    s = socket.create_connection((HOST, socks), 10)
    s.sendall(b"\x05\x01\x00\x05\x01\x00\x01" + socket.inet_aton(HOST) + struct.pack(">H", port))
    answer = b""
    while len(answer) < 12:
        piece = s.recv(12 - len(answer))
        assert piece, answer
        answer += piece
    assert answer[:4] == b"\x05\x00\x05\x00", answer
    return s


def get(s, name):
    s.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())


def whole(socks, origin, chance):
    with connect(socks, origin.port) as s:
        get(s, "16m.bin" if chance.random() < 0.05 else "1k.bin")
        size = 0
        while piece := s.recv(1 << 16):
            size += len(piece)
        assert size > 1024


def broken_off(socks, origin, chance):
    """In the middle of a download, of an upload, or before anything is said: by a reset, or an end."""
    with connect(socks, origin.port) as s:
        if chance.random() < 0.4:
            get(s, "16m.bin")
            s.recv(chance.randrange(1, 1 << 16))
        elif chance.random() < 0.7:
            s.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(chance.randrange(1 << 17)))
        if chance.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def refused(socks, _, chance):
    """To a port where nobody listens."""
    with contextlib.suppress(OSError, AssertionError), connect(socks, 1) as s:
        s.sendall(b"x")
        s.recv(1)


def datagrams(socks, echo, chance):
    with Association(socks) as association:
        for _ in range(chance.randrange(1, 20)):
            data = os.urandom(chance.randrange(1, 1400))
            association.send(data, HOST, echo.port)
            assert association.receive()[0][2:] == data


def load(socks, origin, echo, seconds, seed):
    chance = random.Random(seed)
    deadline, done = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        kind = chance.choices([whole, broken_off, refused, datagrams], [6, 6, 1, 2])[0]
        kind(chance.choice(socks), echo if kind is datagrams else origin, chance)
        done += 1
    return done


class Watched:
    """A process with what it holds."""

    def __init__(self, process, statistics):
        self.process, self.file = process, statistics

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def statistics(self):
        self.file.unlink(missing_ok=True)
        self.process.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                return json.loads(self.file.read_text())
            time.sleep(0.02)
        raise AssertionError("no statistics")

    def connections(self):
        now = self.statistics()
        return sum(tag["connections"] for side in ("inbounds", "outbounds") for tag in now[side]) + sum(
            user["connections"] for user in now["users"])

    def bytes(self):
        return sum(tag["up"] + tag["down"] for tag in self.statistics()["inbounds"])


def settle(watched, seconds=40):
    """Until nothing is open; a carrier without streams ends after 16 s."""
    deadline = time.monotonic() + seconds
    while any(one.connections() for one in watched):
        assert time.monotonic() < deadline, [one.statistics() for one in watched]
        time.sleep(0.5)


@pytest.mark.parametrize("protocol,kind,mux", [("vless", "tls", 8)])
def test_nothing_is_left_of_a_heavy_load(stage, origin, echo, tmp_path, protocol, kind, mux):
    port, plain, muxed = free_port(), free_port(), free_port()
    security = harness.PROTOCOLS[protocol].securities[0]
    policy = {"policy": {"levels": {"0": {"handshake": 4, "uplinkOnly": 1, "downlinkOnly": 1}}}}
    server = harness.proxy_server(protocol, port, kind, security=security) | policy
    outbound = harness.proxy_client(protocol, port, kind, security=security)

    def start(name, config, ports):
        file = tmp_path / f"{name}.stats"
        return Watched(stage.start("winze", config, ports, name, arguments=["--stats-file", str(file)]), file)

    def client(name, at, outbound):
        inbound = listener("socks", at, auth="noauth", udp=True, ip=HOST)
        return start(name, harness.client([inbound], outbound) | policy, [at])

    watched = [start("server", server, [port]), client("plain", plain, outbound),
               client("muxed", muxed, outbound | {"mux": {"enabled": True, "concurrency": mux}})]
    server_echo = echo()

    def run(seconds):
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            return sum(pool.map(lambda seed: load([plain, muxed], origin, server_echo, seconds, seed), range(WORKERS)))

    run(SECONDS)
    settle(watched)
    descriptors = [one.descriptors() for one in watched]
    # What the allocator keeps follows the highest load so far, and levels off. What connections leave behind adds up
    # in every round. (Not VMess: its server remembers every request for minutes, against replays.)
    growth = [[] for _ in watched]
    for _ in range(ROUNDS):
        memory = [one.process.rss_kib() for one in watched]
        done = run(SECONDS)
        settle(watched)
        assert done > 20 * SECONDS
        assert [one.descriptors() for one in watched] == descriptors
        for i, one in enumerate(watched):
            growth[i].append((one.process.rss_kib() - memory[i]) * 1024 // done)
        print(f"{done} connections, {sum(one.bytes() for one in watched) >> 20} MiB so far; bytes kept a connection, "
              f"round by round: {growth}")
        if all(min(rounds) < LEAK for rounds in growth):
            return
    raise AssertionError(f"memory grew in each of {ROUNDS} rounds, bytes a connection: {growth}")
