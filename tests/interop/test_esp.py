"""ESP in UDP between namespaces, and with a Linux kernel as the other end."""
import itertools
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from scapy.all import ICMP, IP, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, Raw

from harness import require
from linux_guest import LinuxGuest
from spaces import FAR, NEAR, SUITES, Space, keys, running, two_spaces


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
        server = subprocess.Popen([*far.inside, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        far.wait_listening(5201)
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
        time.sleep(1)
    assert "not ESP 2, " in a.log and "dropped, unknown_spi: 1" in a.log, a.log
    assert "dropped, bad_icv: 1" in a.log and "no peer yet" in a.log


# iperf3's port in the guest, and options. A server for each direction: it refuses whoever comes while it cleans up.
TRANSFERS = {"5201": (), "5202": ("-R",)}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A namespace with a guest behind its interface tap0: 192.0.2.1 here, 192.0.2.2 there."""
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    require(shutil.which("iperf3"), "iperf3 is not installed")
    space = Space("kernel")
    guest = None
    try:
        guest = LinuxGuest(tmp_path_factory.mktemp("guest"), space.name, "tap0")
        space.ip("addr", "add", "192.0.2.1/24", "dev", "tap0")
        space.ip("addr", "add", "2001:db8::1/64", "dev", "tap0", "nodad")
        # The kernel takes ESP in UDP only through a socket that asks for it, and which passes the policies itself.
        guest.run("set -e; for m in ipv6 esp4 esp6 xfrm_user; do modprobe $m; done\n"
                  "ip addr add 192.0.2.2/24 dev vec0; ip addr add 2001:db8::2/64 dev vec0 nodad; ip addr add 10.10.2.2/32 dev lo; ip addr add fd00:2::2/128 dev lo nodad\n"
                  "ip route add 10.10.1.0/24 via 192.0.2.1; ip -6 route add fd00:1::/64 via 2001:db8::1")
        guest.start("exec python3 -c '\n"
                    "import socket, struct, time\n"
                    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "for d in (0, 1):\n"
                    "    s.setsockopt(0, 17, struct.pack(\"=40xH14x64x32xIIBBBB4x\", socket.AF_INET, 0, 0, d, 0, 0, 0))\n"
                    "s.setsockopt(17, 100, 2)\n"
                    "s.bind((\"0.0.0.0\", 4500))\n"
                    "open(\"/ctl/encap\", \"w\").close()\n"
                    "while True: s.recv(65535)\n'")
        for port in TRANSFERS:
            guest.start(f"exec iperf3 -s -p {port}")
        guest._wait(guest.folder / "encap", 20)
        yield space, guest
    finally:
        if guest:
            guest.stop()
        space.close()


WIRES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}


COUNTERS = "cat /proc/net/xfrm_stat"


def guest_states(guest, suite, version, mode, esn=False, udp=False):
    """The guest's SAs and policies: between the networks behind both ends, or the ends themselves. Returns its counters."""
    near, far = WIRES[version]
    names = ["af-unspec"] * (mode == "tunnel") + ["esn"] * esn
    flags = (f"flag {' '.join(names)} " if names else "") + f"replay-window {128 if esn else 64}"
    commands = ["state flush", "policy flush"]
    for source, destination, spi, first in ((near, far, NEAR, 0x01), (far, near, FAR, 0x81)):
        key, auth = (f"0x{k}" for k in keys(first, suite))
        algorithm = SUITES[suite][4].format(key=key, auth=auth)
        encapsulation = "encap espinudp 4500 4500 0.0.0.0" if udp else ""
        commands.append(f"state add src {source} dst {destination} proto esp spi {spi} reqid 1 mode {mode} {flags} "
                        f"{algorithm} {encapsulation}")
    # Source and destination of what the guest sends, and what of it; what of the way back.
    if mode == "tunnel":
        what = [("10.10.2.0/24", "10.10.1.0/24", "", ""), ("fd00:2::/64", "fd00:1::/64", "", "")]
        ends = (f"src {far} dst {near}", f"src {near} dst {far}")
    else:
        # Not neighbour discovery, which goes by the same addresses.
        icmp = ("proto icmp", "proto icmp") if version == 4 else ("proto ipv6-icmp type 129", "proto ipv6-icmp type 128")
        what = [(far, near, "proto tcp", "proto tcp"), (far, near, *icmp)]
        ends = ("", "")
    for here, there, out, back in what:
        for source, destination, protocol, way, end in ((here, there, out, "out", ends[0]), (there, here, back, "in", ends[1])):
            commands.append(f"policy add src {source} dst {destination} {protocol} dir {way} "
                            f"tmpl {end} proto esp reqid 1 mode {mode}")
    # One process for all, as each costs the guest 50 ms.
    return guest.run("set -e; ip -batch - <<'END'\n" + "\n".join(f"xfrm {command}" for command in commands) + f"\nEND\n{COUNTERS}")


def transfer(space, source, destination):
    """TCP, 5 MiB each way; with a small buffer, so that what was sent has also arrived."""
    for port, options in TRANSFERS.items():
        space.run("timeout", "30", "iperf3", "--connect-timeout", "5000", "-c", destination, "-p", port, "-B", source,
                  "-n", "5M", "-w", "256K", *options)


def use_networks(space, guest, version):
    """Pings and transfers between the networks behind both ends; returns the guest's counters."""
    space.ip("addr", "add", "10.10.1.1/24", "dev", "tun")
    space.ip("addr", "add", "fd00:1::1/64", "dev", "tun", "nodad")
    space.ip("route", "add", "10.10.2.0/24", "dev", "tun")
    space.ip("route", "add", "fd00:2::/64", "dev", "tun")
    space.run("ping", "-c", "3", "-i", "0.1", "-W", "5", "-I", "10.10.1.1", "10.10.2.2")
    for size in (0, 1, 13, 500, 1300):
        space.run("ping", "-c", "1", "-s", str(size), "-W", "5", "-I", "10.10.1.1", "10.10.2.2")
    space.run("ping", "-c", "2", "-i", "0.1", "-W", "5", "-I", "fd00:1::1", "fd00:2::2")
    transfer(space, *(("10.10.1.1", "10.10.2.2") if version == 4 else ("fd00:1::1", "fd00:2::2")))
    return guest.run(f"set -e; ping -c 3 -i 0.2 -W 5 -I 10.10.2.2 10.10.1.1 >/dev/null; {COUNTERS}")


def assert_nothing_lost(process):
    assert "dropped, " not in process.log, process.log
    assert "not ESP 0, no peer yet 0, peer moved 0, " in process.log, process.log
    assert "not taken by TUN 0 and outside 0" in process.log, process.log


@pytest.mark.parametrize("esn", [False, True], ids=["", "esn"])
@pytest.mark.parametrize("suite", SUITES)
def test_linux_kernel_udp(kernel, tmp_path, suite, esn):
    space, guest = kernel
    before = guest_states(guest, suite, 4, "tunnel", esn, udp=True)
    extra = ["--esn"] if esn else []
    process = space.tunnel(tmp_path, "winze.log", suite, False, "--local", "192.0.2.1:4500", "--peer", "192.0.2.2:4500", *extra)
    with running(process):
        assert use_networks(space, guest, 4) == before
    assert_nothing_lost(process)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("suite", SUITES)
def test_linux_kernel_raw(kernel, tmp_path, suite, version):
    space, guest = kernel
    near, far = (f"[{a}]:0" if version == 6 else f"{a}:0" for a in WIRES[version])
    before = guest_states(guest, suite, version, "tunnel", esn=True)
    process = space.tunnel(tmp_path, "winze.log", suite, False, "--local", near, "--peer", far, "--raw", "--esn")
    with running(process):
        assert use_networks(space, guest, version) == before
    assert_nothing_lost(process)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("suite", SUITES)
def test_linux_kernel_transport(kernel, tmp_path, suite, version):
    space, guest = kernel
    near, far = WIRES[version]
    ends = ("--local", f"[{near}]:0", "--peer", f"[{far}]:0") if version == 6 else ("--local", f"{near}:0", "--peer", f"{far}:0")
    before = guest_states(guest, suite, version, "transport")
    process = space.tunnel(tmp_path, "winze.log", suite, False, *ends, "--raw", "--mode", "transport", "--mark", "7")
    # ICMP and TCP go to the interface, but for what comes out of it.
    rules = [("pref", "10", "fwmark", "7", "lookup", "main"),
             *(("pref", "20", "ipproto", protocol, "to", far, "lookup", "100")
               for protocol in ("icmp" if version == 4 else "ipv6-icmp", "tcp"))]
    with running(process):
        for rule in rules:
            space.ip(f"-{version}", "rule", "add", *rule)
        space.ip(f"-{version}", "route", "add", far, "dev", "tun", "src", near, "table", "100")
        try:
            for size in (0, 1, 13, 500, 1300):
                space.run("ping", f"-{version}", "-c", "1", "-s", str(size), "-W", "5", "-I", near, far)
            transfer(space, near, far)
            assert guest.run(COUNTERS) == before
        finally:
            for rule in rules:
                space.ip(f"-{version}", "rule", "del", *rule)
    assert_nothing_lost(process)


# AH, and BEET mode: whole packets of a host of our own on the guest's wire, sealed and opened by winze.
AH_SUITES = {"sha1": (1, 20, "hmac(sha1)", 96), "sha256": (2, 32, "hmac(sha256)", 128), "sha384": (3, 48, "hmac(sha384)", 192),
             "sha512": (4, 64, "hmac(sha512)", 256), "xcbc": (5, 16, "xcbc(aes)", 96), "cmac": (6, 16, "cmac(aes)", 96)}
OWN_MAC = "02:00:00:00:00:03"
OUTER = {4: ("192.0.2.3", "192.0.2.2"), 6: ("2001:db8::3", "2001:db8::2")}
INNER = {4: ("10.10.3.1", "10.10.2.2"), 6: ("fd00:3::1", "fd00:2::2")}


@pytest.fixture(scope="module")
def packets(kernel):
    """Sends a packet to the guest; gives the next one that comes back, or nothing."""
    space, guest = kernel
    mac = guest.run("cat /sys/class/net/vec0/address").strip()
    guest.run("set -e; for m in ah4 ah6; do modprobe $m; done\n"
              f"ip neigh replace 192.0.2.3 lladdr {OWN_MAC} dev vec0; ip neigh replace 2001:db8::3 lladdr {OWN_MAC} dev vec0\n"
              "ip route replace 10.10.3.0/24 via 192.0.2.3; ip -6 route replace fd00:3::/64 via 2001:db8::3")
    host = subprocess.Popen([*space.inside, "/usr/bin/python3", pathlib.Path(__file__).with_name("packet_host.py"),
                             "tap0", OWN_MAC, mac], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert host.stdout.readline() == "ready\n"

    def exchange(packet):
        host.stdin.write(packet.hex() + "\n")
        host.stdin.flush()
        return bytes.fromhex(host.stdout.readline().strip())

    yield exchange
    host.stdin.close()
    host.wait(10)


def pings(version, source, destination):
    """Echo requests, and the type of their replies."""
    for size in (0, 1, 7, 1000):
        if version == 4:
            yield IP(src=source, dst=destination) / ICMP(id=7, seq=size) / Raw(b"x" * size)
        else:
            yield IPv6(src=source, dst=destination) / ICMPv6EchoRequest(id=7, seq=size, data=b"x" * size)


def ping_by_packets(ask, exchange, version, source, destination, seal, unseal):
    numbers = itertools.count(1)

    def answer_to(request):
        # A busy machine may lose one between the guest and here.
        for _ in range(3):
            if packet := exchange(ask("seal", request, first=next(numbers), **seal)):
                return ask("open", packet, **unseal)
        raise AssertionError("no answer")

    for request in pings(version, source, destination):
        answer = answer_to(request)
        reply = (IP if version == 4 else IPv6)(answer)
        assert (reply.src, reply.dst) == (destination, source)
        if version == 4:
            assert reply[ICMP].type == 0 and reply[ICMP].seq == request[ICMP].seq and bytes(reply[Raw] if Raw in reply else b"") == bytes(request[Raw])
        else:
            assert reply[ICMPv6EchoReply].data == request.data


def ends_of(near, far, flags, proto, mode, algorithm):
    yield f"ip xfrm state add src {near} dst {far} proto {proto} spi {NEAR} reqid 2 mode {mode} {flags} {algorithm}"
    yield f"ip xfrm state add src {far} dst {near} proto {proto} spi {FAR} reqid 2 mode {mode} {flags} {algorithm}"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("esn", [False, True], ids=["", "esn"])
@pytest.mark.parametrize("mode", ["transport", "tunnel"])
@pytest.mark.parametrize("suite", AH_SUITES)
def test_linux_kernel_ah(kernel, ask, packets, suite, mode, esn, version):
    _, guest = kernel
    number, size, name, bits = AH_SUITES[suite]
    key = bytes(range(1, size + 1)).hex()
    near, far = OUTER[version]
    source, destination = INNER[version] if mode == "tunnel" else OUTER[version]
    template = f"tmpl src {far} dst {near} proto ah reqid 2 mode {mode}"
    back = f"tmpl src {near} dst {far} proto ah reqid 2 mode {mode}"
    # Without align4 Linux pads AH to 8 bytes with IPv4 too, and takes nothing else.
    names = ["esn"] * esn + ["align4"] * (version == 4)
    flags = (f"flag {' '.join(names)} " if names else "") + "replay-window 64"
    guest.run("\n".join(["ip xfrm state flush; ip xfrm policy flush; set -e",
                         *ends_of(near, far, flags, "ah", mode, f"auth-trunc '{name}' 0x{key} {bits}"),
                         f"ip xfrm policy add src {destination} dst {source} dir out {template}",
                         f"ip xfrm policy add src {source} dst {destination} dir in {back}"]))
    common = {"proto": "ah", "mode": mode, "integrity": number, "ikey": key, "esn": int(esn), "local": near, "remote": far}
    ping_by_packets(ask, packets, version, source, destination, {"spi": NEAR} | common, {"spi": FAR} | common)


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_linux_kernel_beet(kernel, ask, packets, outer, inner):
    _, guest = kernel
    key = bytes(range(1, 21)).hex()
    near, far = OUTER[outer]
    source, destination = INNER[inner]
    # The inner addresses are the states' selectors.
    states = [f"{line} sel src {a} dst {b}" for line, (a, b) in
              zip(ends_of(near, far, "", "esp", "beet", f"aead 'rfc4106(gcm(aes))' 0x{key} 128"),
                  ((source, destination), (destination, source)))]
    guest.run("\n".join(["ip xfrm state flush; ip xfrm policy flush; set -e", *states,
                         f"ip xfrm policy add src {destination} dst {source} dir out tmpl src {far} dst {near} proto esp reqid 2 mode beet",
                         f"ip xfrm policy add src {source} dst {destination} dir in tmpl src {near} dst {far} proto esp reqid 2 mode beet"]))
    common = {"proto": "esp", "mode": "beet", "encryption": 1, "ekey": key, "local": near, "remote": far,
              "inner_local": source, "inner_remote": destination}
    ping_by_packets(ask, packets, inner, source, destination, {"spi": NEAR} | common, {"spi": FAR} | common)
