"""Two sites for IKE: winze near, strongSwan far, joined by a wire; and traffic between the networks behind them.

    10.1.0.1, fd01::1 (near) -- wire 192.0.2.1, 2001:db8::1 -- 192.0.2.2, 2001:db8::2 -- (far) 10.2.0.1, fd02::1
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

from harness import BIN, Running
from spaces import Space, sh
from strongswan import StrongSwan

NEAR = {4: "192.0.2.1", 6: "2001:db8::1"}
FAR = {4: "192.0.2.2", 6: "2001:db8::2"}
INNER_NEAR = {4: "10.1.0.1", 6: "fd01::1"}
INNER_FAR = {4: "10.2.0.1", 6: "fd02::1"}
NETS = {4: ("10.1.0.0/24", "10.2.0.0/24"), 6: ("fd01::/64", "fd02::/64")}


def block(name, values):
    """A section of swanctl.conf from a dict; nested dicts are sections."""
    lines = [f"{name} {{"]
    for key, value in values.items():
        lines.append(block(key, value) if isinstance(value, dict) else f"{key} = {value}")
    return "\n".join([*lines, "}"])


def config(connections, **others):
    return "\n".join([block("connections", connections), *(block(name, values) for name, values in others.items())]) + "\n"


def merge(base, *more):
    """Dicts laid over each other, at every depth; None takes a key away."""
    out = dict(base)
    for layer in more:
        for key, value in layer.items():
            if isinstance(value, dict) and isinstance(out.get(key), dict):
                out[key] = merge(out[key], value)
            elif value is None:
                out.pop(key, None)
            else:
                out[key] = value
    return out


class Sites(contextlib.AbstractContextManager):
    def __init__(self, name, folder):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.stack = contextlib.ExitStack()
        self.near, self.far = self.space(f"{name}-n"), self.space(f"{name}-f")
        self.join(self.near, self.far, "wire")
        for space, addresses in ((self.near, INNER_NEAR), (self.far, INNER_FAR)):
            space.ip("addr", "add", addresses[4] + "/24", "dev", "lo")
            space.ip("addr", "add", addresses[6] + "/64", "dev", "lo", "nodad")
        self.winze = self.swan = None

    def space(self, name):
        space = Space(name)
        self.stack.callback(space.close)
        return space

    @staticmethod
    def join(a, b, name):
        sh("ip", "link", "add", name, "netns", a.name, "type", "veth", "peer", "name", name, "netns", b.name)
        for space, number in ((a, 1), (b, 2)):
            space.run("sysctl", "-qw", f"net.ipv4.conf.{name}.promote_secondaries=1")
            space.ip("addr", "add", f"192.0.2.{number}/24", "dev", name)
            space.ip("addr", "add", f"2001:db8::{number}/64", "dev", name, "nodad")
            space.ip("link", "set", name, "up")

    def __exit__(self, *error):
        if error[0] is not None:
            print(f"--- {self.folder.name}")
            if self.winze:
                print(self.winze.log[-4000:])
            if self.swan:
                print(self.swan.log[-6000:])
        self.stack.close()

    # --- the ends ---

    def start_swan(self, text, pki=None, **options):
        self.swan = StrongSwan(self.far, self.folder, text, pki, **options)
        self.stack.callback(self.swan.stop)
        return self.swan

    def start_winze(self, role, text, pki=None, *arguments):
        """`role`: client or gateway."""
        home = self.folder / f"winze-{role}"
        home.mkdir(exist_ok=True)
        if pki is not None:
            pki.copy_to(home)
        (home / "swanctl.conf").write_text(text)
        self.winze = Running(["ip", "netns", "exec", self.near.name, str(BIN / f"ipsec_{role}"), "-c", str(home / "swanctl.conf"),
                              "--interface", "tun", *arguments], self.folder / f"{role}.log")
        self.stack.callback(self.winze.stop)
        self.wait_winze("listening at" if role == "gateway" else "up with")
        return self.winze

    def wait_winze(self, text, count=1, seconds=15):
        deadline = time.monotonic() + seconds
        while self.winze.log.count(text) < count:
            assert self.winze.process.poll() is None, f"ended: {self.winze.log}"
            assert time.monotonic() < deadline, f"no {text!r}: {self.winze.log}"
            time.sleep(0.03)

    def rekey_near(self):
        self.winze.signal(signal.SIGUSR1)

    # --- traffic ---

    def ping(self, version=4, source=None, to=None, count=3, size=56, space=None):
        (space or self.near).run("ping", f"-{version}", "-c", str(count), "-i", "0.05", "-W", "5", "-s", str(size),
                                 "-I", source or INNER_NEAR[version], to or INNER_FAR[version])

    def transfer(self, version=4, source=None, to=None, amount=("-n", "3M")):
        with self.transferring(version, source, to, amount):
            pass

    @contextlib.contextmanager
    def transferring(self, version=4, source=None, to=None, amount=("-t", "3")):
        """iperf3 all the while."""
        server = Running(["ip", "netns", "exec", self.far.name, "iperf3", "-s", "-1", "--forceflush", "-p", "5201"], self.folder / "iperf3.log")
        try:
            deadline = time.monotonic() + 5
            while "listening" not in server.log and time.monotonic() < deadline:
                time.sleep(0.02)
            command = ["iperf3", "-c", to or INNER_FAR[version], "-B", source or INNER_NEAR[version], *amount, "--connect-timeout", "5000"]
            client = Running(["ip", "netns", "exec", self.near.name, *command], self.folder / "iperf3-client.log")
            yield
            assert client.process.wait(40) == 0, client.log
        finally:
            server.stop()

    def use(self, version=4, **ends):
        self.ping(version, **ends)
        self.transfer(version, **ends)

    @contextlib.contextmanager
    def pinging(self, version=4, source=None, to=None, lost=0):
        """Pings all the while; at most so many may be lost."""
        log = self.folder / "ping.log"
        ping = Running(["ip", "netns", "exec", self.near.name, "ping", f"-{version}", "-i", "0.02", "-W", "2", "-I",
                        source or INNER_NEAR[version], to or INNER_FAR[version]], log)
        try:
            yield
            time.sleep(0.3)
        finally:
            ping.signal(signal.SIGINT)
            ping.process.wait(10)
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", ping.log).groups())
        # The last one may still be on its way.
        assert sent > 5 and sent - received <= lost + 1, f"{sent - received} of {sent} pings were lost"


PSK = {"ike-1": {"id-a": "a.test", "id-b": "b.test", "secret": '"test-psk-ikev2"'}}


def near_connection(family=4, **more):
    """winze's side, as initiator: identity a.test."""
    return merge({"version": 2, "local_addrs": NEAR[family], "remote_addrs": FAR[family], "proposals": "aes256gcm16-prfsha256-x25519",
                  "local": {"auth": "psk", "id": "a.test"}, "remote": {"auth": "psk", "id": "b.test"},
                  "children": {"net": {"local_ts": NETS[4][0], "remote_ts": NETS[4][1], "esp_proposals": "aes256gcm16-x25519",
                                       "start_action": "none"}}}, more)


def far_connection(family=4, **more):
    """strongSwan's side: identity b.test."""
    return merge({"version": 2, "local_addrs": FAR[family], "remote_addrs": NEAR[family], "proposals": "aes256gcm16-prfsha256-x25519",
                  "local": {"auth": "psk", "id": "b.test"}, "remote": {"auth": "psk", "id": "a.test"},
                  "children": {"net": {"local_ts": NETS[4][1], "remote_ts": NETS[4][0], "esp_proposals": "aes256gcm16-x25519"}}}, more)
