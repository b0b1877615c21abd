"""ESP in UDP between namespaces, and with a Linux kernel as the other end."""
import contextlib
import os
import shutil
import subprocess
import time

import pytest

from harness import SIGTERM, require
from linux_guest import LinuxGuest
from spaces import FAR, NEAR, SUITES, Space, keys, two_spaces

@pytest.fixture
def spaces():
    require(os.geteuid() == 0, "not root: no namespaces and no TUN interfaces")
    require(os.path.exists("/dev/net/tun"), "there is no /dev/net/tun")
    made = []

    def make(name):
        made.append(Space(name))
        return made[-1]

    yield make
    for space in made:
        space.close()


@contextlib.contextmanager
def running(*processes):
    try:
        yield
    finally:
        for process in processes:
            process.signal(SIGTERM)
            process.stop()


def inner_addresses(space, number):
    space.ip("addr", "add", f"10.10.0.{number}/24", "dev", "tun")
    space.ip("addr", "add", f"fd00::{number}/64", "dev", "tun", "nodad")


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("extra", [[], ["--esn"], ["--no-offload"]], ids=["plain", "esn", "no-offload"])
def test_winze_and_winze(spaces, tmp_path, outer, extra):
    require(shutil.which("iperf3"), "iperf3 is not installed")
    near, far = two_spaces(spaces, outer == 6)
    local, peer = ("[2001:db8::1]:4500", "[2001:db8::2]:4500") if outer == 6 else ("192.0.2.1:4500", "192.0.2.2:4500")
    a = near.tunnel(tmp_path, "near.log", "gcm-256", False, "--local", local, "--peer", peer, *extra)
    # The far end learns its peer.
    b = far.tunnel(tmp_path, "far.log", "gcm-256", True, "--local", "[::]:4500", *extra)
    with running(a, b):
        inner_addresses(near, 1)
        inner_addresses(far, 2)
        for address in ("10.10.0.2", "fd00::2"):
            near.run("ping", "-c", "3", "-i", "0.1", "-W", "5", address)
        # The longest packet that fits, and not a fragment more.
        mtu = int(a.log.split("inner MTU ")[1].split()[0])
        near.run("ping", "-c", "1", "-M", "do", "-s", str(mtu - 28), "-W", "5", "10.10.0.2")
        server = subprocess.Popen(["ip", "netns", "exec", far.name, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        near.run("iperf3", "-c", "10.10.0.2", "-n", "50M")
        near.run("true")
        server.wait(10)
    for process in (a, b):
        assert "dropped, " not in process.log, process.log
        assert "not ESP 0, " in process.log


def test_strangers_are_counted(spaces, tmp_path):
    near, far = two_spaces(spaces)
    a = near.tunnel(tmp_path, "near.log", "gcm-128", False, "--local", "192.0.2.1:4500")
    send = "import socket,sys; s=socket.socket(2,2); [s.sendto(bytes.fromhex(x),('192.0.2.1',4500)) for x in sys.argv[1:]]"
    with running(a):
        # A keepalive, IKE, another SPI, a forged packet of our SPI, and three bytes.
        far.run("python3", "-c", send, "ff", "00000000" + "11" * 28, "00002222" + "00" * 40, "0000100200000001" + "00" * 40, "010203")
        time.sleep(0.3)
    assert "not ESP 2, " in a.log and "dropped, unknown_spi: 1" in a.log, a.log
    assert "dropped, bad_icv: 1" in a.log and "no peer yet" in a.log


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A namespace with a guest behind its interface tap0: 192.0.2.1 here, 192.0.2.2 there."""
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    space = Space("kernel")
    guest = None
    try:
        guest = LinuxGuest(tmp_path_factory.mktemp("guest"), space.name, "tap0")
        space.ip("addr", "add", "192.0.2.1/24", "dev", "tap0")
        # The kernel takes ESP in UDP only through a socket that asks for it, and which passes the policies itself.
        guest.run("set -e; for m in ipv6 esp4 esp6 xfrm_user; do modprobe $m; done\n"
                  "ip addr add 192.0.2.2/24 dev vec0; ip addr add 10.10.2.2/32 dev lo; ip addr add fd00:2::2/128 dev lo nodad\n"
                  "ip route add 10.10.1.0/24 via 192.0.2.1; ip -6 route add fd00:1::/64 dev vec0")
        guest.start("exec python3 -c '\n"
                    "import socket, struct, time\n"
                    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "for d in (0, 1):\n"
                    "    s.setsockopt(0, 17, struct.pack(\"=40xH14x64x32xIIBBBB4x\", socket.AF_INET, 0, 0, d, 0, 0, 0))\n"
                    "s.setsockopt(17, 100, 2)\n"
                    "s.bind((\"0.0.0.0\", 4500))\n"
                    "open(\"/ctl/encap\", \"w\").close()\n"
                    "while True: s.recv(65535)\n'")
        guest._wait(guest.folder / "encap", 20)
        yield space, guest
    finally:
        if guest:
            guest.stop()
        space.close()


@pytest.mark.parametrize("esn", [False, True], ids=["", "esn"])
@pytest.mark.parametrize("suite", SUITES)
def test_linux_kernel(kernel, tmp_path, suite, esn):
    space, guest = kernel
    flags = "flag af-unspec esn replay-window 128" if esn else "flag af-unspec replay-window 64"
    commands = ["ip xfrm state flush; ip xfrm policy flush; set -e"]
    for source, destination, spi, first in (("192.0.2.1", "192.0.2.2", NEAR, 0x01), ("192.0.2.2", "192.0.2.1", FAR, 0x81)):
        key, auth = (f"0x{k}" for k in keys(first, suite))
        algorithm = SUITES[suite][4].format(key=key, auth=auth)
        commands.append(f"ip xfrm state add src {source} dst {destination} proto esp spi {spi} reqid 1 mode tunnel {flags} "
                        f"{algorithm} encap espinudp 4500 4500 0.0.0.0")
    for here, there in (("10.10.2.0/24", "10.10.1.0/24"), ("fd00:2::/64", "fd00:1::/64")):
        template = "proto esp reqid 1 mode tunnel"
        commands.append(f"ip xfrm policy add src {here} dst {there} dir out tmpl src 192.0.2.2 dst 192.0.2.1 {template}")
        commands.append(f"ip xfrm policy add src {there} dst {here} dir in tmpl src 192.0.2.1 dst 192.0.2.2 {template}")
    guest.run("\n".join(commands))
    extra = ["--esn"] if esn else []
    process = space.tunnel(tmp_path, "winze.log", suite, False, "--local", "192.0.2.1:4500", "--peer", "192.0.2.2:4500", *extra)
    with running(process):
        space.ip("addr", "add", "10.10.1.1/24", "dev", "tun")
        space.ip("addr", "add", "fd00:1::1/64", "dev", "tun", "nodad")
        space.ip("route", "add", "10.10.2.0/24", "dev", "tun")
        space.ip("route", "add", "fd00:2::/64", "dev", "tun")
        space.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "-I", "10.10.1.1", "10.10.2.2")
        for size in (0, 1, 13, 500, 1300):
            space.run("ping", "-c", "1", "-s", str(size), "-W", "5", "-I", "10.10.1.1", "10.10.2.2")
        space.run("ping", "-c", "2", "-i", "0.1", "-W", "5", "-I", "fd00:1::1", "fd00:2::2")
        guest.run("ping -c 3 -i 0.2 -W 5 -I 10.10.2.2 10.10.1.1")
    assert "dropped, " not in process.log, process.log
