"""Two sites for IKE: winze near, strongSwan far, joined by a wire; and traffic between the networks behind them.

    10.1.0.1, fd01::1 (near) -- wire 192.0.2.1, 2001:db8::1 -- 192.0.2.2, 2001:db8::2 -- (far) 10.2.0.1, fd02::1
"""
import contextlib
import pathlib
import re
import signal
import sys
import time

from harness import BIN, wait_text
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


STREAM = pathlib.Path(__file__).with_name("tcp_stream.py")
STREAM_PORT = "5210"
IPERF_PORTS = "5201", "5202", "5203"  # for one after another; for TCP and for UDP all the while
TCP, UDP = ("-n", "1M"), ("-u", "-b", "8M", "-n", "200K")


def arrivals(log):
    """Intervals of an iperf3 both ways in which something came."""
    return len(re.findall(r"\[RX-[CS]\] +[\d.]+-[\d.]+ +sec +(?!0\.00 )", log))


class Ends:
    """winze in the namespace `near`, a peer in `far`, and what goes between the networks behind them."""

    def __init__(self, folder, near, far):
        self.folder, self.near, self.far = pathlib.Path(folder), near, far
        self.stack = contextlib.ExitStack()
        self.winze = None
        self.streams = None  # the server of tcp_stream.py
        self.short_lived = False  # SAs may be new ones since they last carried packets
        self.iperfs = {}  # servers by their ports

    # --- winze ---

    def start_winze(self, role, text, pki=None, *arguments, until=None):
        """`role`: client or gateway."""
        home = self.folder / f"winze-{role}"
        home.mkdir(exist_ok=True)
        if pki is not None:
            pki.copy_to(home)
        (home / "swanctl.conf").write_text(text)
        self.winze = self.near.start(self.folder / f"{role}.log", BIN / f"ipsec_{role}", "-c", home / "swanctl.conf",
                                     "--interface", "tun", *arguments)
        self.stack.callback(self.winze.stop)
        self.wait_winze(until or ("listening at" if role == "gateway" else "up with"))
        return self.winze

    def wait_winze(self, text, count=1, seconds=15):
        wait_text(self.winze, text, count, seconds)

    def address_given(self):
        """The client's virtual address, as winze tells it at either end."""
        return re.search(r", address ([0-9a-f.:]+)/(?:32|128)", self.winze.log).group(1)

    def rekey_near(self):
        self.winze.signal(signal.SIGUSR1)

    # --- traffic ---

    def ping(self, version=4, source=None, to=None, count=3, size=56, space=None):
        (space or self.near).run("ping", f"-{version}", "-c", str(count), "-i", "0.05", "-W", "5", "-s", str(size),
                                 "-I", source or INNER_NEAR[version], to or INNER_FAR[version])

    def transfer(self, version=4, source=None, to=None):
        """iperf3, TCP and UDP, both ways."""
        for kind in TCP, UDP:
            for way in (), ("-R",):
                self.iperf(version, source, to, *kind, *way)

    def iperf(self, version, source, to, *arguments):
        """One run; at least most of UDP's datagrams arrive."""
        self.serve_iperf(IPERF_PORTS[0])
        command = self.iperf_command(version, source, to, IPERF_PORTS[0], *arguments)
        deadline = time.monotonic() + 20
        while True:
            client = self.near.start(self.folder / "iperf3-client.log", *command)
            status = client.process.wait(60)
            not_yet = re.search("server is busy|Connection refused|Connection reset", client.log)
            if status == 0 or not not_yet or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert status == 0, client.log
        lost = re.search(r"\((\d+(?:\.\d+)?)%\) +receiver", client.log)
        assert lost is None or float(lost.group(1)) < 50, client.log

    @staticmethod
    def iperf_command(version, source, to, port, *arguments):
        return ("iperf3", "-c", to or INNER_FAR[version], "-p", port, "-B", source or INNER_NEAR[version], "--connect-timeout", "5000",
                "--forceflush", *arguments)

    def serve_iperf(self, port):
        if port not in self.iperfs:
            server = self.far.start(self.folder / f"iperf3-{port}.log", "iperf3", "-s", "--forceflush", "-i", "0.2", "-p", port)
            self.stack.callback(server.stop)
            self.iperfs[port] = server
            wait_text(server, "listening")

    def iperf_log(self, port):
        return self.iperfs[port].log

    @contextlib.contextmanager
    def transferring(self, version=4, source=None, to=None):
        """iperf3 as fast as it can for two seconds, and what is done meanwhile."""
        self.serve_iperf(IPERF_PORTS[0])
        command = self.iperf_command(version, source, to, IPERF_PORTS[0], "-t", "2")
        client = self.near.start(self.folder / "iperf3-client.log", *command)
        yield
        assert client.process.wait(40) == 0, client.log

    @contextlib.contextmanager
    def loading(self, version=4, source=None, to=None):
        """iperf3 all the while, TCP and UDP, both ways; behind it each of the four still arrives."""
        clients, kinds = {}, dict(zip(IPERF_PORTS[1:], ((), ("-u",))))

        def begin(port):
            command = self.iperf_command(version, source, to, port, "--bidir", "-t", "3600", "-i", "0.2", "-b", "1M", *kinds[port])
            clients[port] = self.near.start(self.folder / f"iperf3-{port}-client.log", *command)

        try:
            for port in kinds:
                self.serve_iperf(port)
                begin(port)
                wait_text(clients[port], "[RX-C]")
            yield
            for port in kinds:
                for log in lambda: clients[port].log, lambda: self.iperf_log(port):
                    before, deadline = arrivals(log()), time.monotonic() + 20
                    while arrivals(log()) < before + 3:
                        assert time.monotonic() < deadline, f"nothing arrives any more: {log()[-1500:]}"
                        if clients[port].process.poll() is not None:
                            # charon has the kernel refuse what goes out while it replaces the policies of a move, and a
                            # server of iperf3 ends of that.
                            assert "Operation not permitted" in self.iperf_log(port), clients[port].log[-1500:]
                            begin(port)
                            before = arrivals(log())
                        time.sleep(0.1)
        finally:
            for client in clients.values():
                client.signal(signal.SIGINT)
                client.process.wait(10)

    def use(self, version=4, **ends):
        self.ping(version, **ends)
        self.transfer(version, **ends)

    @contextlib.contextmanager
    def pinging(self, version=4, source=None, to=None, lost=0):
        """Pings all the while, and some answers behind it; at most so many may be lost."""
        ping = self.near.start(self.folder / "ping.log", "ping", f"-{version}", "-i", "0.02", "-W", "2", "-I",
                               source or INNER_NEAR[version], to or INNER_FAR[version])

        def answered():
            return {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", ping.log)}

        try:
            yield
            time.sleep(0.1)
            last, deadline = max(answered(), default=0), time.monotonic() + 10
            while max(answered(), default=0) < last + 5:
                assert time.monotonic() < deadline, f"no answers any more: {ping.log[-500:]}"
                time.sleep(0.05)
        finally:
            ping.signal(signal.SIGINT)
            ping.process.wait(10)
        # Those behind the last answer may still be on their way.
        missing = max(answered()) - len(answered())
        assert missing <= lost, f"{missing} of {max(answered())} pings were lost"

    @contextlib.contextmanager
    def streaming(self, version=4, source=None, to=None):
        """A TCP stream all the while, each byte of which is checked."""
        self.serve_streams()
        stream = self.near.start(self.folder / "stream.log", sys.executable, STREAM, "run", source or INNER_NEAR[version],
                                 to or INNER_FAR[version], STREAM_PORT)
        try:
            wait_text(stream, "flowing")
            yield
            stream.signal(signal.SIGINT)
            assert stream.process.wait(30) == 0, stream.log
        finally:
            stream.stop()

    def serve_streams(self):
        if self.streams is None:
            self.streams = self.far.start(self.folder / "streams.log", sys.executable, STREAM, "serve", STREAM_PORT)
            self.stack.callback(self.streams.stop)
            wait_text(self.streams, "ready")

    @contextlib.contextmanager
    def carrying(self, version=4, source=None, to=None, lost=0):
        """Pings, of which at most so many may be lost, a TCP stream, and iperf3, all the while."""
        with self.loading(version, source, to), self.streaming(version, source, to), self.pinging(version, source, to, lost):
            yield


class Sites(Ends, contextlib.AbstractContextManager):
    """Both in namespaces of their own, and strongSwan as the peer: this machine's, or that of another root."""

    def __init__(self, name, folder, root=None):
        stack = contextlib.ExitStack()
        spaces = []
        for end in "nf":
            spaces.append(Space(f"{name}-{end}"))
            stack.callback(spaces[-1].close)
        folder = pathlib.Path(folder) / name
        folder.mkdir()
        super().__init__(folder, *spaces)
        self.stack = stack
        self.join(self.near, self.far, "wire")
        for space, addresses in ((self.near, INNER_NEAR), (self.far, INNER_FAR)):
            space.ip("addr", "add", addresses[4] + "/24", "dev", "lo")
            space.ip("addr", "add", addresses[6] + "/64", "dev", "lo", "nodad")
        self.swan = None
        self.root = root

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

    def start_swan(self, text, pki=None, **options):
        self.swan = StrongSwan(self.far, self.folder, text, pki, root=self.root, **options)
        self.stack.callback(self.swan.stop)
        return self.swan


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
