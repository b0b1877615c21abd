"""The ways that ESP goes between two esp_tunnel: streams, proxy chains, paths with a small MTU, several threads."""
import json
import re
import shutil
import subprocess
import time

import pytest

from harness import BIN, Running, client, require, require_program, vless_out, vless_server
from spaces import running, sh, two_spaces

INNER = ("10.10.0.1/24", "10.10.0.2/24")


def wait_for(what, seconds=10):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def transfer(near, far, *arguments, size="30M", to="10.10.0.2"):
    require(shutil.which("iperf3"), "iperf3 is not installed")
    server = subprocess.Popen([*far.inside, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    far.wait_listening(5201)
    near.run("iperf3", "-c", to, "-n", size, *arguments)
    server.wait(10)


def counts(log, name):
    return sum(int(n) for n in re.findall(name + r":? (\d+)", log))


def test_tcp(spaces, tmp_path):
    near, far = two_spaces(spaces)

    def start_far(log):
        return far.tunnel(tmp_path, log, "gcm-256", True, "--tcp", "--local", "192.0.2.2:4500", "--address", INNER[1])

    # Without a replay window, because the second far end begins its numbers again.
    a = near.tunnel(tmp_path, "near.log", "gcm-256", False, "--tcp", "--peer", "192.0.2.2:4500", "--address", INNER[0],
                    "--replay-window", "0")
    with running(a):
        b = start_far("far.log")
        with running(b):
            wait_for(lambda: "ESTAB" in near.run("ss", "-Htn", "dport = :4500"))
            near.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "10.10.0.2")
            transfer(near, far)
            transfer(near, far, "-R")
        # It goes away, and another one takes its place.
        c = start_far("again.log")
        with running(c):
            wait_for(lambda: "ESTAB" in near.run("ss", "-Htn", "dport = :4500"))
            near.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "10.10.0.2")
    assert "esp_tunnel: the stream" in a.log
    assert "dropped, " not in a.log + b.log + c.log


@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
@pytest.mark.parametrize("maker", ["winze", "v2ray"])
def test_through_a_proxy_chain(spaces, tmp_path, maker, kind):
    """near: ESP in TCP in VLESS (in WebSocket in TLS) --> server of either make --> ESP in TCP: far."""
    near, far = two_spaces(spaces)
    config = tmp_path / "server.json"
    config.write_text(json.dumps(vless_server(8443, kind, "192.0.2.2")))
    if maker == "v2ray":
        require_program("v2ray")
    program = [str(BIN / "winze"), "run", "-c"] if maker == "winze" else ["v2ray", "-config"]
    server = Running([*far.inside, *program, str(config)], tmp_path / "server.log")
    chain = tmp_path / "chain.json"
    chain.write_text(json.dumps(client([], vless_out(8443, kind, "192.0.2.2"))))
    with running(server):
        far.wait_listening(8443)
        b = far.tunnel(tmp_path, "far.log", "gcm-256", True, "--tcp", "--local", "127.0.0.1:4500", "--address", INNER[1])
        a = near.tunnel(tmp_path, "near.log", "gcm-256", False, "--chain", str(chain), "--peer", "127.0.0.1:4500",
                        "--address", INNER[0])
        with running(a, b):
            near.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "10.10.0.2")
            transfer(near, far)
            transfer(near, far, "-R")
    assert "dropped, " not in a.log + b.log, a.log + b.log


def three_spaces(make, mtu):
    """near 192.0.2.1 -- router, whose far side takes only `mtu` -- 198.51.100.2 far."""
    near, router, far = make("near"), make("router"), make("far")
    for a, b, net, size in ((near, router, "192.0.2", 1500), (router, far, "198.51.100", mtu)):
        name = "left" if a is near else "right"
        sh("ip", "link", "add", name, "netns", a.name, "type", "veth", "peer", "name", name, "netns", b.name)
        for space, number in ((a, 1), (b, 2)):
            space.ip("addr", "add", f"{net}.{number}/24", "dev", name)
            space.ip("link", "set", name, "mtu", str(size), "up")
    near.ip("route", "add", "default", "via", "192.0.2.2")
    far.ip("route", "add", "default", "via", "198.51.100.1")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    return near, router, far


FORGE = """
from scapy.all import ICMP, IP, UDP, Raw, send
import sys
for spi in sys.argv[1:]:
    quoted = IP(src="192.0.2.1", dst="198.51.100.2", proto=17) / UDP(sport=4500, dport=4500, len=1400, chksum=0) / Raw(bytes.fromhex(spi) + b"\\0\\0\\0\\1")
    send(IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=600) / quoted, verbose=False)
"""


def test_path_mtu(spaces, tmp_path):
    near, router, far = three_spaces(spaces, 1300)
    a = near.tunnel(tmp_path, "near.log", "gcm-256", False, "--local", "192.0.2.1:4500", "--peer", "198.51.100.2:4500",
                    "--address", INNER[0])
    b = far.tunnel(tmp_path, "far.log", "gcm-256", True, "--local", "198.51.100.2:4500", "--peer", "192.0.2.1:4500",
                   "--mtu", "1300", "--address", INNER[1])
    with running(a, b):
        # Forged words about SAs that are not ours, before the path has said anything.
        router.run("/usr/bin/python3", "-c", FORGE, "00001003", "00000000")
        near.run("ping", "-c", "2", "-i", "0.2", "-M", "do", "-s", "1100", "-W", "5", "10.10.0.2")
        # The first is lost on the way, and the router's word reaches the sender inside by the next one.
        said = near.run("ping", "-c", "4", "-i", "0.3", "-M", "do", "-s", "1400", "-W", "1", "10.10.0.2", check=False)
        told = re.search(r"mtu ?= ?(\d+)", said)
        assert told, said
        mtu = int(told[1])
        assert 1220 <= mtu <= 1260
        near.run("ping", "-c", "1", "-M", "do", "-s", str(mtu - 28), "-W", "5", "10.10.0.2")
        transfer(near, far)
        transfer(near, far, "-R")
    assert counts(a.log, "path MTU learnt") >= 1 and counts(a.log, "and refused") == 2, a.log
    assert "dropped, bad_icv" not in b.log


def test_path_with_less_than_ipv6_needs(spaces, tmp_path):
    """1280 bytes of IPv6 pass a path that takes less than them and ESP: their outer packets are cut on the way."""
    near, router, far = three_spaces(spaces, 1280)
    ends = [(f"fd00::{n}/64", own, other) for n, own, other in ((1, "192.0.2.1", "198.51.100.2"), (2, "198.51.100.2", "192.0.2.1"))]
    a, b = (space.tunnel(tmp_path, f"{n}.log", "gcm-256", n == 1, "--local", f"{own}:4500", "--peer", f"{other}:4500", "--address", inner)
            for n, (space, (inner, own, other)) in enumerate(zip((near, far), ends)))
    with running(a, b):
        # What is lost on the way first teaches both ends.
        near.run("ping", "-6", "-c", "4", "-i", "0.3", "-s", "1232", "-W", "1", "fd00::2", check=False)
        near.run("ping", "-6", "-c", "2", "-i", "0.3", "-s", "1232", "-W", "5", "fd00::2")
        transfer(near, far, to="fd00::2")
        transfer(near, far, "-R", to="fd00::2")
    assert counts(a.log, "path MTU learnt") >= 1 and counts(b.log, "path MTU learnt") >= 1, a.log + b.log
    assert "dropped, bad_icv" not in a.log + b.log


def test_threads(spaces, tmp_path):
    near, far = two_spaces(spaces)
    keys = {end: ",".join(bytes(range(first + 32 * i, first + 32 * i + 36)).hex() for i in range(2))
            for end, first in (("near", 0x10), ("far", 0x80))}

    def start(space, log, out, back, out_key, in_key, number):
        return space.start_tunnel(
            [*space.inside, str(BIN / "esp_tunnel"), "--threads", "2", "--interface", "tun", "--out-spi",
             str(out), "--in-spi", str(back), "--out-key", out_key, "--in-key", in_key, "--local", f"192.0.2.{number}:4500",
             "--peer", f"192.0.2.{3 - number}:4500", "--address", INNER[number - 1], "--route", f"10.20.{3 - number}.0/24"],
            tmp_path / log)

    a = start(near, "near.log", 0x1000, 0x2000, keys["near"], keys["far"], 1)
    b = start(far, "far.log", 0x2000, 0x1000, keys["far"], keys["near"], 2)
    with running(a, b):
        far.ip("addr", "add", "10.20.2.1/32", "dev", "lo")
        near.run("ping", "-c", "2", "-i", "0.1", "-W", "5", "-I", "10.10.0.1", "10.20.2.1")
        transfer(near, far, "-P", "16", size="100M")  # so many that one thread does not have them all by chance
        transfer(near, far, "-P", "16", "-R", size="100M")
        wait_for(lambda: "Mbit/s" in a.log)
    for log in (a.log, b.log):
        assert "dropped, " not in log, log
        for thread in ("thread 0", "thread 1"):
            out, into = re.search(thread + r": out: (\d+) packets, \d+ bytes; in: (\d+) packets", log).groups()
            assert int(out) > 1000 and int(into) > 1000, log


UDP_RUN = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7000))
s.setsockopt(17, 103, 1000)  # UDP_SEGMENT: one call, many datagrams
for i in range(20):
    s.send(b''.join(bytes([i, j]) * 500 for j in range(30)) + b'the last one is short')
"""
UDP_SINK = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(('::', 7000))
s.settimeout(10)
print('ready', flush=True)
got = []
try:
    while len(got) < 620: got.append(s.recv(65535))
except TimeoutError: pass
want = {bytes([i, j]) * 500 for i in range(20) for j in range(30)}
print(len(got), len(want & set(got)), got.count(b'the last one is short'))
"""


@pytest.mark.parametrize("to", ["10.10.0.2", "fd00::2"])
def test_runs_of_udp(spaces, tmp_path, to):
    """Datagrams that the kernel hands over by the run (TUN_F_USO4, TUN_F_USO6) arrive one by one."""
    near, far = two_spaces(spaces)
    ends = [("--address", INNER[0], "--address", "fd00::1/64"), ("--address", INNER[1], "--address", "fd00::2/64")]
    a = near.tunnel(tmp_path, "near.log", "gcm-256", False, "--local", "192.0.2.1:4500", "--peer", "192.0.2.2:4500", *ends[0])
    b = far.tunnel(tmp_path, "far.log", "gcm-256", True, "--local", "192.0.2.2:4500", "--peer", "192.0.2.1:4500", *ends[1])
    with running(a, b):
        near.run("ping", "-c", "1", "-W", "5", to)
        sink = subprocess.Popen([*far.inside, "python3", "-c", UDP_SINK], stdout=subprocess.PIPE, text=True)
        assert sink.stdout.readline() == "ready\n"
        near.run("python3", "-c", UDP_RUN, to)
        assert sink.communicate(timeout=20)[0].split() == ["620", "600", "20"]
    assert "dropped, " not in a.log + b.log
