"""Processes, ports, configurations and origins for the interop tests. Everything is on loopback and is stopped by pid."""
import collections
import contextlib
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("WINZE_BIN", ROOT / "build/release/bin"))
PEERS = pathlib.Path(os.environ.get("WINZE_PEERS", ROOT / "build/peers/bin"))
TLS = ROOT / "tests/vectors/tls"
PASSWORD = "correct horse"
UUID = "6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11"
HOST = "127.0.0.1"
FILE = "16m.bin"  # what transfer() moves where its test names no other; with --whole "1g.bin"


def require(condition, why):
    """Where a test cannot run it says why; with CI set that is a failure."""
    if condition:
        return
    import pytest

    if os.environ.get("CI"):
        pytest.fail(f"cannot run here: {why}")
    pytest.skip(why)


def require_program(name):
    require(shutil.which(name), f"{name} is not installed")


# How each maker's program runs a configuration. v2ray and trojan are Debian's; built_peers.sh builds those behind them.
MAKERS = {"winze": lambda: [str(BIN / "winze"), "run", "-c"],
          "v2ray": lambda: ["v2ray", "-config"], "trojan": lambda: ["trojan", "-c"],
          "xray": lambda: [str(PEERS / "xray"), "run", "-c"], "singbox": lambda: [str(PEERS / "sing-box"), "run", "-c"],
          "ssserver": lambda: [str(PEERS / "ssserver"), "-c"], "sslocal": lambda: [str(PEERS / "sslocal"), "-c"]}


def require_maker(maker):
    program = MAKERS[maker]()[0]
    hint = ": bash tests/interop/built_peers.sh builds it" if program.startswith(str(PEERS)) else ""
    require(shutil.which(program), f"{program} is not there{hint}")


def server_ports():
    """None that the system gives to clients: nobody takes one between here and its server's start."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return max(range(10240, low), range(high + 1, 65536), key=len) or range(10240, 65536)


PORTS = server_ports()
_ports = itertools.cycle(PORTS)
for _ in range(random.randrange(len(PORTS))):  # another run has others
    next(_ports)


_claims = collections.deque(maxlen=200)  # of the last ports, against tests that run at the same time


def claim(port):
    """Whether no other process has taken this port lately: it may not listen yet."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0winze-interop-{port}")
    except OSError:
        return False
    _claims.append(held)
    return True


def free_port(host=HOST):
    """A port that nobody uses, by TCP or by UDP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _ports:
        with socket.socket(family, socket.SOCK_STREAM) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                tcp.bind((host, port))
                udp.bind((host, port))
                if claim(port):
                    return port


def wait_port(port, host=HOST, seconds=15, process=None):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise AssertionError(f"process ended with {process.returncode} before it listened on {port}")
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {host}:{port}")


class Running:
    """One peer process. Its output is kept in a file."""

    def __init__(self, command, log):
        self.log_path = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_descriptors(self, most, seconds=20):
        deadline = time.monotonic() + seconds
        while self.descriptors() > most:
            assert time.monotonic() < deadline, f"{self.descriptors()} descriptors, {most} before"
            time.sleep(0.05)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()


def wait_text(process, text, count=1, seconds=15):
    """Until the log of a running process has it so many times."""
    deadline = time.monotonic() + seconds
    while process.log.count(text) < count:
        assert process.process.poll() is None, f"ended: {process.log}"
        assert time.monotonic() < deadline, f"no {text!r}: {process.log}"
        time.sleep(0.03)


class Stage:
    """Starts processes for one test and stops them all behind it."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def start(self, maker, config, ports, name=None, host=HOST, arguments=()):
        name = name or f"{maker}{len(self.running)}"
        if maker == "xray":
            config = allow_private(config)
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config, indent=1))
        require_maker(maker)
        process = Running([*MAKERS[maker](), str(path), *arguments], self.folder / f"{name}.log")
        self.running.append(process)
        for port in ports:
            wait_port(port, host, process=process.process)
        return process

    def stop(self):
        # All at once: a server lets its connections end, which its client holds. A winze that is asked twice does not
        # wait for those that nobody ends.
        for process in self.running:
            if process.process.poll() is None:
                process.process.terminate()
        deadline = time.monotonic() + 0.5
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.process.wait(max(0, deadline - time.monotonic()))
            process.stop()


# --- configurations: V2Ray's, which winze reads too ---


def allow_private(config):
    """Xray keeps the clients of its servers from private addresses unless it is told not to."""
    rules = {"settings": {"finalRules": [{"action": "allow"}]}}
    return config | {"outbounds": [out | (rules if out["protocol"] == "freedom" else {}) for out in config["outbounds"]]}


def stream(kind, side, **extra):
    """streamSettings of one of: tcp tls ws ws-tls httpupgrade httpupgrade-tls."""
    network = {"tcp": "tcp", "tls": "tcp"}.get(kind, kind.removesuffix("-tls"))
    out = {"network": network}
    if network == "ws":
        out["wsSettings"] = {"path": extra.get("path", "/tunnel"), "headers": {"Host": "a.test"}}
    if network == "httpupgrade":
        out["httpupgradeSettings"] = {"path": "/tunnel", "host": "a.test"}
    if kind.endswith("tls"):
        out["security"] = "tls"
        alpn = {} if extra.get("default_alpn") else {"alpn": ["http/1.1"]}
        if side == "server":
            name = extra.get("certificate", "a")
            files = {"certificateFile": str(TLS / f"{name}.pem"), "keyFile": str(TLS / f"{name}.key")}
            out["tlsSettings"] = alpn | {"certificates": [files]}
        else:
            roots = [{"usage": "verify", "certificateFile": str(TLS / "root.pem")}]
            out["tlsSettings"] = alpn | {"serverName": extra.get("name", "a.test"), "certificates": roots}
    return out


class Protocol:
    """A proxy protocol of the matrix (test_matrix.py). `securities`: its ciphers, or None where it has none to choose;
    `kinds`: the streams it runs over; `packets_apart`: datagrams go by themselves, whatever carries its streams.
    `server(security)` and `client(address, port, security)` are the settings."""

    def __init__(self, server, client, securities=(None,), kinds=("tcp", "tls", "ws", "ws-tls"), packets_apart=False):
        self.server, self.client = server, client
        self.securities, self.kinds, self.packets_apart = securities, kinds, packets_apart


def vnext(host, port, **user):
    return {"vnext": [{"address": host, "port": port, "users": [{"id": UUID} | user]}]}


PROTOCOLS = {
    "vless": Protocol(
        server=lambda _: {"clients": [{"id": UUID, "email": "peer@example"}], "decryption": "none"},
        client=lambda host, port, _: vnext(host, port, encryption="none")),
    "trojan": Protocol(
        server=lambda _: {"clients": [{"password": PASSWORD, "email": "peer@example"}]},
        client=lambda host, port, _: {"servers": [{"address": host, "port": port, "password": PASSWORD}]},
        kinds=("tls", "tcp", "ws", "ws-tls")),
    "vmess": Protocol(
        server=lambda _: {"clients": [{"id": UUID, "email": "peer@example", "alterId": 0}]},
        client=lambda host, port, security: vnext(host, port, alterId=0, security=security),
        securities=("aes-128-gcm", "chacha20-poly1305", "none", "zero", "auto")),
    "shadowsocks": Protocol(
        server=lambda method: {"method": method, "password": "correct horse", "network": "tcp,udp"},
        client=lambda host, port, method: {"servers": [{"address": host, "port": port, "method": method,
                                                        "password": "correct horse"}]},
        securities=("aes-256-gcm", "aes-128-gcm", "chacha20-ietf-poly1305"), packets_apart=True),
}


def proxy_server(protocol, port, kind, host=HOST, security=None, settings=(), **extra):
    """A server's whole configuration: `settings` are further ones, `extra` is for stream()."""
    inbound = {"tag": "in", "listen": host, "port": port, "protocol": protocol,
               "settings": PROTOCOLS[protocol].server(security) | dict(settings),
               "streamSettings": stream(kind, "server", **extra)}
    return {"log": {"loglevel": "warning"}, "inbounds": [inbound], "outbounds": [{"tag": "direct", "protocol": "freedom"}]}


def proxy_client(protocol, port, kind, host=HOST, security=None, **extra):
    """The outbound that leads to proxy_server()."""
    return {"tag": "out", "protocol": protocol, "streamSettings": stream(kind, "client", **extra),
            "settings": PROTOCOLS[protocol].client(host, port, security)}


def start_pair(stage, makers, protocol, kind, inbounds, host=HOST, security=None, server_extra=(), **client_extra):
    """Client and server of two makers; `inbounds` are the client's."""
    port = free_port(host)
    server = proxy_server(protocol, port, kind, host, security, **dict(server_extra))
    stage.server = stage.start(makers[1], server, [port], "server", host)
    outbound = proxy_client(protocol, port, kind, host, security, **client_extra)
    stage.client = stage.start(makers[0], client(inbounds, outbound), [i["port"] for i in inbounds], "client", host)


def vless_server(port, kind, host=HOST, fallbacks=None, **extra):
    return proxy_server("vless", port, kind, host, settings={"fallbacks": fallbacks} if fallbacks else {}, **extra)


def vless_out(port, kind, host=HOST, uuid=UUID, **extra):
    out = proxy_client("vless", port, kind, host, **extra)
    out["settings"]["vnext"][0]["users"][0]["id"] = uuid
    return out


def proxy_out(protocol, port, user=None):
    server = {"address": HOST, "port": port}
    if user:
        server["users"] = [{"user": user[0], "pass": user[1]}]
    return {"tag": "out", "protocol": protocol, "settings": {"servers": [server]}}


def listener(protocol, port, host=HOST, /, **settings):
    if protocol == "dokodemo-door":
        settings.setdefault("network", "tcp")
    return {"tag": f"{protocol}-{port}", "listen": host, "port": port, "protocol": protocol, "settings": settings}


def client(inbounds, outbound):
    return {"log": {"loglevel": "warning"}, "inbounds": inbounds, "outbounds": [outbound]}


# --- origins ---


class Origin:
    """An HTTP/1.1 origin with files; PUT answers the SHA-256 of its body."""

    def __init__(self, folder, host=HOST):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                origin.seen.append((self.path, dict(self.headers)))
                path = folder / self.path.strip("/")
                if not path.is_file():
                    return self.reply(404, b"not here")
                with open(path, "rb") as file:
                    self.send_response(200)
                    self.send_header("Content-Length", str(path.stat().st_size))
                    self.end_headers()
                    self.wfile.flush()
                    self.connection.sendfile(file)

            def do_PUT(self):
                digest = hashlib.sha256()
                left = int(self.headers["Content-Length"])
                while left:
                    piece = self.rfile.read(min(left, 1 << 20))
                    if not piece:
                        return
                    digest.update(piece)
                    left -= len(piece)
                self.reply(200, digest.hexdigest().encode())

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            def handle(self):
                with contextlib.suppress(ConnectionError):
                    super().handle()

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 512

        self.seen = []
        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class RawServer:
    """Calls `serve(socket)` in a thread for each connection."""

    def __init__(self, serve, host=HOST):
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(serve,), daemon=True).start()

    def _accept(self, serve):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._run, args=(serve, connection), daemon=True).start()

    @staticmethod
    def _run(serve, connection):
        with contextlib.suppress(OSError), connection:
            serve(connection)

    def stop(self):
        self.listener.close()


# --- clients ---


def curl(*arguments, seconds=120):
    """Runs curl; returns its result with .stdout as bytes."""
    require_program("curl")
    return subprocess.run(["curl", "-sS", "--noproxy", "", "--max-time", str(seconds), *arguments], capture_output=True)


def fetch_sha256(url, *arguments, seconds=120):
    require_program("curl")
    process = subprocess.Popen(["curl", "-sS", "--noproxy", "", "--max-time", str(seconds), *arguments, url],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    digest = hashlib.sha256()
    while piece := process.stdout.read(1 << 20):
        digest.update(piece)
    error = process.stderr.read().decode()
    assert process.wait() == 0, error
    return digest.hexdigest()


def transfer(socks, origin, files, hashes, name=None, patient=False):
    """A file down and up through a SOCKS5 port, whole. `patient`: up only when the origin has said that it may come."""
    name = name or FILE
    at_once = [] if patient else ["-H", "Expect:"]
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    url = f"http://{HOST}:{origin.port}"
    assert fetch_sha256(f"{url}/{name}", *proxy) == hashes[name]
    result = curl(*proxy, "-T", str(files / name), f"{url}/up", *at_once)
    assert result.stdout.decode() == hashes[name], result.stderr


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SIGHUP, SIGTERM = signal.SIGHUP, signal.SIGTERM
