"""Shadowsocks of both editions: winze and the peers of other makes in both roles, files both ways and 10,000 datagrams; users,
SIP003 plugins in both roles, and what a stranger sees."""
import base64
import json
import os
import socket
import subprocess
import time

import pytest

import harness
from harness import (HOST, TLS, Running, client, curl, fetch_sha256, free_port, listener, require_program,
                     transfer, wait_port, wait_text)
from packets import Association, udp_socket

AEAD = ["aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305"]
SIP022 = ["2022-blake3-aes-128-gcm", "2022-blake3-aes-256-gcm", "2022-blake3-chacha20-poly1305"]
FREEDOM = {"tag": "direct", "protocol": "freedom"}


def key_for(method, fill=1):
    if not method.startswith("2022"):
        return "correct horse battery"
    return base64.b64encode(bytes([fill]) * (16 if "128" in method else 32)).decode()


# --- winze, v2ray and Xray: one form of configuration ---


def inbound(port, method, password=None, host=HOST, **settings):
    settings = {"method": method, "password": password or key_for(method), "network": "tcp,udp"} | settings
    return {"tag": "in", "listen": host, "port": port, "protocol": "shadowsocks", "settings": settings}


def outbound(port, method, password=None, **settings):
    server = {"address": HOST, "port": port, "method": method, "password": password or key_for(method)}
    return {"tag": "out", "protocol": "shadowsocks", "settings": {"servers": [server]} | settings}


def socks(port):
    return listener("socks", port, auth="noauth", udp=True, ip=HOST)


def sing_user(password):
    return {"name": password[:4], "password": password}


def start_server(stage, maker, port, method, users=()):
    """`users`: passwords, with identity headers."""
    if maker == "libev":
        return start_libev(stage, "ss-server", port, method, ["-s", HOST, "-p", str(port)])
    if maker == "singbox":
        server = {"type": "shadowsocks", "listen": HOST, "listen_port": port, "method": method, "password": key_for(method)}
        if users:
            server["users"] = [sing_user(password) for password in users]
        return stage.start(maker, {"inbounds": [server], "outbounds": [{"type": "direct"}]}, [port], "server")
    if maker == "rust":
        server = {"server": HOST, "server_port": port, "method": method, "password": key_for(method), "mode": "tcp_and_udp"}
        if users:
            server["users"] = [sing_user(password) for password in users]
        return stage.start("ssserver", {"servers": [server]}, [port], "server")
    settings = {"clients": [{"password": password, "email": f"{i}@example"} for i, password in enumerate(users)]}
    config = client([inbound(port, method, **(settings if users else {}))], FREEDOM)
    return stage.start(maker, config, [port], "server")


def start_client(stage, maker, port, server_port, method, password=None):
    password = password or key_for(method)
    if maker == "libev":
        arguments = ["-s", HOST, "-p", str(server_port), "-b", HOST, "-l", str(port)]
        return start_libev(stage, "ss-local", port, method, arguments)
    if maker == "singbox":
        out = {"type": "shadowsocks", "server": HOST, "server_port": server_port, "method": method, "password": password}
        config = {"inbounds": [{"type": "socks", "listen": HOST, "listen_port": port}], "outbounds": [out]}
        return stage.start(maker, config, [port], "client")
    if maker == "rust":
        config = {"server": HOST, "server_port": server_port, "method": method, "password": password, "mode": "tcp_and_udp",
                  "local_address": HOST, "local_port": port}
        return stage.start("sslocal", config, [port], "client")
    return stage.start(maker, client([socks(port)], outbound(server_port, method, password)), [port], "client")


def start_libev(stage, program, port, method, arguments):
    require_program(program)
    command = [program, *arguments, "-m", method, "-k", key_for(method), "-u"]
    process = Running(command, stage.folder / f"{program}.log")
    stage.running.append(process)
    wait_port(port, process=process.process)
    return process


# --- the matrix ---


def cases():
    # v2ray's part is in test_matrix.py.
    peers = {"libev": AEAD, "xray": SIP022, "singbox": SIP022, "rust": [*AEAD[:3], *SIP022]}
    for peer, methods in peers.items():
        for method in methods:
            yield pytest.param(method, "winze", peer, id=f"{method}-winze-{peer}")
            yield pytest.param(method, peer, "winze", id=f"{method}-{peer}-winze")
    yield pytest.param("xchacha20-ietf-poly1305", "winze", "winze", id="xchacha20-winze-winze")


def exchange_datagrams(port, echo, **options):
    first, second = echo(), echo()
    with Association(port) as association:
        association.check_full_cone(first, second)
        association.check_many(second, **options)


@pytest.mark.parametrize("method,client_maker,server_maker", cases())
def test_streams_and_datagrams(stage, origin, files, hashes, echo, method, client_maker, server_maker):
    server_port, port = free_port(), free_port()
    start_server(stage, server_maker, server_port, method)
    start_client(stage, client_maker, port, server_port, method)
    transfer(port, origin, files, hashes)
    exchange_datagrams(port, echo)


@pytest.mark.parametrize("client_maker,server_maker", [("winze", "libev"), ("libev", "winze"), ("winze", "rust"),
                                                       ("rust", "winze"), ("winze", "singbox")])
def test_one_gibibyte(stage, origin, files, hashes, client_maker, server_maker):
    method = "aes-256-gcm" if "libev" in (client_maker, server_maker) else SIP022[0]
    server_port, port = free_port(), free_port()
    start_server(stage, server_maker, server_port, method)
    start_client(stage, client_maker, port, server_port, method)
    transfer(port, origin, files, hashes, "1g.bin")


@pytest.mark.parametrize("method", SIP022[:2])
@pytest.mark.parametrize("client_maker,server_maker", [("winze", "singbox"), ("singbox", "winze"), ("winze", "xray"),
                                                       ("xray", "winze"), ("winze", "rust"), ("rust", "winze"),
                                                       ("winze", "winze")])
def test_users(stage, origin, files, hashes, echo, method, client_maker, server_maker):
    """Identity headers: each of two users is served, a third is not."""
    keys = [key_for(method, fill) for fill in (2, 3, 4)]
    server_port = free_port()
    start_server(stage, server_maker, server_port, method, keys[:2])
    for i, key in enumerate(keys):
        port = free_port()
        process = start_client(stage, client_maker, port, server_port, method, f"{key_for(method)}:{key}")
        if i < 2:
            transfer(port, origin, files, hashes)
            # Of those that come to it Xray 26.3's server with users loses one now and then.
            exchange_datagrams(port, echo, may_lose=3 if server_maker == "xray" else 0)
        else:
            result = curl("-x", f"socks5h://{HOST}:{port}", f"http://{HOST}:{origin.port}/1k.bin", seconds=5)
            assert result.returncode != 0 and result.stdout == b""
        process.stop()
    if server_maker == "winze":
        for user in (0, 1):
            wait_text(stage.running[0], f"user={user}@example")


# --- SIP003 plugins ---

WS_PLUGIN = "path=/tunnel;host=a.test;mux=0"
MUX_PLUGIN = r"path=/a\;b;host=a.test"
TLS_SERVER = f";tls;cert={TLS / 'a.pem'};key={TLS / 'a.key'}"
OBFS = {"server": ("obfs-server", "obfs=http"), "client": ("obfs-local", "obfs=http;obfs-host=a.test")}
V2RAY_PLUGIN = {"server": ("ss-v2ray-plugin", "server;" + WS_PLUGIN), "client": ("ss-v2ray-plugin", WS_PLUGIN)}
OURS = {"server": (str(harness.BIN / "winze"), "server;" + WS_PLUGIN), "client": (str(harness.BIN / "winze"), WS_PLUGIN)}
V2RAY_PLUGIN_PLAIN, OURS_PLAIN = ({"server": (program, "server"), "client": (program, "")}
                                  for program in ("ss-v2ray-plugin", str(harness.BIN / "winze")))
V2RAY_PLUGIN_MUX, OURS_MUX = ({"server": (program, "server;" + MUX_PLUGIN), "client": (program, MUX_PLUGIN + ";mux=4")}
                              for program in ("ss-v2ray-plugin", str(harness.BIN / "winze")))
OURS_TLS = {"server": (OURS["server"][0], OURS["server"][1] + TLS_SERVER),
            "client": (OURS["client"][0], OURS["client"][1] + f";tls;ca={TLS / 'root.pem'}")}


def start_with_plugin(stage, maker, role, port, plugin, server_port=None, method="aes-256-gcm"):
    program, options = plugin
    require_program(program)
    if maker == "libev":
        where = ["-s", HOST, "-p", str(server_port or port)] + (["-b", HOST, "-l", str(port)] if server_port else [])
        arguments = where + ["--plugin", program, "--plugin-opts", options]
        # ss-local asks its plugin for nothing before it is asked itself, so that its port says little.
        return start_libev(stage, "ss-local" if server_port else "ss-server", port, method, arguments)
    if maker == "rust":
        words = {"server": HOST, "server_port": server_port or port, "method": method, "password": key_for(method),
                 "plugin": program, "plugin_opts": options, "mode": "tcp_and_udp"}
        if role == "server":
            return stage.start("ssserver", {"servers": [words]}, [port], "server")
        return stage.start("sslocal", words | {"local_address": HOST, "local_port": port}, [port], "client")
    words = {"plugin": program, "pluginOpts": options}
    if role == "server":
        config = client([inbound(port, method, **words)], FREEDOM)
    else:
        config = client([socks(port)], outbound(server_port, method, **words))
    return stage.start("winze", config, [port], f"{role}-{maker}")


def fetch_patiently(port, origin, hashes):
    """A plugin may still be starting."""
    proxy, url = ["-x", f"socks5h://{HOST}:{port}"], f"http://{HOST}:{origin.port}/1k.bin"
    deadline = time.monotonic() + 10
    while curl(*proxy, url).returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert fetch_sha256(f"http://{HOST}:{origin.port}/16m.bin", *proxy) == hashes["16m.bin"]


@pytest.mark.parametrize("method,client_maker,client_plugin,server_maker,server_plugin", [
    ("aes-256-gcm", "winze", OBFS, "libev", OBFS), ("aes-256-gcm", "libev", OBFS, "winze", OBFS),
    ("aes-256-gcm", "winze", V2RAY_PLUGIN, "winze", V2RAY_PLUGIN), ("aes-256-gcm", "libev", OURS, "libev", OURS),
    ("aes-256-gcm", "libev", OURS, "libev", V2RAY_PLUGIN), ("aes-256-gcm", "libev", V2RAY_PLUGIN, "libev", OURS),
    ("aes-256-gcm", "libev", OURS_TLS, "winze", OURS_TLS), ("aes-256-gcm", "winze", OURS_TLS, "libev", OURS_TLS),
    (SIP022[0], "winze", V2RAY_PLUGIN, "rust", V2RAY_PLUGIN), (SIP022[1], "rust", OBFS, "winze", OBFS),
    (SIP022[2], "rust", OURS_TLS, "rust", OURS_TLS),
    ("aes-256-gcm", "libev", OURS_PLAIN, "libev", V2RAY_PLUGIN_PLAIN),
    ("aes-256-gcm", "libev", V2RAY_PLUGIN_PLAIN, "libev", OURS_PLAIN),
    ("aes-256-gcm", "libev", OURS_MUX, "libev", V2RAY_PLUGIN_MUX),
    ("aes-256-gcm", "libev", V2RAY_PLUGIN_MUX, "libev", OURS_MUX), ("aes-256-gcm", "winze", OURS_MUX, "winze", OURS_MUX),
], ids=["runs-obfs", "serves-obfs", "runs-v2ray-plugin", "is-both", "is-client", "is-server", "is-client-tls",
        "is-server-tls", "runs-v2ray-plugin-2022", "serves-obfs-2022", "is-both-2022",
        "is-client-without-options", "is-server-without-options", "is-client-mux", "is-server-mux", "is-both-mux"])
def test_plugins(stage, origin, hashes, echo, method, client_maker, client_plugin, server_maker, server_plugin):
    """winze runs plugins, and is one: started by ss-local and ss-server, and against v2ray-plugin. Datagrams go beside."""
    server_port, port = free_port(), free_port()
    start_with_plugin(stage, server_maker, "server", server_port, server_plugin["server"], method=method)
    start_with_plugin(stage, client_maker, "client", port, client_plugin["client"], server_port, method)
    fetch_patiently(port, origin, hashes)
    if client_maker == "winze" or server_maker == "winze":
        exchange_datagrams(port, echo)


def children_of(pid):
    return [int(word) for word in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True,
                                                 text=True).stdout.split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_plugin_lives_as_long_as_we_do(stage, origin, hashes):
    server_port, port = free_port(), free_port()
    server = start_with_plugin(stage, "winze", "server", server_port, OBFS["server"])
    start_with_plugin(stage, "winze", "client", port, OBFS["client"], server_port)
    fetch_patiently(port, origin, hashes)
    (first,) = children_of(server.pid)
    os.kill(first, 9)
    deadline = time.monotonic() + 10
    while children_of(server.pid) in ([], [first]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "was ended by signal 9; it is begun again" in server.log
    (second,) = children_of(server.pid)
    fetch_patiently(port, origin, hashes)
    assert server.stop() == 0
    assert not is_alive(second)
    # Killed without a word, winze takes its plugin along too.
    other = start_with_plugin(stage, "winze", "server", free_port(), OBFS["server"])
    (third,) = children_of(other.pid)
    other.kill()
    deadline = time.monotonic() + 10
    while is_alive(third):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_plugin_that_is_not_there(stage):
    config = client([inbound(free_port(), "aes-256-gcm", plugin="no-such-plugin")], FREEDOM)
    process = stage.start("winze", config, [], "server")
    assert process.process.wait(10) == 1
    assert 'inbounds[0].settings.plugin: cannot run "no-such-plugin": No such file or directory' in process.log


# --- what a stranger sees ---


def silence_of(port, pieces, seconds=8):
    """Sends the pieces, and waits for the end: what has come back, and when the end was."""
    begun = time.monotonic()
    with socket.create_connection((HOST, port)) as s:
        s.settimeout(seconds)
        data = b""
        ended = "end"
        try:
            for piece in pieces:
                s.sendall(piece)
                time.sleep(0.01)
            while piece := s.recv(1000):
                data += piece
        except ConnectionResetError:
            ended = "reset"
    return data, ended, time.monotonic() - begun


@pytest.mark.parametrize("method", ["aes-256-gcm", "2022-blake3-aes-128-gcm"])
def test_probes_see_the_same(stage, method):
    """Whatever a stranger sends: no byte, and the end when the time for openings (2 s here) is up."""
    server_port = free_port()
    config = client([inbound(server_port, method)], FREEDOM)
    config["policy"] = {"levels": {"0": {"handshake": 2}}}
    process = stage.start("winze", config, [server_port], "server")
    request = record_request(stage, method)
    first = talk(server_port, request)
    probes = {"nothing": [], "random": [os.urandom(5000)], "few": [os.urandom(10)], "cut": [request[:40]],
              "changed": [bytes([request[0] ^ 1]) + request[1:]], "again": [request], "again, slowly":
              [request[i : i + 1] for i in range(40)], "tag": [request[:45] + bytes([request[45] ^ 1]) + request[46:]]}
    for name, pieces in probes.items():
        data, ended, seconds = silence_of(server_port, pieces)
        assert (data, ended) == (b"", "end"), name
        assert 1.9 < seconds < 6, (name, seconds)
    assert first, "the recorded request was good"
    wait_text(process, "salt was used before")


@pytest.mark.parametrize("method", ["aes-256-gcm", "2022-blake3-aes-128-gcm"])
def test_a_datagram_is_taken_once(stage, echo, method):
    """Of the same bytes from somewhere else there is no answer."""
    server, door, server_port = echo(), free_port(), free_port()
    with udp_socket(HOST) as recorder, udp_socket(HOST) as client_socket, udp_socket(HOST) as stranger:
        recorder.bind((HOST, 0))
        start_server(stage, "winze", server_port, method)
        inbounds = [listener("dokodemo-door", door, address=HOST, port=server.port, network="tcp,udp")]
        stage.start("winze", client(inbounds, outbound(recorder.getsockname()[1], method)), [door], "client")
        recorded = []
        for text in (b"first", b"second"):
            client_socket.sendto(text, (HOST, door))
            recorded.append(recorder.recv(65535))
        client_socket.sendto(recorded[0], (HOST, server_port))
        assert client_socket.recv(65535)
        stranger.sendto(recorded[0], (HOST, server_port))
        stranger.sendto(recorded[1], (HOST, server_port))
        assert stranger.recv(65535)
        stranger.settimeout(1)
        with pytest.raises(TimeoutError):
            stranger.recv(65535)


def record_request(stage, method):
    """The first bytes of a winze client's connection, asking for an echo server."""
    asked = []

    def keep(s):
        s.settimeout(10)
        data = b""
        try:
            while piece := s.recv(65536):
                data += piece
                s.settimeout(0.5)
        except (TimeoutError, ConnectionResetError):
            pass
        asked.append(data)

    echo_port = talk.echo = harness.RawServer(lambda s: s.sendall(s.recv(100))).port
    fake = harness.RawServer(keep)
    door = free_port()
    config = client([listener("dokodemo-door", door, address=HOST, port=echo_port)], outbound(fake.port, method))
    process = stage.start("winze", config, [door])

    def wait_for(count):
        deadline = time.monotonic() + 15
        while len(asked) < count and time.monotonic() < deadline:
            time.sleep(0.02)

    # One connection is that of the harness, which asks for nothing.
    wait_for(1)
    with socket.create_connection((HOST, door)) as s:
        s.sendall(b"hello")
        wait_for(2)
    process.stop()
    return asked[-1]


def talk(port, request):
    with socket.create_connection((HOST, port)) as s:
        s.settimeout(20)
        s.sendall(request)
        return s.recv(1000)


@pytest.mark.parametrize("ending", ["stopped", "killed"])
@pytest.mark.parametrize("method", ["aes-256-gcm", "2022-blake3-aes-128-gcm"])
def test_replays_are_refused_after_a_restart(stage, tmp_path, method, ending):
    """Those of 2022 within the time that their stamp is good for."""
    request = record_request(stage, method)
    server_port = free_port()
    config = client([inbound(server_port, method, replayFile=str(tmp_path / "salts"))], FREEDOM)
    config["policy"] = {"levels": {"0": {"handshake": 1}}}
    first = stage.start("winze", config, [server_port], "first")
    assert talk(server_port, request)
    if ending == "stopped":
        assert first.stop() == 0
    else:
        first.kill()
    second = stage.start("winze", config, [server_port], "second")
    assert silence_of(server_port, [request])[0] == b""
    wait_text(second, "salt was used before")


def test_wrong_password(stage, origin):
    server_port, port = free_port(), free_port()
    start_server(stage, "winze", server_port, "aes-256-gcm")
    start_client(stage, "winze", port, server_port, "aes-256-gcm", "another")
    result = curl("-x", f"socks5h://{HOST}:{port}", f"http://{HOST}:{origin.port}/1k.bin", seconds=10)
    assert result.returncode != 0 and result.stdout == b""
    wait_text(stage.running[0], "do not authenticate")


@pytest.mark.parametrize("settings,message", [
    ({"method": "rc4-md5"}, "the methods served are aes-128-gcm"),
    ({"method": "2022-blake3-aes-128-gcm", "password": "short"}, "takes Base64 of 16 random bytes"),
    ({"method": "2022-blake3-aes-256-gcm", "password": key_for(SIP022[0])}, "these are 16 bytes"),
    ({"clients": [{"password": key_for(SIP022[0])}]}, "users are told apart with the methods 2022-blake3-aes-128-gcm"),
    ({"replayFile": "/proc/version"}, "is not a file of salts"),
])
def test_wrong_settings(tmp_path, settings, message):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(client([inbound(1, "aes-256-gcm") | {}], FREEDOM)))
    config = json.loads(path.read_text())
    config["inbounds"][0]["settings"] |= settings
    path.write_text(json.dumps(config))
    result = subprocess.run([harness.BIN / "winze", "check", "-c", path], capture_output=True, text=True)
    assert result.returncode == 1
    assert "inbounds[0].settings" in result.stderr and message in result.stderr, result.stderr
