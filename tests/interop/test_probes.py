"""What an observer learns from servers that it knows no user of: bytes sent back, and when and how it is closed.

Run with -s to see the table, which is in lib/proto/README.md."""
import base64
import concurrent.futures
import os
import socket
import ssl
import threading
import time

import pytest

from harness import HOST, TLS, UUID, client, free_port, listener, stream

HANDSHAKE = 2  # seconds, of the policy
OTHER = "00000000-0000-4000-8000-000000000000"
PATIENCE = HANDSHAKE + 3


# --- servers, and clients of theirs ---


def with_policy(config):
    return config | {"policy": {"levels": {"0": {"handshake": HANDSHAKE}}}, "log": {"loglevel": "warning"}}


def settings(protocol, secret):
    """Of an inbound and of an outbound; the address and port of the latter are to be filled in."""
    if protocol == "vless":
        return ({"clients": [{"id": secret}], "decryption": "none"},
                ("vnext", {"users": [{"id": secret, "encryption": "none"}]}))
    if protocol == "vmess":
        return {"clients": [{"id": secret}]}, ("vnext", {"users": [{"id": secret, "security": "aes-128-gcm"}]})
    if protocol == "trojan":
        return {"clients": [{"password": secret}]}, ("servers", {"password": secret})
    method = protocol
    one = {"method": method, "password": secret}
    return one, ("servers", one)


def name_of(protocol):
    return protocol if protocol in ("vless", "vmess", "trojan") else "shadowsocks"


def secrets(protocol):
    if protocol in ("vless", "vmess"):
        return UUID, OTHER
    if protocol.startswith("2022"):
        return "AAECAwQFBgcICQoLDA0ODw==", "EBESExQVFhcYGRobHB0eHw=="
    return "correct horse", "wrong horse"


def server(protocol, port, kind="tcp"):
    if protocol in ("socks", "http"):
        inside = {"accounts": [{"user": "alice", "pass": "correct horse"}]}
        if protocol == "socks":
            inside["auth"] = "password"
    else:
        inside = settings(protocol, secrets(protocol)[0])[0]
    inbound = {"tag": "in", "listen": HOST, "port": port, "protocol": name_of(protocol) if protocol not in ("socks", "http")
               else protocol, "settings": inside, "streamSettings": stream(kind, "server")}
    return with_policy({"inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]})


class Recorder:
    """Takes what one client sends first."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]

    def take(self):
        connection, _ = self.listener.accept()
        connection.settimeout(0.5)
        data = b""
        try:
            while piece := connection.recv(65536):
                data += piece
        except TimeoutError:
            pass
        connection.close()
        return data


def record(stage, protocol, secret, target, name, count):
    """What a client with this secret sends first, each time: a request for the target, and "ping"."""
    recorder, door = Recorder(), free_port()
    key, one = settings(protocol, secret)[1]
    outbound = {"protocol": name_of(protocol), "settings": {key: [one | {"address": HOST, "port": recorder.port}]}}
    inbound = listener("dokodemo-door", door, address=HOST, port=target)
    process = stage.start("winze", client([inbound], outbound), [], name)
    out, deadline = [], time.monotonic() + 20
    while len(out) < count:
        try:
            with socket.create_connection((HOST, door)) as asking:
                asking.sendall(b"ping")
                out.append(recorder.take())
        except OSError:
            assert time.monotonic() < deadline and process.process.poll() is None, process.log
            time.sleep(0.02)
    process.stop()
    return out


# --- probes ---


def probe(port, data, drip=0.0, kind="tcp"):
    """(bytes sent back, how it ended, after how many seconds)"""
    s = socket.create_connection((HOST, port))
    if kind.endswith("tls"):
        context = ssl.create_default_context(cafile=TLS / "root.pem")
        s = context.wrap_socket(s, server_hostname="a.test")
    if kind.startswith("ws"):
        data = upgrade(s)(data)
    begun = time.monotonic()
    # Sent and read by one thread: TLS here is not for two.
    pieces = [data[i : i + 1] for i in range(len(data))] if drip else [data]
    back, how = b"", "open"
    s.settimeout(0.1)
    while time.monotonic() - begun < PATIENCE:
        try:
            if pieces:
                s.sendall(pieces.pop(0))
            piece = s.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            continue
        except ssl.SSLError:
            how = "broken off"
            break
        except OSError:
            how = "reset"
            break
        if not piece:
            how = "closed"
            break
        back += piece
    seconds = time.monotonic() - begun
    s.close()
    return len(back), how, seconds


def when(seconds):
    if seconds < 0.7:
        return "at once"
    return "handshake" if HANDSHAKE - 0.3 < seconds < HANDSHAKE + 1.2 else f"{seconds:.1f} s"


def run(port, probes, kind):
    """Name -> (bytes back, how, when); all at the same time, so that none waits for another."""
    with concurrent.futures.ThreadPoolExecutor(len(probes)) as pool:
        pending = {name: pool.submit(probe, port, *arguments, kind=kind) for name, arguments in probes.items()}
        out = {}
        for name, result in pending.items():
            size, how, seconds = result.result()
            out[name] = (size, how, when(seconds) if how != "open" else "")
        return out


def show(title, results):
    for name, (size, how, at) in results.items():
        print(f"| {title} | {name if isinstance(name, str) else name[0]} | {size} | {how} | {at} |")


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.fixture
def echo():
    listening = socket.create_server((HOST, 0))

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"pong" + connection.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


# What belongs together must look the same: who is nearly right is told no more than who is not.
NO_USER, INCOMPLETE, REPLAY = "no user", "incomplete", "replay"
AT_ONCE, LATE = (0, "closed", "at once"), (0, "closed", "handshake")
# Of protocols that belong inside TLS the header is all there is; the others tell nothing at all.
OPEN = {NO_USER: AT_ONCE, INCOMPLETE: LATE}
SILENT = {NO_USER: LATE, INCOMPLETE: LATE, REPLAY: LATE}
CASES = [("vless", "tcp", OPEN), ("vless", "tls", OPEN), ("vless", "ws-tls", OPEN), ("trojan", "tls", OPEN),
         ("vmess", "tcp", SILENT), ("vmess", "ws-tls", SILENT), ("aes-256-gcm", "tcp", SILENT),
         ("2022-blake3-aes-128-gcm", "tcp", SILENT)]


def strangers(protocol, rights, wrong):
    noise = bytes([0x99]) + os.urandom(299)  # begins no protocol here, so that chance does not decide
    # Each is made from an opening of its own, which no server has seen.
    first, second, third = rights
    probes = {("random", NO_USER): (noise,), ("wrong user", NO_USER): (wrong,),
              ("one bit wrong", NO_USER): (flip(first, 5),), ("one bit wrong, late", NO_USER): (flip(second, 14),),
              ("first bytes", INCOMPLETE): (first[:9],), ("first bytes of a wrong one", INCOMPLETE): (wrong[:9],),
              ("first bytes, slowly", INCOMPLETE): (first[:9], 0.1), ("nothing", INCOMPLETE): (b"",),
              ("HTTP", NO_USER): (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Accept: */*\r\n" * 20 + b"\r\n",)}
    if protocol not in ("vless", "trojan"):
        probes[("one byte", INCOMPLETE)] = (noise[:1],)
        probes[("cut in the header", INCOMPLETE)] = (third[: len(third) // 2],)
    return probes


def upgrade(s):
    """Opens a WebSocket, and yields what frames a message for it."""
    s.sendall(b"GET /tunnel HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = s.recv(1)
        assert piece, head
        head += piece
    assert b" 101 " in head
    # A mask of zeros leaves the bytes as they are.
    return lambda data: b"\x82" + (bytes([0x80 | len(data)]) if len(data) < 126
                                   else b"\xfe" + len(data).to_bytes(2, "big")) + bytes(4) + data


@pytest.mark.parametrize("protocol,kind,expected", CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_close_guess_looks_like_any_other(stage, echo, protocol, kind, expected):
    good, bad = secrets(protocol)
    right, *others = record(stage, protocol, good, echo, "right", 4)
    [wrong] = record(stage, protocol, bad, echo, "wrong", 1)
    port = free_port()
    stage.start("winze", server(protocol, port, kind), [port], "server")
    results = run(port, strangers(protocol, others, wrong), kind)
    back, how, seconds = probe(port, right, kind=kind)
    assert back > 0, "the bytes were not right"
    if REPLAY in expected:
        results |= run(port, {("replay", REPLAY): (right,)}, kind)
    show(f"{protocol} over {kind}", results)
    for (name, group), seen in results.items():
        assert seen == expected[group], name


def pour(port, opening):
    """How many bytes the server takes, of the opening and of small pieces after it, before it ends."""
    with socket.create_connection((HOST, port), 5) as s:
        s.sendall(opening)
        s.settimeout(0.002)
        for taken in range(len(opening), 100_000, 16):
            try:
                s.sendall(os.urandom(16))
                assert s.recv(1) == b""
                return taken
            except TimeoutError:
                pass
            except ConnectionError:
                return taken
    raise AssertionError("there was no end")


def test_vmess_ends_after_as_many_bytes_whoever_sends_them(stage, echo):
    """It reads on for a number of bytes of its own, so that the end tells nothing of where the opening was wrong."""
    right, *fresh = record(stage, "vmess", UUID, echo, "right", 5)
    [wrong] = record(stage, "vmess", OTHER, echo, "wrong", 1)
    port = free_port()
    stage.start("winze", server("vmess", port), [port], "server")
    assert probe(port, right)[0] > 0, "the bytes were not right"
    openings = {"random": os.urandom(300), "another user": wrong, "cut in the id": fresh[0][:10],
                "cut in the header": fresh[0][:60], "bent id": flip(fresh[1], 3), "bent length": flip(fresh[2], 20),
                "bent header": flip(fresh[3], 60), "replay": right}
    poured = {name: pour(port, opening) for name, opening in openings.items()}
    for name, taken in poured.items():
        print(f"| vmess over tcp, with more after it | {name} | {taken} |")
    # What chance adds for each connection, and what was on its way.
    assert max(poured.values()) - min(poured.values()) < 64 + 160, poured


GREETING, LOGIN = b"\x05\x01\x02", b"\x01\x05%b\x0d%b"
CONNECT = b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n%b\r\n"
BASIC = b"Proxy-Authorization: Basic %b\r\n"


def test_socks_tells_a_wrong_password_like_a_wrong_user(stage):
    """It says what it is: who may look at it knows that it is a proxy. Whether a user exists it does not say."""
    port = free_port()
    stage.start("winze", server("socks", port), [port], "server")
    refused = {"wrong user": (GREETING + LOGIN % (b"mally", b"correct horse"),),
               "wrong password": (GREETING + LOGIN % (b"alice", b"correct hours"),),
               "both wrong": (GREETING + LOGIN % (b"mally", b"correct hours"),)}
    results = run(port, refused | {"no authentication": (b"\x05\x01\x00",), "random": (bytes([0x99]) * 300,),
                                   "first bytes": (GREETING[:2],), "greeting alone": (GREETING,)}, "tcp")
    show("socks over tcp", results)
    assert {results[name] for name in refused} == {(4, "closed", "at once")}
    assert results["no authentication"] == (2, "closed", "at once")
    assert results["random"] == AT_ONCE
    assert results["first bytes"] == LATE
    assert results["greeting alone"] == (2, "closed", "handshake")


def test_http_tells_a_wrong_password_like_a_wrong_user(stage):
    port = free_port()
    stage.start("winze", server("http", port), [port], "server")
    login = {name: (CONNECT % (BASIC % base64.b64encode(text)),) for name, text in
             {"wrong user": b"mally:correct horse", "wrong password": b"alice:correct hours", "both wrong": b"x:y"}.items()}
    refused = login | {"no authentication": (CONNECT % b"",)}
    results = run(port, refused | {"random": (bytes([0x99]) * 300 + b"\r\n\r\n",), "first bytes": (b"CONN",),
                                   "first bytes, slowly": (b"CONNECT a.t", 0.1)}, "tcp")
    show("http over tcp", results)
    seen = {results[name] for name in refused}
    assert len(seen) == 1 and next(iter(seen))[0] > 0
    assert results["random"][0] > 0 and results["random"][1:] == ("closed", "at once")
    assert results["first bytes"][1:] == results["first bytes, slowly"][1:] == ("closed", "handshake")
