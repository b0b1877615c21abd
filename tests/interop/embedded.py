"""A program that embeds a node with one user, alice (users_host.cc), and the ways in which she comes to it."""
import base64
import dataclasses
import json
import re
import subprocess
import time

from harness import (BIN, HOST, PASSWORD, PROTOCOLS, TLS, UUID, client, free_port, listener, proxy_client, require_maker,
                     stream, wait_port)

MIB = 1 << 20
FREEDOM = {"tag": "direct", "protocol": "freedom"}
ACCOUNT = ("alice", PASSWORD)
METHOD = "2022-blake3-aes-128-gcm"
SERVER_KEY, USER_KEY = (base64.b64encode(bytes([n]) * 16).decode() for n in (1, 2))
FLOW = "xtls-rprx-vision"


@dataclasses.dataclass(frozen=True)
class Way:
    """By which client alice comes to an inbound; without one curl speaks its protocol itself."""
    protocol: str
    maker: str = ""
    credential: str = PASSWORD
    flow: str = ""

    @property
    def kind(self):
        return "tls" if self.flow else "tcp"


WAYS = {"socks": Way("socks"), "vless": Way("vless", "v2ray", UUID), "vmess": Way("vmess", "v2ray", UUID),
        "trojan": Way("trojan", "v2ray"), "shadowsocks": Way("shadowsocks", "xray", USER_KEY),
        "vision-xray": Way("vless", "xray", UUID, FLOW), "vision-winze": Way("vless", "winze", UUID, FLOW)}


def server(way, port, **terms):
    """A server whose one user has these terms."""
    protocol = way.protocol
    if protocol in ("socks", "http"):
        settings = {"accounts": [{"user": ACCOUNT[0], "pass": ACCOUNT[1]} | terms]}
        settings |= {"auth": "password", "udp": True, "ip": HOST} if protocol == "socks" else {}
    elif protocol == "shadowsocks":
        settings = {"method": METHOD, "password": SERVER_KEY, "network": "tcp,udp",
                    "clients": [{"password": USER_KEY, "email": "alice"} | terms]}
    else:
        settings = PROTOCOLS[protocol].server(PROTOCOLS[protocol].securities[0])
        settings["clients"][0] |= {"email": "alice"} | ({"flow": way.flow} if way.flow else {}) | terms
    inbound = {"tag": "in", "listen": HOST, "port": port, "protocol": protocol, "settings": settings}
    if way.kind != "tcp":
        inbound["streamSettings"] = stream(way.kind, "server")
    return client([inbound], FREEDOM)


def start_client(stage, way, port, **mux):
    """Returns the port of its SOCKS inbound."""
    require_maker(way.maker)
    near = free_port()
    if way.protocol == "shadowsocks":
        one = {"address": HOST, "port": port, "method": METHOD, "password": f"{SERVER_KEY}:{USER_KEY}"}
        outbound = {"tag": "out", "protocol": way.protocol, "settings": {"servers": [one]}}
    else:
        outbound = proxy_client(way.protocol, port, way.kind, security=PROTOCOLS[way.protocol].securities[0])
    if way.flow:
        outbound["settings"]["vnext"][0]["users"][0]["flow"] = way.flow
    if mux:
        outbound["mux"] = {"enabled": True} | mux
    stage.start(way.maker, client([listener("socks", near, auth="noauth", udp=True, ip=HOST)], outbound), [near], "client")
    return near


def reach(stage, way, port, **mux):
    """What curl takes to come to the server as alice."""
    if not way.maker:
        return ["-x", f"{'socks5h' if way.protocol == 'socks' else 'http'}://alice:correct%20horse@{HOST}:{port}"]
    # For Vision curl knows the web server's address (see Target).
    return ["-x", f"{'socks5' if way.flow else 'socks5h'}://{HOST}:{start_client(stage, way, port, **mux)}"]


class Target:
    """The files, as curl asks for them: of the origin, or for Vision of a web server within TLS 1.3."""

    def __init__(self, origin, web):
        self.plain, self.web = f"http://{HOST}:{origin.port}", web

    def __call__(self, way, name):
        if not way.flow:
            return [f"{self.plain}/{name}"]
        port = self.web.https
        return ["--cacert", str(TLS / "root.pem"), "--resolve", f"a.test:{port}:{HOST}", f"https://a.test:{port}/{name}"]


class Host:
    """The program."""

    def __init__(self, folder, config, port, threads=1):
        self.path = folder / f"host{port}.json"
        self.path.write_text(json.dumps(config))
        self.process = subprocess.Popen([BIN / "users_host", self.path, str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n"
        wait_port(port)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def statistics(self):
        return json.loads(self.ask("statistics"))

    def user(self):
        return self.statistics()["users"][0]

    def add(self, way):
        assert self.ask(f"add in alice {way.credential}") == "ok"

    def connections(self):
        return self.statistics()["inbounds"][0]["connections"]

    def settle(self, condition, seconds=10.0):
        """Waits until the statistics are so, and returns them."""
        deadline = time.monotonic() + seconds
        while True:
            statistics = self.statistics()
            if condition(statistics):
                return statistics
            assert time.monotonic() < deadline, statistics
            time.sleep(0.02)

    def log(self):
        return self.path.with_suffix(".json.access").read_text()

    def wait_log(self, *texts, seconds=10):
        """Until the log has them all, as they are with or without quotes."""
        deadline = time.monotonic() + seconds
        while not all(text in self.log().replace('"', "") for text in texts):
            assert time.monotonic() < deadline, (texts, self.log())
            time.sleep(0.02)

    def check_rate(self, direction, rate, seconds=2, tries=4):
        """What passes is never much more than the rate, and about as much unless the machine is busy."""
        passed = 0
        while passed <= 0.9 * rate:
            assert tries > 0, (passed, rate)
            tries -= 1
            before, begun = self.user()[direction], time.monotonic()
            time.sleep(seconds)
            passed = (self.user()[direction] - before) / (time.monotonic() - begun)
            assert passed < 1.1 * rate

    def spliced(self):
        """Bytes that the kernel moved, of the largest record."""
        return max(map(int, re.findall(r" spliced=(\d+)", self.log())), default=0)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


def best_of(measure, limit, tries=5):
    """One of several measurements is within the limit: a busy machine may take longer in some."""
    taken = []
    while not taken or taken[-1] >= limit:
        assert len(taken) < tries, taken
        taken.append(measure())


def background(arguments, target, rate="20M"):
    """A download that lasts."""
    return subprocess.Popen(["curl", "-sS", "--limit-rate", rate, "-o", "/dev/null", *arguments, *target],
                            stderr=subprocess.PIPE)
