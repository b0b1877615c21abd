"""A path slower than what is sent by it: everybody waits for a turn, and nothing breaks."""
import concurrent.futures
import hashlib
import os
import time

import pytest

import test_mux
import test_singmux
from harness import HOST, RawServer, client, free_port, listener, proxy_client, proxy_server
from slow_path import SlowPath
from streams import by_socks, receive

RATE = 6_000_000  # bytes a second, each way
UPLOAD = 2 << 20  # several of them are more than the sockets of this host hold
SECONDS = 60
BANNER = b"220 at your service\r\n"


@pytest.fixture
def slow():
    """A slow path's port, for the port it leads to."""
    made = []

    def make(port):
        made.append(SlowPath(port, RATE))
        return made[-1].port

    yield make
    for path in made:
        path.stop()


class Crowd:
    """Uploads, and others who come while those fill the path."""

    def __init__(self, socks, origin, files):
        self.socks, self.origin, self.small = socks, origin, (files / "1k.bin").read_bytes()

    def come(self, greetings=True):
        server = RawServer(self.greet)
        kinds = [self.upload, self.download, lambda: self.be_greeted(server.port)]
        try:
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                tasks = []
                for _ in range(6):
                    for kind in kinds if greetings else kinds[:2]:
                        tasks.append(pool.submit(kind))
                    time.sleep(0.05)
                failed = [repr(task.exception()) for task in tasks if task.exception()]
        finally:
            server.stop()
        assert not failed, failed

    def connect(self, port):
        connection = by_socks(self.socks, port)
        connection.settimeout(SECONDS)
        return connection

    def ask(self, head, body=b""):
        with self.connect(self.origin.port) as s:
            s.sendall(head.encode() + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
            s.sendall(body)
            answer = b""
            while piece := s.recv(1 << 16):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
        return answer.split(b"\r\n\r\n", 1)[1]

    def upload(self):
        body = os.urandom(UPLOAD)
        assert self.ask(f"PUT /up HTTP/1.1\r\nContent-Length: {len(body)}", body).decode() == hashlib.sha256(body).hexdigest()

    def download(self):
        assert self.ask("GET /1k.bin HTTP/1.1") == self.small

    def be_greeted(self, port):
        with self.connect(port) as s:
            assert receive(s, len(BANNER)) == BANNER
            s.sendall(b"QUIT\r\n")
            assert receive(s, 6) == b"QUIT\r\n"

    @staticmethod
    def greet(connection):
        """A server that speaks first."""
        connection.sendall(BANNER)
        connection.sendall(receive(connection, 6))


@pytest.mark.parametrize("protocol,kind,security", [
    ("vless", "ws-tls", None), ("trojan", "tls", None), ("vmess", "tcp", "aes-128-gcm"), ("shadowsocks", "tcp", "aes-256-gcm")])
@pytest.mark.parametrize("makers", test_mux.PAIRS[:2], ids="-".join)
def test_each_by_itself(stage, origin, files, slow, makers, protocol, kind, security):
    socks = start(stage, slow, makers, protocol, kind, security)
    # v2ray 4.34's client of Trojan says nothing before its user does.
    Crowd(socks, origin, files).come(greetings=(makers[0], protocol) != ("v2ray", "trojan"))


@pytest.mark.parametrize("protocol,kind,security", [
    ("vless", "tcp", None), ("vless", "ws-tls", None), ("shadowsocks", "tcp", "aes-256-gcm")])
@pytest.mark.parametrize("makers", test_mux.PAIRS, ids="-".join)
def test_many_in_one(stage, origin, files, slow, makers, protocol, kind, security):
    socks = start(stage, slow, makers, protocol, kind, security, mux={"enabled": True, "concurrency": 8})
    Crowd(socks, origin, files).come()


def start(stage, slow, makers, protocol, kind, security, **more):
    port, socks = free_port(), free_port()
    stage.start(makers[1], proxy_server(protocol, port, kind, security=security), [port], "server")
    outbound = proxy_client(protocol, slow(port), kind, security=security) | more
    stage.start(makers[0], client([listener("socks", socks, auth="noauth")], outbound), [socks], "client")
    return socks


# Not from sing-box's client: on such a path it sends some requests twice, the second time as payload.
@pytest.mark.parametrize("protocol", test_singmux.PROTOCOLS)
@pytest.mark.parametrize("makers", [("winze", "singbox"), ("winze", "winze")], ids="-".join)
def test_many_in_one_as_sing_box_does_it(stage, origin, files, slow, makers, protocol):
    port, socks = free_port(), free_port()
    test_singmux.start_server(stage, makers[1], port)
    test_singmux.start_client(stage, makers[0], slow(port), socks, test_singmux.multiplex(protocol, max_connections=1))
    Crowd(socks, origin, files).come()
