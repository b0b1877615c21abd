"""Thousands of streams in a few carriers, between processes: one reader stops, the client is killed, and the server has back
what they held. (mux_client_test.cc has the same in memory, for all protocols.)"""
import contextlib
import re
import selectors
import socket
import threading
import time

import pytest

from harness import HOST, client, free_port, listener, require_maker, vless_out, vless_server
from packets import Association
from streams import by_socks, receive

STREAMS, CARRIERS = 5000, 8
STOPPED = 8 << 20  # that one asks for and does not read
# Of the server's heap: a stream's part while all are open; and what is left of them, the pools' free buffers (4 MiB each
# thread) and gaps in pages that are still in use.
PER_STREAM, KEPT, THREADS = 10 << 10, 32 << 20, 2



class Echoes:
    """Sends back what comes, of thousands of connections. One that begins with "want N" is sent N bytes."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.open = True
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while self.open:
            for key, _ in self.selector.select(0.2):
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ)
                else:
                    self._answer(key.fileobj)

    def _answer(self, connection):
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            connection.close()
        elif data.startswith(b"want "):
            self.selector.unregister(connection)
            threading.Thread(target=self._send, args=(connection, int(data[5:]))).start()
        else:
            connection.sendall(data)

    @staticmethod
    def _send(connection, size):
        try:
            connection.sendall(bytes(size))
        except OSError:
            pass
        connection.close()

    def stop(self):
        self.open = False
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


@pytest.fixture
def echoes():
    server = Echoes()
    yield server
    server.stop()


def established(port):
    """Connections to a port of this machine, as the kernel lists them."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


def heap(process):
    """Bytes: of the memory that is resident, what is no file's."""
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) << 10


def exchange(connections, turn):
    texts = [f"{turn} of {i}|".encode() * 20 for i in range(len(connections))]
    for connection, text in zip(connections, texts):
        connection.sendall(text)
    for connection, text in zip(connections, texts):
        assert receive(connection, len(text)) == text


@pytest.mark.parametrize("protocol", ["smux", "yamux", "h2mux"])
def test_5000_streams_through_8_carriers(stage, echoes, protocol):
    port, socks = free_port(), free_port()
    server = stage.start("winze", vless_server(port, "tcp"), [port], "server", arguments=["--threads", str(THREADS)])
    outbound = vless_out(port, "tcp") | {"mux": {"enabled": True, "protocol": protocol, "maxConnections": CARRIERS}}
    inbound = listener("socks", socks, auth="noauth")
    # Whose streams go to its carriers in turn.
    killed = stage.start("winze", client([inbound], outbound), [socks], "client", arguments=["--threads", "1"])
    rest, memory = server.descriptors(), heap(server)
    connections = [by_socks(socks, echoes.port) for _ in range(STREAMS)]
    try:
        exchange(connections, 0)
        assert established(port) == CARRIERS
        assert server.descriptors() >= rest + STREAMS + CARRIERS
        assert heap(server) - memory < STREAMS * PER_STREAM
        connections[0].sendall(b"want %d" % STOPPED)
        # Streams went to the carriers in turn. Where there are no windows those beside the stopped one may have to wait.
        beside = set(connections[::CARRIERS]) if protocol == "smux" else {connections[0]}
        exchange([connection for connection in connections if connection not in beside], 1)
        assert heap(server) - memory < STREAMS * PER_STREAM + STOPPED
        killed.kill()
        server.wait_descriptors(rest)
    finally:
        for connection in connections:
            connection.close()
    deadline = time.monotonic() + 20  # the server looks every 5 s
    while (left := heap(server) - memory) > KEPT:
        assert time.monotonic() < deadline, f"{left >> 10} KiB are left, {KEPT >> 10} may be"
        time.sleep(0.5)


LIFETIME, AT_ONCE, ASSOCIATIONS = 128, 300, 200  # of a carrier of mux.cool, Xray's or ours: sub-streams in all


@pytest.mark.parametrize("makers", [("winze", "xray"), ("xray", "winze")], ids="-".join)
def test_more_at_once_than_a_carrier_of_mux_cool_takes_in_its_life(stage, echoes, echo, makers):
    for maker in makers:
        require_maker(maker)
    port, socks = free_port(), free_port()
    stage.start(makers[1], vless_server(port, "tcp"), [port], "server")
    outbound = vless_out(port, "tcp") | {"mux": {"enabled": True, "concurrency": 1024, "xudpConcurrency": 1024}}
    inbound = listener("socks", socks, auth="noauth", udp=True, ip=HOST)
    one_thread = ["--threads", "1"] if makers[0] == "winze" else []
    stage.start(makers[0], client([inbound], outbound), [socks], "client", arguments=one_thread)
    server = echo()
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(by_socks(socks, echoes.port)) for _ in range(AT_ONCE)]
        exchange(connections, 0)
        assert established(port) == -(-AT_ONCE // LIFETIME)
        associations = [open_ones.enter_context(Association(socks)) for _ in range(ASSOCIATIONS)]
        for number, association in enumerate(associations):
            association.send(b"%d" % number, server.host, server.port)
            assert association.receive()[0][2:] == b"%d" % number
        assert established(port) == -(-AT_ONCE // LIFETIME) + -(-ASSOCIATIONS // LIFETIME)
        exchange(connections, 1)
