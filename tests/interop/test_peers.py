"""winze and v2ray 4.34 in both roles, and winze with itself."""
import concurrent.futures
import hashlib
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import (HOST, RawServer, client, curl, fetch_sha256, free_port, listener, proxy_out, vless_out,
                     vless_server, wait_text)

PAIRS = [("winze", "v2ray"), ("v2ray", "winze"), ("winze", "winze")]
KINDS = ["tcp", "tls", "ws", "ws-tls"]


def start_pair(stage, makers, kind, door=None, host=HOST, client_extra=None, **server_extra):
    """Client and server over vless; returns the client's SOCKS port, and its fixed port to `door` if given."""
    socks, fixed = free_port(host), free_port(host)
    inbounds = [listener("socks", socks, host, auth="noauth")]
    if door:
        inbounds.append(listener("dokodemo-door", fixed, host, address=HOST, port=door))
    harness.start_pair(stage, makers, "vless", kind, inbounds, host, server_extra=server_extra, **(client_extra or {}))
    return socks, fixed


def ids(value):
    return "-".join(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_vless_down_and_up(stage, origin, files, hashes, makers, kind):
    socks, _ = start_pair(stage, makers, kind)
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    url = f"http://{HOST}:{origin.port}"
    assert fetch_sha256(f"{url}/64m.bin", *proxy) == hashes["64m.bin"]
    result = curl(*proxy, "-T", str(files / "64m.bin"), f"{url}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["64m.bin"], result.stderr


@pytest.mark.parametrize("kind", ["tls", "ws-tls"])
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_alpn_is_not_configured(stage, origin, hashes, makers, kind):
    socks, _ = start_pair(stage, makers, kind, client_extra={"default_alpn": True}, default_alpn=True)
    assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{socks}") == hashes["64m.bin"]


@pytest.mark.parametrize("kind", ["httpupgrade", "httpupgrade-tls"])
def test_httpupgrade(stage, origin, hashes, kind):
    socks, _ = start_pair(stage, ("winze", "winze"), kind)
    assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{socks}") == hashes["64m.bin"]


@pytest.mark.parametrize("kind", ["ws", "ws-tls"])
def test_websocket_early_data(stage, origin, hashes, kind):
    socks, _ = start_pair(stage, ("winze", "winze"), kind, client_extra={"path": "/tunnel?ed=2048"})
    for name in ("1k.bin", "64m.bin"):
        url = f"http://{HOST}:{origin.port}/{name}"
        assert fetch_sha256(url, "-x", f"socks5h://{HOST}:{socks}") == hashes[name]


@pytest.mark.parametrize("makers,kind", [(("winze", "v2ray"), "tcp"), (("v2ray", "winze"), "ws-tls"),
                                         (("winze", "winze"), "tls"), (("winze", "winze"), "ws-tls")], ids=ids)
def test_one_gibibyte(stage, origin, files, hashes, makers, kind):
    socks, _ = start_pair(stage, makers, kind)
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    assert fetch_sha256(f"http://{HOST}:{origin.port}/1g.bin", *proxy) == hashes["1g.bin"]
    result = curl(*proxy, "-T", str(files / "1g.bin"), f"http://{HOST}:{origin.port}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["1g.bin"], result.stderr


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_ipv6(stage, origin, hashes, makers):
    socks, _ = start_pair(stage, makers, "ws-tls", host="::1")
    assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://[::1]:{socks}") == hashes["64m.bin"]


@pytest.mark.parametrize("protocol", ["socks", "http"])
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_socks_and_http_outbounds(stage, origin, hashes, makers, protocol):
    client_maker, server_maker = makers
    server_port, socks = free_port(), free_port()
    accounts = {"accounts": [{"user": "alice", "pass": "correct horse"}]}
    if protocol == "socks":
        accounts["auth"] = "password"
    server = client([listener(protocol, server_port, **accounts)], {"protocol": "freedom"})
    stage.start(server_maker, server, [server_port], "server")
    outbound = proxy_out(protocol, server_port, ("alice", "correct horse"))
    stage.start(client_maker, client([listener("socks", socks)], outbound), [socks], "client")
    assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{socks}") == hashes["64m.bin"]


@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_200_downloads_at_once(stage, origin, hashes, makers, kind):
    _, door = start_pair(stage, makers, kind, door=origin.port)

    def download(_):
        with socket.create_connection((HOST, door), 30) as s:
            s.settimeout(60)
            s.sendall(b"GET /1k.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := s.recv(65536):
                data += piece
        return hashlib.sha256(data.split(b"\r\n\r\n", 1)[1]).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        results = list(pool.map(download, range(200)))
    assert results == [hashes["1k.bin"]] * 200


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_server_speaks_first(stage, makers):
    server = RawServer(lambda s: (s.sendall(b"220 hello\r\n"), s.recv(10)))
    _, door = start_pair(stage, makers, "tls", door=server.port)
    with socket.create_connection((HOST, door)) as s:
        s.settimeout(10)
        assert s.recv(100) == b"220 hello\r\n"
    server.stop()


@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
def test_server_killed(stage, origin, kind):
    socks, _ = start_pair(stage, ("winze", "winze"), kind)
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "20M", "-o", "/dev/null", "-x", f"socks5h://{HOST}:{socks}",
                                 f"http://{HOST}:{origin.port}/1g.bin"], stderr=subprocess.PIPE)
    time.sleep(1)
    stage.server.kill()
    begun = time.monotonic()
    assert transfer.wait(10) != 0
    assert time.monotonic() - begun < 5
    assert stage.client.process.poll() is None
    assert curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin").returncode != 0


@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
def test_slow_reader_does_not_grow_memory(stage, origin, kind):
    """Bound: per direction one 256 KiB buffer and its sealed copy, or a pipe in the kernel; far below 8 MiB."""
    _, door = start_pair(stage, ("winze", "winze"), kind, door=origin.port)
    with socket.create_connection((HOST, door)) as s:
        s.sendall(b"GET /1g.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(1 << 20)
        time.sleep(0.5)
        before = [p.rss_kib() for p in (stage.client, stage.server)]
        for _ in range(20):
            s.recv(4096)
            time.sleep(0.1)
        after = [p.rss_kib() for p in (stage.client, stage.server)]
    assert all(b - a < 8192 for a, b in zip(before, after)), (before, after)


def test_wrong_user_is_closed_without_a_word(stage, origin):
    server_port, socks = free_port(), free_port()
    stage.start("winze", vless_server(server_port, "tls"), [server_port], "server")
    outbound = vless_out(server_port, "tls", uuid="00000000-0000-4000-8000-000000000000")
    stage.start("v2ray", client([listener("socks", socks)], outbound), [socks], "client")
    result = curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin")
    assert result.returncode != 0 and result.stdout == b""
    wait_text(stage.running[0], "vless")
