"""What one sees of a server who has no key to it: whatever it is sent, it says nothing, and ends in the same way."""
import os
import socket
import time

import pytest

import harness
from harness import HOST, RawServer, client, free_port, listener, proxy_client, proxy_server

HANDSHAKE = 2  # seconds
STRANGER = "00000000-0000-4000-8000-000000000000"


class Seen:
    """What came back, and how long it took; `poured`: bytes that were taken before the end."""

    def __init__(self, port, opening, way):
        self.back, self.poured, self.reset = b"", len(opening), False
        with socket.create_connection((HOST, port), 5) as s:
            begun = time.monotonic()
            try:
                if way == "drip":
                    self.drip(s, opening)
                else:
                    s.sendall(opening)
                if way == "pour":
                    self.pour(s)
                s.settimeout(10)
                while piece := s.recv(4096):
                    self.back += piece
            except ConnectionError:
                self.reset = True
            self.seconds = time.monotonic() - begun

    @staticmethod
    def drip(s, opening):
        s.settimeout(0.02)
        for byte in opening:
            s.send(bytes([byte]))
            try:
                if s.recv(1) == b"":
                    return
            except TimeoutError:
                pass

    def pour(self, s):
        """More bytes, in small pieces, until the server has had enough."""
        s.settimeout(0.002)
        while self.poured < 100_000:
            s.sendall(os.urandom(16))
            self.poured += 16
            try:
                if s.recv(1) == b"":
                    return
            except TimeoutError:
                pass


def openings_of(stage, protocol, server_port, security):
    """By name, what makes an opening: from those of a real client, which the server has not seen (but for one)."""
    target = RawServer(lambda s: (s.recv(100), s.sendall(b"hello"), s.recv(100)))

    def ask(serve, count, user=harness.UUID):
        kept = []

        def keep(s):
            s.settimeout(5)
            kept.append(s.recv(65536))
            serve(kept[-1])

        door = free_port()
        outbound = proxy_client(protocol, RawServer(keep).port, "tcp", security=security)
        outbound["settings"]["vnext"][0]["users"][0]["id"] = user
        inbound = listener("dokodemo-door", door, address=HOST, port=target.port)
        stage.start("winze", client([inbound], outbound), [door], f"asking{len(stage.running)}")
        deadline = time.monotonic() + 10
        while len(kept) < count and time.monotonic() < deadline:
            with socket.create_connection((HOST, door), 5) as s:
                s.sendall(b"x" * 50)
                time.sleep(0.05)
        return kept

    def pass_on(opening):
        with socket.create_connection((HOST, server_port), 5) as server:
            server.sendall(opening)
            server.settimeout(5)
            assert server.recv(65536)

    fresh, served, others = ask(lambda _: None, 20), ask(pass_on, 1), ask(lambda _: None, 3, STRANGER)

    def bent(at):
        opening = fresh.pop()
        return opening[:at] + bytes([opening[at] ^ 1]) + opening[at + 1 :]

    return {"nothing": lambda: b"", "one byte": lambda: b"\x01", "random": lambda: os.urandom(300),
            "HTTP": lambda: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "another user": others.pop,
            "cut in the id": lambda: fresh.pop()[:10], "cut in the length": lambda: fresh.pop()[:30],
            "cut in the header": lambda: fresh.pop()[:60], "bent id": lambda: bent(3), "bent length": lambda: bent(20),
            "bent header": lambda: bent(60), "replay": lambda: served[0]}


@pytest.mark.parametrize("protocol,security", [("vmess", "aes-128-gcm")])
def test_no_guess_is_seen_to_be_close(stage, protocol, security):
    port = free_port()
    config = proxy_server(protocol, port, "tcp", security=security)
    config["policy"] = {"levels": {"0": {"handshake": HANDSHAKE}}}
    stage.start("winze", config, [port], "server")
    openings = openings_of(stage, protocol, port, security)
    rows = {}
    for name, opening in openings.items():
        rows[name] = {way: Seen(port, opening(), way) for way in ("wait", "pour")}
    for name in ("random", "another user", "replay"):
        rows[name]["drip"] = Seen(port, openings[name](), "drip")
    print(f"\n{protocol}: opening, sent back, seconds to the end, bytes until the end when more is sent")
    for name, row in rows.items():
        print(f"  {name:<20}{len(row['wait'].back):>4}{row['wait'].seconds:>8.2f}{row['pour'].poured:>8}")
    everything = [seen for row in rows.values() for seen in row.values()]
    assert all(seen.back == b"" for seen in everything)
    waited = [seen.seconds for row in rows.values() for way, seen in row.items() if way != "pour"]
    assert all(HANDSHAKE - 0.1 < seconds < HANDSHAKE + 1 for seconds in waited), waited
    poured = [row["pour"].poured for row in rows.values()]
    # The server's number, a few of chance, and what was on its way.
    assert max(poured) - min(poured) < 64 + 160, poured
    assert all(row["pour"].seconds < HANDSHAKE for row in rows.values())
