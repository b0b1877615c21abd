"""An IKE daemon in a Linux guest, whose kernel carries its ESP: the far end of ike_sites.py. Here strongSwan (kernel-netlink).

    near: namespace, `wire` is a TAP interface -- far: the guest, `wire` is its card

Beside it `manage` joins both: swanctl runs in the namespace, since a program's start takes long in the guest. One guest and
one daemon for all the cases, which so run one after another; each begins without any SA and with the addresses of
ike_sites.py, and leaves none behind.
"""
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time

from harness import require
from ike_sites import FAR, INNER_FAR, INNER_NEAR, IPERF_PORTS, NEAR, STREAM, STREAM_PORT, Ends
from linux_guest import LinuxGuest
from spaces import Space
from strongswan import CHARON, settings

# Settings of charon that some cases want are there for all.
EXTRA = "retransmit_timeout = 0.5\nretransmit_base = 1.2\nmake_before_break = yes\nfragment_size = 576\ninterfaces_ignore = manage"
MANAGE = ("198.51.100.1", "198.51.100.2")


def addresses(outer, inner):
    """Lines for `ip -batch`."""
    return "\n".join(["addr flush dev wire scope global", f"addr add {outer[4]}/24 dev wire", f"addr add {outer[6]}/64 dev wire nodad",
                      f"addr replace {inner[4]}/24 dev lo", f"addr replace {inner[6]}/64 dev lo nodad"])


FAR_ADDRESSES = addresses(FAR, INNER_FAR) + "\nroute replace 10.0.0.0/8 via 192.0.2.1\nroute replace fd00::/8 via 2001:db8::1"


class GuestSpace:
    """What Space is for a namespace."""

    def __init__(self, guest):
        self.guest = guest

    def run(self, *command, check=True):
        return self.guest.run(shlex.join(map(str, command)) + ("" if check else "; true"))

    def ip(self, *arguments):
        self.run("ip", *arguments)


class GuestDaemon:
    """The process `NAME`, which writes `LOG`, both of a class of its own; for all the cases. Such a class has launch(),
    load(), sas(), carried(), and ending(), which ends its SAs or gives a script for the guest that does."""

    TIDY = ""  # lines for `ip -batch`, before and behind each case

    def __init__(self, guest, near):
        self.guest, self.near = guest, near
        self.running = self.started = False

    def start(self):
        if self.running:
            return
        if self.started:
            self.guest.run(f"pkill -CONT {self.NAME}")
            self.running = True
            self.guest.run(self.ending())
            return
        self.launch()
        self.running = self.started = True

    def kill(self):
        """It answers nothing any more. The next case has it go on, as a start takes seconds."""
        self.guest.run(f"pkill -STOP {self.NAME}")
        self.running = False

    @property
    def log(self):
        return self.guest.run(f"cat {self.LOG}")

    def wait_log(self, text, count=1, seconds=15):
        self.guest.run(f"for i in $(seq {seconds * 10}); do [ $(grep -c {shlex.quote(text)} {self.LOG}) -ge {count} ] && exit; sleep 0.1; done; exit 1",
                       seconds + 20)


class GuestSwan(GuestDaemon):
    """What StrongSwan is in a namespace."""

    NAME, LOG = "charon", "/run/charon.log"
    TIDY = "xfrm state flush\nxfrm policy flush"

    def __init__(self, guest, near):
        super().__init__(guest, near)
        self.environment = {}

    @staticmethod
    def check():
        require(os.path.exists(CHARON) and shutil.which("swanctl"), "strongswan-charon or strongswan-swanctl is not installed")

    def launch(self):
        (self.guest.folder / "strongswan.conf").write_text(settings(self.LOG, f"tcp://{MANAGE[1]}:4502", False, EXTRA))
        self.guest.run(f"export STRONGSWAN_CONF=/ctl/strongswan.conf; setsid {CHARON} >/run/charon.out 2>&1 &")
        deadline = time.monotonic() + 60
        while self.ctl("--stats", check=False).returncode != 0:
            assert time.monotonic() < deadline, self.guest.run("cat /run/charon.out /run/charon.log")
            time.sleep(0.1)

    def ending(self):
        self.ctl("--terminate", "--ike", "home", "--force", check=False)
        return ""

    def load(self, folder, text, pki=None):
        """Another case's configuration in place of the one before."""
        swanctl = folder / "swanctl"
        swanctl.mkdir()
        if pki is not None:
            pki.copy_to(swanctl)
        (swanctl / "swanctl.conf").write_text(text)
        self.environment = {"SWANCTL_DIR": str(swanctl)}
        self.ctl("--load-all", "--noprompt", "--clear")

    def ctl(self, *arguments, check=True, timeout=60):
        command = [*self.near.inside, "swanctl", *arguments, "--uri", f"tcp://{MANAGE[1]}:4502"]
        deadline = time.monotonic() + 10
        while True:
            result = subprocess.run(command, capture_output=True, text=True, env=os.environ | self.environment, timeout=timeout)
            # A rekeyed IKE SA's children may still be on their way to the new one.
            if "no matching SAs to rekey" not in result.stderr + result.stdout or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert not check or result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}\n{self.log[-3000:]}"
        return result

    def sas(self):
        return self.ctl("--list-sas").stdout

    @staticmethod
    def carried(sas):
        """How many packets went each way."""
        return [sum(int(n) for n in re.findall(rf"^ +{way} +\w+.*?(\d+) packets", sas, re.M)) for way in ("in", "out")]


class GuestSites(Ends, contextlib.AbstractContextManager):
    def __init__(self, folder, world):
        super().__init__(folder, world.near, GuestSpace(world.guest))
        self.guest, self.swan = world.guest, world.daemon
        self.streams = world  # it serves them
        self.swan.start()

    def start_swan(self, text, pki=None, extra=None):
        self.swan.load(self.folder, text, pki)
        return self.swan

    def in_udp(self):
        """Whether ESP goes in UDP, as the peer's kernel has it."""
        states = [state for state in re.split(r"^src ", self.guest.run("ip xfrm state"), flags=re.M) if "proto esp" in state]
        assert len(states) >= 2, states
        kinds = {"encap type espinudp" in state for state in states}
        assert len(kinds) == 1, states
        return kinds.pop()

    def serve_iperf(self, port):
        pass

    def iperf_log(self, port):
        return self.guest.run(f"cat /run/iperf3-{port}.log")

    def __exit__(self, kind, *_):
        """The SAs carried packets; and none is left in the kernel when winze has said its goodbye."""
        with self.stack:
            both_up = self.winze and self.winze.process.poll() is None and self.swan.running
            if kind is not None:
                print(f"--- {self.folder.name}\n{self.winze.log[-4000:] if self.winze else ''}\n{self.swan.log[-6000:]}")
            elif both_up and not self.short_lived:
                found = self.swan.sas()
                assert all(self.swan.carried(found)), found
        ending = self.swan.ending() if self.swan.running else ""
        left = self.guest.run(f"{ending}\n: >{self.swan.LOG}; truncate -s 0 /run/iperf3-*.log; ip xfrm state\n"
                              f"ip -batch - <<'END'\n{FAR_ADDRESSES}\n{self.swan.TIDY}\nEND")
        self.near.batch(addresses(NEAR, INNER_NEAR))
        assert kind is not None or not both_up or not left, left


class GuestWorld(contextlib.AbstractContextManager):
    """The guest, booted, and the namespace before it; `kind` is the class of its daemon."""

    def __init__(self, folder, kind):
        kind.check()
        self.stack = contextlib.ExitStack()
        try:
            self.near = Space(f"guest{kind.NAME}")
            self.stack.callback(self.near.close)
            self.guest = LinuxGuest(folder, self.near.name, "wire", "manage")
            self.stack.callback(self.guest.stop)
            self.daemon = kind(self.guest, self.near)
            self._connect()
        except BaseException:
            self.stack.close()
            raise

    def _connect(self):
        wire = "net.ipv4.conf.wire.promote_secondaries=1"
        self.near.run("sysctl", "-qw", wire)
        self.near.batch(addresses(NEAR, INNER_NEAR) + f"\naddr add {MANAGE[0]}/24 dev manage")
        shutil.copy(STREAM, self.guest.folder)  # wherever it is, the guest may not see it
        self.guest.run("set -e; for m in ipv6 esp4 esp6 xfrm_user; do modprobe $m; done\n"
                       "ip -batch - <<'END'\nlink set vec0 down\nlink set vec0 name wire\nlink set wire up\n"
                       f"link set vec1 down\nlink set vec1 name manage\nlink set manage up\naddr add {MANAGE[1]}/24 dev manage\n"
                       f"{FAR_ADDRESSES}\n{self.daemon.TIDY}\nEND\nsysctl -qw {wire}")
        for port in IPERF_PORTS:
            # It ends itself on some errors.
            self.guest.start(f"while :; do iperf3 -s --forceflush -i 0.2 -p {port} >>/run/iperf3-{port}.log 2>&1; done")
        self.guest.start(f"exec python3 /ctl/{STREAM.name} serve {STREAM_PORT}")
        for port in (*IPERF_PORTS, STREAM_PORT):
            self.near.run("timeout", "20", "bash", "-c", f"until echo >/dev/tcp/{MANAGE[1]}/{port}; do sleep 0.1; done")

    def __exit__(self, *_):
        self.stack.close()
