"""XUDP's global ids: the address that peers see outside stays while carriers come and go. winze with Xray in both roles,
and with itself; winze runs with a thread for each core, and carriers come to any of them."""
import contextlib
import os
import signal
import socket
import struct
import threading
import time

import pytest

import embedded
from harness import HOST, UUID, client, free_port, listener, proxy_client, proxy_server, require_maker
from packets import Association, udp_socket

PAIRS = [("winze", "xray"), ("xray", "winze"), ("winze", "winze")]
FLOW = "xtls-rprx-vision"
# Xray's ways of multiplexing: datagrams with the streams, apart from them, and (None) what its clients do without being
# told: each flow on a carrier of its own.
CASES = [(makers, mux) for makers in PAIRS for mux in (0, 4, None) if mux is not None or makers[0] == "xray"]


def ids(value):
    return "-".join(value) if isinstance(value, tuple) else str(value)


class Wire:
    """A TCP relay that can be cut."""

    def __init__(self, to):
        self.to, self.ends, self.dark = to, [], set()
        self.port = free_port()
        self.accepted = 0
        self.resume()

    def resume(self):
        self.listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listening):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection((HOST, self.to), 10)
                far.settimeout(None)
                self.accepted += 1
                self.ends += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for s in {source, target} - self.dark:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self, pause=False):
        """Breaks all connections off; with `pause` nobody listens until resume()."""
        if pause:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.ends = []

    def leave_server(self):
        """The client's connections end, those to the server stay, as where a NAT has forgotten them."""
        self.dark.update(self.ends[1::2])
        for end in self.ends[::2]:
            end.shutdown(socket.SHUT_RDWR)
        self.ends = []

    def stop(self):
        self.cut(pause=True)
        for end in self.dark:
            end.close()


@pytest.fixture
def wire():
    made = []

    def make(to):
        made.append(Wire(to))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def server_config(port, maker, kind="tcp", flow=None, users=(UUID,)):
    config = proxy_server("vless", port, kind)
    config["inbounds"][0]["settings"]["clients"] = [
        {"id": user, "email": f"user{i}@example"} | ({"flow": flow} if flow else {}) for i, user in enumerate(users)]
    if maker == "xray":
        # Without this it keeps such clients from addresses of private networks.
        config["outbounds"][0]["settings"] = {"finalRules": [{"action": "allow"}]}
    return config


def client_config(port, inbound, mux, kind="tcp", flow=None):
    outbound = proxy_client("vless", port, kind)
    if flow:
        outbound["settings"]["vnext"][0]["users"][0]["flow"] = flow
    if mux is not None:
        outbound["mux"] = {"enabled": True, "concurrency": -1 if flow else 8, "xudpConcurrency": mux}
    return client([inbound], outbound)


def start(stage, wire, makers, mux, inbound=None, **extra):
    """Client, wire, server; returns the wire, and where the client's inbound is."""
    for maker in makers:
        require_maker(maker)
    port = free_port()
    stage.server = stage.start(makers[1], server_config(port, makers[1], **extra), [port], "server")
    between = wire(port)
    inbound = inbound or listener("socks", free_port(), auth="noauth", udp=True, ip=HOST)
    ports = [inbound["port"]] if inbound["protocol"] == "socks" else []
    stage.client = stage.start(makers[0], client_config(between.port, inbound, mux, **extra), ports, "client")
    return between, inbound["port"]


def reach(send, receive, seconds=30):
    """Sends until an answer comes: what is on its way when a carrier ends is lost."""
    deadline = time.monotonic() + seconds
    number = 0
    while time.monotonic() < deadline:
        number += 1
        text = b"%d" % number
        send(text)
        with contextlib.suppress(socket.timeout):
            while True:
                if receive() == text:
                    return
    raise AssertionError("no answer")


def reach_by(association, server):
    association.socket.settimeout(0.5)
    reach(lambda text: association.send(text, server.host, server.port), lambda: association.receive()[0][2:])


@pytest.mark.parametrize("makers,mux", CASES, ids=ids)
def test_a_cut_carrier(stage, wire, echo, makers, mux):
    between, port = start(stage, wire, makers, mux)
    server = echo()
    with Association(port) as association:
        for _ in range(6):
            reach_by(association, server)
            between.cut()
        reach_by(association, server)
    assert between.accepted >= 7
    assert len(server.sources) == 1, server.sources


@pytest.mark.parametrize("makers,mux", CASES, ids=ids)
def test_datagrams_lost_while_there_is_no_way(stage, wire, echo, makers, mux):
    """The first datagrams after the cut find nobody who listens."""
    between, port = start(stage, wire, makers, mux)
    server = echo()
    with Association(port) as association:
        for _ in range(2):
            reach_by(association, server)
            between.cut(pause=True)
            for number in range(3):
                association.send(b"lost %d" % number, server.host, server.port)
                time.sleep(0.5)
            between.resume()
        reach_by(association, server)
    assert len(server.sources) == 1, server.sources


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_a_carrier_whose_end_the_server_has_not_seen(stage, wire, echo, makers):
    between, port = start(stage, wire, makers, 0)
    server = echo()
    with Association(port) as association:
        reach_by(association, server)
        between.leave_server()
        reach_by(association, server)
        assert between.dark
    assert len(server.sources) == 1, server.sources


@pytest.mark.parametrize("makers,mux", [case for case in CASES if case[1] != 0], ids=ids)
def test_with_the_flow(stage, wire, echo, makers, mux):
    between, port = start(stage, wire, makers, mux, kind="tls", flow=FLOW)
    server = echo()
    with Association(port) as association:
        for _ in range(3):
            reach_by(association, server)
            between.cut()
        reach_by(association, server)
    assert len(server.sources) == 1, server.sources


@pytest.mark.parametrize("makers", [pair for pair in PAIRS if pair[0] == "winze"], ids=ids)
def test_a_dokodemo_door(stage, wire, echo, makers):
    """Xray says no id for one that follows no redirection."""
    server = echo()
    door = listener("dokodemo-door", free_port(), address=HOST, port=server.port, network="udp")
    between, port = start(stage, wire, makers, 4, inbound=door)
    with udp_socket(HOST) as s:
        s.settimeout(0.5)
        for _ in range(3):
            reach(lambda text: s.sendto(text, (HOST, port)), lambda: s.recv(100)[2:])
            between.cut()
        reach(lambda text: s.sendto(text, (HOST, port)), lambda: s.recv(100)[2:])
    assert len(server.sources) == 1, server.sources


# --- carriers by hand: VLESS's header, mux.cool's frames ---

OTHER = "0a4e6f5e-58b1-4c8e-a3a2-54d8e1f3c9b7"


class Carrier:
    def __init__(self, port, user=UUID):
        self.socket = socket.create_connection((HOST, port), 10)
        self.socket.sendall(b"\0" + bytes.fromhex(user.replace("-", "")) + b"\0\3")
        self.answered = False

    def new(self, server, text, flow_id, number=1):
        head = struct.pack(">HBBBHB", number, 1, 1, 2, server.port, 1) + socket.inet_aton(server.host) + flow_id
        self.socket.sendall(struct.pack(">H", len(head)) + head + struct.pack(">H", len(text)) + text)

    def read(self, size):
        data = self.socket.recv(size, socket.MSG_WAITALL)
        assert len(data) == size, "the carrier has ended"
        return data

    def datagram(self):
        """The next one; nothing where the flow ends."""
        if not self.answered:
            assert self.read(2) == b"\0\0"
            self.answered = True
        head = self.read(struct.unpack(">H", self.read(2))[0])
        return self.read(struct.unpack(">H", self.read(2))[0]) if head[3] & 1 else None

    def exchange(self, server, text, flow_id, number=1):
        self.new(server, text, flow_id, number)
        assert self.datagram()[2:] == text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def start_server(stage, **extra):
    port = free_port()
    stage.server = stage.start("winze", server_config(port, "winze", users=(UUID, OTHER), **extra), [port], "server")
    return port


def test_an_id_is_its_users_own(stage, echo):
    port, server = start_server(stage), echo()
    flow_id, none = b"\1\2\3\4\5\6\7\x08", bytes(8)
    with Carrier(port) as first:
        first.exchange(server, b"one", flow_id)
        with Carrier(port, OTHER) as thief:
            thief.exchange(server, b"two", flow_id)
            assert len(server.sources) == 2
            # The first has kept its own.
            with Carrier(port) as again:
                again.exchange(server, b"three", flow_id)
                assert first.datagram() is None  # its sub-stream has ended
                assert len(server.sources) == 2
    with Carrier(port) as plain:
        plain.exchange(server, b"four", none)
        assert len(server.sources) == 3
    with Carrier(port) as plain:
        plain.exchange(server, b"five", none)
        assert len(server.sources) == 4


def test_so_many_are_kept(stage, echo):
    """64 of a user, the latest."""
    port, server = start_server(stage), echo()

    def visit(number):
        with Carrier(port) as carrier:
            carrier.exchange(server, b"x", struct.pack(">Q", number))
        return len(server.sources)

    for number in range(1, 81):
        assert visit(number) == number
    assert visit(80) == 80
    assert visit(1) == 81
    assert len(os.listdir(f"/proc/{stage.server.pid}/fd")) < 64 + 40


def test_removed_with_its_user(tmp_path, echo):
    port, server = free_port(), echo()
    host = embedded.Host(tmp_path, embedded.server(embedded.WAYS["vless"], port), port, threads=2)
    with Carrier(port) as carrier:
        carrier.exchange(server, b"x", b"12345678")
    (source,) = server.sources
    with udp_socket(HOST) as probe:
        probe.connect(source)
        host.settle(lambda statistics: statistics["users"][0]["connections"] == 0)
        time.sleep(0.2)
        assert is_bound(probe)  # kept
        assert host.ask("remove in alice") == "ok"
        deadline = time.monotonic() + 10
        while is_bound(probe):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    host.stop()


def is_bound(probe):
    """Whether anybody has the port that the socket is connected to: otherwise ICMP says so."""
    try:
        for _ in range(2):
            probe.send(b"?")
            time.sleep(0.02)
    except ConnectionRefusedError:
        return False
    return True


def test_stopped_while_some_are_kept(stage, echo):
    port, server = start_server(stage), echo()
    with Carrier(port) as carrier:
        carrier.exchange(server, b"x", b"12345678")
    time.sleep(0.2)
    began = time.monotonic()
    stage.server.signal(signal.SIGTERM)
    stage.server.process.wait(20)
    assert stage.server.process.returncode == 0
    assert time.monotonic() - began < 20
