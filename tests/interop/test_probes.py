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
WITH_USERS = "2022-blake3-aes-128-gcm users"
KEYS = [base64.b64encode(bytes([fill]) * 16).decode() for fill in range(3)]


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
    if protocol == WITH_USERS:
        method = protocol.removesuffix(" users")
        one, (of_server, of_user) = {"method": method, "password": secret}, secret.split(":")
        return one | {"password": of_server, "clients": [{"password": of_user, "email": "one"}]}, ("servers", one)
    one = {"method": protocol, "password": secret}
    return one, ("servers", one)


def name_of(protocol):
    return protocol if protocol in ("vless", "vmess", "trojan") else "shadowsocks"


def secrets(protocol):
    if protocol in ("vless", "vmess"):
        return UUID, OTHER
    if protocol == WITH_USERS:
        return f"{KEYS[0]}:{KEYS[1]}", f"{KEYS[0]}:{KEYS[2]}"
    if protocol.startswith("2022"):
        return KEYS[:2]
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
        connection.settimeout(10)
        data = b""
        try:
            while piece := connection.recv(65536):
                data += piece
                connection.settimeout(0.5)
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


def probe(port, data, drip=False, kind="tcp"):
    """(bytes sent back, how it ended, how many seconds after the probe and after the connection)"""
    connected = time.monotonic()
    s = socket.create_connection((HOST, port))
    if kind.endswith("tls"):
        context = ssl.create_default_context(cafile=TLS / "root.pem")
        s = context.wrap_socket(s, server_hostname="a.test")
    if kind.startswith("ws"):
        data = upgrade(s)(data)
    begun = time.monotonic()
    # Sent and read by one thread: TLS here is not for two.
    pieces = drips(data) if drip else [data]
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
    ended = time.monotonic()
    s.close()
    return len(back), how, (ended - begun, ended - connected)


def drips(data):
    """One for each tenth of a second: few bytes one by one; many in so few pieces that the last alone comes too late."""
    if len(data) < 10 * HANDSHAKE:
        return [data[i : i + 1] for i in range(len(data))]
    step = -(-len(data) // (5 * HANDSHAKE))
    begin = [data[i : i + step] for i in range(0, len(data) - 1, step)]
    begin[-1] = begin[-1][: len(data) - 1 - (len(begin) - 1) * step]
    return begin + [b""] * (10 * HANDSHAKE) + [data[-1:]]


def when(seconds):
    since_probe, since_connected = seconds
    if since_probe < 0.7:
        return "at once"
    in_time = HANDSHAKE - 0.3 < since_connected < HANDSHAKE + 1.2
    return "handshake" if in_time else f"{since_probe:.1f} s, {since_connected:.1f} s after the connection"


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
         ("2022-blake3-aes-128-gcm", "tcp", SILENT), (WITH_USERS, "tcp", SILENT)]


def strangers(protocol, rights, wrong):
    noise = bytes([0x99]) + os.urandom(299)  # begins no protocol here, so that chance does not decide
    # Each is made from an opening of its own, which no server has seen.
    first, second, third, fourth = rights
    probes = {("random", NO_USER): (noise,), ("wrong user", NO_USER): (wrong,),
              ("one bit wrong", NO_USER): (flip(first, 5),), ("one bit wrong, late", NO_USER): (flip(second, 14),),
              ("first bytes", INCOMPLETE): (first[:9],), ("first bytes of a wrong one", INCOMPLETE): (wrong[:9],),
              ("first bytes, slowly", INCOMPLETE): (first[:9], True), ("nothing", INCOMPLETE): (b"",),
              ("nearly all of it, the rest too late", INCOMPLETE): (fourth[: header_size(protocol, fourth)], True),
              ("HTTP", NO_USER): (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Accept: */*\r\n" * 20 + b"\r\n",)}
    if protocol not in ("vless", "trojan"):
        probes[("one byte", INCOMPLETE)] = (noise[:1],)
        probes[("cut in the header", INCOMPLETE)] = (third[: len(third) // 2],)
    return probes


def header_size(protocol, opening):
    """Bytes without the last of which no server knows what is wanted."""
    if protocol == "vmess":
        return 16 + 18 + 8 + 49 + 16  # and up to 15 of padding, before the first chunk
    return len(opening) - 4 if protocol in ("vless", "trojan") else len(opening)


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
    right, *others = record(stage, protocol, good, echo, "right", 6)
    [wrong] = record(stage, protocol, bad, echo, "wrong", 1)
    port = free_port()
    stage.start("winze", server(protocol, port, kind), [port], "server")
    probes = strangers(protocol, others[:4], wrong)
    if protocol == WITH_USERS:
        [other] = record(stage, protocol, f"{KEYS[2]}:{KEYS[1]}", echo, "other", 1)
        probes |= {("wrong server key", NO_USER): (other,), ("bit wrong of the identity", NO_USER): (flip(others[4], 20),)}
    results = run(port, probes, kind)
    back, how, seconds = probe(port, right, kind=kind)
    assert back > 0, "the bytes were not right"
    if REPLAY in expected:
        results |= run(port, {("replay", REPLAY): (right,)}, kind)
    show(f"{protocol} over {kind}", results)
    for (name, group), seen in results.items():
        assert seen == expected[group], name


FLOW = "xtls-rprx-vision"


def vless_opening(uuid, flow, target):
    """A request for the target and "ping", as a client with or without the flow begins."""
    name = flow.encode()
    addons = b"\x0a" + bytes([len(name)]) + name if flow else b""
    id = bytes.fromhex(uuid.replace("-", ""))
    head = b"\0" + id + bytes([len(addons)]) + addons + b"\1" + target.to_bytes(2, "big") + b"\1" + socket.inet_aton(HOST)
    return head + (id + b"\0\0\4\0\x40ping" + bytes(64) if flow == FLOW else b"ping")


@pytest.mark.parametrize("flow", [FLOW, ""], ids=["vision", "none"])
def test_the_flow_is_no_secret_told_to_strangers(stage, echo, flow):
    """Users of Vision and others: who asks for the wrong flow is sent away as who is no user."""
    port = free_port()
    config = server("vless", port, "tls")
    config["inbounds"][0]["settings"]["clients"][0]["flow"] = flow
    stage.start("winze", config, [port], "server")
    right, another = vless_opening(UUID, flow, echo), "" if flow else FLOW
    assert probe(port, right, kind="tls")[0] > 0, "the bytes were not right"
    refused = {"wrong user": (vless_opening(OTHER, flow, echo),),
               "wrong user, wrong flow": (vless_opening(OTHER, another, echo),),
               "right user, wrong flow": (vless_opening(UUID, another, echo),),
               "right user, unknown flow": (vless_opening(UUID, "xtls-rprx-direct", echo),)}
    late = {"first bytes": (right[:9],), "the user alone": (right[:17],), "the user, slowly": (right[:17], True)}
    results = run(port, refused | late, "tls")
    show(f"vless over tls, {'with' if flow else 'without'} the flow", results)
    assert {results[name] for name in refused} == {AT_ONCE}
    assert {results[name] for name in late} == {LATE}


HEAD = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n"
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize("kind", ["ws", "httpupgrade"])
def test_openings_of_http_transports(stage, kind):
    """Whoever does not know the path finds a web server without pages."""
    port = free_port()
    stage.start("winze", server("vless", port, kind), [port], "server")
    key = KEY if kind == "ws" else b""
    elsewhere = {"another path": (HEAD % (b"/", b"a.test", key),),
                 "another path, no upgrade": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",),
                 "near": (HEAD % (b"/tunne", b"a.test", key),), "nearer": (HEAD % (b"/tunnel/", b"a.test", key),)}
    malformed = {"random": (bytes([0x99]) * 300 + b"\r\n\r\n",), "no HTTP": (b"GET /tunnel\r\n\r\n",)}
    late = {"nothing": (b"",), "less than a head": (b"GET /tunnel HT",), "less than a head, slowly": (b"GET /tun", True),
            "a head, too slowly": (HEAD % (b"/tunnel", b"a.test", key), True)}
    known = {"the path, no upgrade": (b"GET /tunnel HTTP/1.1\r\nHost: a.test\r\n\r\n",),
             "the path, then nothing": (HEAD % (b"/tunnel", b"a.test", key),)}
    results = run(port, elsewhere | malformed | late | known, "tcp")
    show(f"vless over {kind}", results)
    seen = {results[name] for name in elsewhere}
    assert len(seen) == 1 and next(iter(seen))[0] > 0 and next(iter(seen))[1:] == ("closed", "at once")
    seen = {results[name] for name in malformed}
    assert len(seen) == 1 and next(iter(seen))[0] > 0 and next(iter(seen))[1:] == ("closed", "at once")
    assert {results[name] for name in late} == {LATE}
    assert results["the path, no upgrade"][1:] == ("closed", "at once")
    assert results["the path, then nothing"][1:] == ("closed", "handshake")


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
                                   "first bytes, slowly": (b"CONNECT a.t", True)}, "tcp")
    show("http over tcp", results)
    seen = {results[name] for name in refused}
    assert len(seen) == 1 and next(iter(seen))[0] > 0
    assert results["random"][0] > 0 and results["random"][1:] == ("closed", "at once")
    assert results["first bytes"][1:] == results["first bytes, slowly"][1:] == ("closed", "handshake")
