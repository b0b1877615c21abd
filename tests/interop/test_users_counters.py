"""A user's counters beside what the receiver has: never more than 1 MiB behind it for longer than a second while the kernel
moves the bytes, exact once all has passed, over plain TCP and over TLS 1.3 within Vision."""
import itertools
import threading
import time

import pytest

from embedded import ACCOUNT, MIB, WAYS, server, start_client
from harness import RawServer, free_port
from streams import Tls, by_socks

TOTAL = 48 * MIB  # a direction
PIECE = MIB - 12345
BEHIND = 1.0  # seconds


class Receiver:
    """Reads all of an end, and knows how many bytes have come on its connection."""

    def __init__(self, end):
        self.end = end
        self.payload = 0
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while self.payload < TOTAL and (data := self.end.read()):
            self.payload += len(data)

    @property
    def seen(self):
        return self.end.received


class Plain:
    """What Tls is, without TLS."""

    def __init__(self, connection, server=False):
        self.connection, self.sent, self.received = connection, 0, 0

    def write(self, data):
        self.connection.sendall(data)
        self.sent += len(data)

    def read(self):
        data = self.connection.recv(1 << 18)
        self.received += len(data)
        return data


def pass_on(source):
    data = bytes(PIECE)
    for left in range(TOTAL, 0, -PIECE):
        source.write(data[:left])


def follow(embedded, direction, receiver):
    """The counter while bytes pass: steps at which it was looked at."""
    late = None
    for steps in itertools.count(1):
        seen = receiver.seen  # before the counter: it may only have grown since
        now = time.monotonic()
        counted = embedded.user()[direction]
        if seen - counted <= MIB:
            late = None
        else:
            late = late or now
            assert now - late < BEHIND, (seen, counted)
        if not receiver.thread.is_alive():
            return steps


@pytest.mark.parametrize("name", ["socks", "vision-winze", "vision-xray"])
def test_counters_are_at_most_a_mebibyte_behind_the_receiver(stage, host, name):
    way, port, far = WAYS[name], free_port(), []
    embedded = host(server(way, port), port)
    kind = Tls if way.flow else Plain
    done = threading.Event()

    def serve(connection):
        far.append(kind(connection, server=True))
        done.wait(60)

    origin = RawServer(serve)
    if way.maker:
        connection = by_socks(start_client(stage, way, port), origin.port)
    else:
        connection = by_socks(port, origin.port, ACCOUNT)
    near = kind(connection)
    near.write(b"x")  # an opening may wait for the first payload
    while not far:
        time.sleep(0.01)
    assert far[0].read() == b"x"
    for direction, source, sink in (("up", near, far[0]), ("down", far[0], near)):
        receiver = Receiver(sink)
        sender = threading.Thread(target=pass_on, args=(source,), daemon=True)
        sender.start()
        assert follow(embedded, direction, receiver) > 10
        sender.join(10)
        # All has come: what is counted is what was on the connection, both ways, while it is open.
        deadline = time.monotonic() + BEHIND
        while (user := embedded.user()) and (user["up"], user["down"]) != (near.sent, near.received):
            assert time.monotonic() < deadline, (user, near.sent, near.received)
            time.sleep(0.01)
        assert receiver.payload == TOTAL
    done.set()
    connection.close()
    user = embedded.settle(lambda s: s["users"][0]["connections"] == 0)["users"][0]
    # At the end Xray says so in a record of the TLS that it has left, which is payload by then; if the server still reads it.
    assert user["up"] - near.sent in ((0, 24) if way.maker == "xray" else (0,)) and user["down"] == near.received
    assert near.sent == far[0].received and near.received == far[0].sent
    assert embedded.spliced() > TOTAL // 2
    origin.stop()
