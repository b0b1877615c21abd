"""Datagrams for the interop tests: an echo server, the client of a SOCKS5 association, and what is sent through both."""
import collections
import contextlib
import ipaddress
import os
import pathlib
import random
import socket
import struct
import threading
import time

from harness import HOST

SIZES = [1, 2, 3, 100, 512, 1000, 1200, 1399, 1400]


def udp_socket(host):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    return s


def wait_udp(port, seconds=10):
    """Until somebody has the port: v2ray opens that of its associations after that for TCP."""
    deadline = time.monotonic() + seconds
    while not any(line.split()[1].endswith(f":{port:04X}") for table in ("udp", "udp6")
                  for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]):
        assert time.monotonic() < deadline, f"nobody has port {port} for UDP"
        time.sleep(0.02)


class Echo:
    """Sends every datagram back with its own port in front; what begins with "from " comes from another port."""

    def __init__(self, host=HOST):
        self.host = host
        self.socket, self.other = udp_socket(host), udp_socket(host)
        for s in (self.socket, self.other):
            s.settimeout(None)
            s.bind((host, 0))
        self.port, self.other_port = (s.getsockname()[1] for s in (self.socket, self.other))
        self.sources = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                data, source = self.socket.recvfrom(65535)
                self.sources.add(source)
                answering = self.other if data.startswith(b"from ") else self.socket
                answering.sendto(struct.pack(">H", self.port) + data, source)

    def stop(self):
        self.socket.close()
        self.other.close()

    def check(self, exchange, sizes=SIZES):
        for size in sizes:
            data = os.urandom(size)
            assert exchange(data) == struct.pack(">H", self.port) + data, size


class Association:
    """The client's side of SOCKS5's UDP ASSOCIATE (RFC 1928)."""

    def __init__(self, port, host=HOST, account=None):
        self.control = socket.create_connection((host, port), 10)
        self.control.sendall(b"\x05\x01\x02" if account else b"\x05\x01\x00")
        assert self.read(2) == (b"\x05\x02" if account else b"\x05\x00")
        if account:
            user, password = (text.encode() for text in account)
            self.control.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
            assert self.read(2) == b"\x01\x00"
        self.control.sendall(b"\x05\x03\x00" + self.address("0.0.0.0", 0))
        _, self.code, _, kind = self.read(4)
        packed, port = self.read(16 if kind == 4 else 4), struct.unpack(">H", self.read(2))[0]
        self.relay = (str(ipaddress.ip_address(packed)), port)
        if self.code == 0:
            wait_udp(port)
        self.socket = udp_socket(self.relay[0])

    def __enter__(self):
        assert self.code == 0
        return self

    def __exit__(self, *_):
        self.control.close()
        self.socket.close()

    def read(self, size):
        data = self.control.recv(size, socket.MSG_WAITALL)
        assert len(data) == size
        return data

    @staticmethod
    def address(host, port):
        try:
            address = ipaddress.ip_address(host)
            packed = bytes([1 if address.version == 4 else 4]) + address.packed
        except ValueError:
            packed = bytes([3, len(host)]) + host.encode()
        return packed + struct.pack(">H", port)

    def send(self, data, host, port, head=b"\0\0\0"):
        self.socket.sendto(head + self.address(host, port) + data, self.relay)

    def receive(self):
        data = self.socket.recv(65535)
        assert data[:3] == b"\0\0\0"
        size = {1: 4, 4: 16, 3: 1 + data[4]}[data[3]]
        host = data[5 : 4 + size].decode() if data[3] == 3 else str(ipaddress.ip_address(data[4 : 4 + size]))
        (port,) = struct.unpack(">H", data[4 + size : 6 + size])
        return data[6 + size :], (host, port)

    def exchange(self, server):
        def run(data):
            self.send(data, server.host, server.port)
            answer, source = self.receive()
            assert source == (server.host, server.port)
            return answer

        return run

    def check_full_cone(self, first, second):
        """One socket serves both Echoes, and answers may come from anywhere."""
        for server in (first, second):
            server.check(self.exchange(server))
        assert first.sources == second.sources and len(first.sources) == 1
        self.send(b"from elsewhere", HOST, first.port)
        assert self.receive()[1] == (HOST, first.other_port)

    def check_many(self, server, **options):
        check_many(lambda data: self.send(data, server.host, server.port), lambda: self.receive()[0], **options)


def check_many(send, receive, count=10000, largest=1400, window=16, may_lose=0):
    """Sends so many datagrams of 1 to `largest` bytes to an Echo, and takes the answers: all of them, in order. No more
    than `window` are on their way, so that no queue between overflows and none may be missing, but for as many as a peer
    is known to lose by itself."""
    sizes = random.Random(count)
    block = os.urandom(largest + count)
    expected = collections.deque()
    sent = lost = 0
    while sent < count or expected:
        while sent < count and len(expected) < window:
            data = block[sent : sent + sizes.randint(1, largest)]
            send(data)
            expected.append(data)
            sent += 1
        answer = receive()[2:]
        assert answer in expected, f"one of {len(answer)} bytes that was not sent, at datagram {sent - len(expected)}"
        while (first := expected.popleft()) != answer:
            lost += 1
            assert lost <= may_lose, f"datagram {sent - len(expected) - 1} of {len(first)} bytes is lost or late"
