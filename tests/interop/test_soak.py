"""An hour of use compressed by load: thousands of connections of all kinds over several chains at once, and afterwards
nothing is left: descriptors, memory and counters are where they were. With WINZE_SOAK_SECONDS=3600 in the environment the
load lasts an hour."""
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import struct
import time

import harness
from embedded import METHOD, SERVER_KEY
from harness import HOST, free_port, listener
from packets import Association
from streams import by_socks

LONG = int(os.environ.get("WINZE_SOAK_SECONDS", 0))
ROUNDS = 6  # at most; a long soak goes through all
SECONDS = LONG / (ROUNDS + 1) or 5  # of a round
LEAK = 150  # bytes a connection, on average, beside
STEP = 1 << 20  # which a heap may grow by at any time: its largest buffer
# What servers remember of each request for minutes, against replays: VMess's 64 bits in each of two sets; Shadowsocks 2022's
# a salt, and of a session which of its datagrams have come. A table that grows takes twice that at once. A round that is
# longer than they are remembered has to do without.
REMEMBERED = {} if SECONDS > 300 else {"vmess": 2 * 2 * 20, "shadowsocks": 2 * 34 + 150}
WORKERS = 12
# A session of Shadowsocks's datagrams ends by its silence alone, and so do carriers.
POLICY = {"policy": {"levels": {"0": {"handshake": 4, "connIdle": 5, "uplinkOnly": 1, "downlinkOnly": 1}}}}


@dataclasses.dataclass(frozen=True)
class Chain:
    protocol: str
    kind: str
    security: str = None
    muxes: tuple = ({},)  # of the clients

    def settings(self):
        return {"password": SERVER_KEY} if self.protocol == "shadowsocks" else {}


CHAINS = {
    "vless": Chain("vless", "tls", muxes=({}, {"concurrency": 8})),
    "sing-mux": Chain("vless", "tcp", muxes=({"protocol": "smux", "maxConnections": 4},)),
    "trojan": Chain("trojan", "tls"),
    "shadowsocks": Chain("shadowsocks", "tcp", METHOD),
    "vmess": Chain("vmess", "tcp", "aes-128-gcm"),
}


def get(s, name):
    s.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())


def whole(socks, origin, chance):
    with by_socks(socks, origin.port) as s:
        get(s, "16m.bin" if chance.random() < 0.05 else "1k.bin")
        size = 0
        while piece := s.recv(1 << 16):
            size += len(piece)
        assert size > 1024


def broken_off(socks, origin, chance):
    """In the middle of a download, of an upload, or before anything is said: by a reset, or an end."""
    with by_socks(socks, origin.port) as s:
        if chance.random() < 0.4:
            get(s, "16m.bin")
            s.recv(chance.randrange(1, 1 << 16))
        elif chance.random() < 0.7:
            s.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(chance.randrange(1 << 17)))
        if chance.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def refused(socks, _, chance):
    """To a port where nobody listens."""
    with contextlib.suppress(OSError, AssertionError), by_socks(socks, 1) as s:
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

    def __init__(self, name, process, statistics, remembered):
        self.name, self.process, self.file = name, process, statistics
        self.allowed = LEAK + remembered
        self.growth = []  # bytes a connection, from one note to the next
        self.held = None
        self.note()

    def note(self):
        before, self.held = self.held, (self.process.rss_kib() << 10, self.total())
        if before:
            memory, total = (now - then for now, then in zip(self.held, before))
            self.growth.append(max(memory - STEP, 0) // max(total, 1))

    def statistics(self):
        self.file.unlink(missing_ok=True)
        self.process.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                return json.loads(self.file.read_text())
            time.sleep(0.02)
        raise AssertionError("no statistics")

    def connections(self):
        now = self.statistics()
        return sum(tag["connections"] for side in ("inbounds", "outbounds") for tag in now[side]) + sum(
            user["connections"] for user in now["users"])

    def total(self):
        return sum(tag["connectionsTotal"] for tag in self.statistics()["inbounds"])

    def bytes(self):
        return sum(tag["up"] + tag["down"] for tag in self.statistics()["inbounds"])


def settle(watched, seconds=40):
    """Until nothing is open; a carrier without streams ends after 16 s."""
    deadline = time.monotonic() + seconds
    while any(one.connections() for one in watched):
        assert time.monotonic() < deadline, [one.statistics() for one in watched]
        time.sleep(0.5)


def start(stage, name, chain):
    """The chain's server and clients; and the clients' ports."""
    port, watched, ports = free_port(), [], []

    def run(role, config, at, remembered=0):
        file = stage.folder / f"{name}-{role}.stats"
        process = stage.start("winze", config | POLICY, [at], f"{name}-{role}", arguments=["--stats-file", str(file)])
        watched.append(Watched(f"{name} {role}", process, file, remembered))

    server = harness.proxy_server(chain.protocol, port, chain.kind, security=chain.security, settings=chain.settings())
    run("server", server, port, REMEMBERED.get(chain.protocol, 0))
    for i, mux in enumerate(chain.muxes):
        outbound = harness.proxy_client(chain.protocol, port, chain.kind, security=chain.security)
        if chain.settings():
            outbound["settings"]["servers"][0] |= chain.settings()
        if mux:
            outbound["mux"] = {"enabled": True} | mux
        ports.append(free_port())
        inbound = listener("socks", ports[-1], auth="noauth", udp=True, ip=HOST)
        run(f"client{i}", harness.client([inbound], outbound), ports[-1])
    return watched, ports


def test_nothing_is_left_of_a_heavy_load(stage, origin, echo):
    watched, ports, far = [], [], echo()
    for name, chain in CHAINS.items():
        processes, theirs = start(stage, name, chain)
        watched += processes
        ports += theirs

    def run():
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            done = sum(pool.map(lambda seed: load(ports, origin, far, SECONDS, seed), range(WORKERS)))
        settle(watched)
        return done

    run()
    descriptors = [one.process.descriptors() for one in watched]
    for one in watched:
        one.note()
        one.growth.clear()
    # What the allocator keeps follows the highest load so far, and levels off. What connections leave behind adds up
    # in every round.
    for _ in range(ROUNDS):
        assert run() > 20 * SECONDS
        assert [one.process.descriptors() for one in watched] == descriptors
        for one in watched:
            one.note()
        print(f"{sum(one.held[1] for one in watched)} connections, {sum(one.bytes() for one in watched) >> 20} MiB so far; "
              f"bytes kept a connection, round by round: { {one.name: one.growth for one in watched} }", flush=True)
        grew = {one.name: one.growth for one in watched if min(one.growth) >= one.allowed}
        if not grew and not LONG:
            return
    assert not grew, f"memory grew in each of {ROUNDS} rounds, bytes a connection: {grew}"
