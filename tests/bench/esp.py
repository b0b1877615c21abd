"""ESP in memory against the bare AEAD call, and lookups; then TCP from namespace to namespace through a tunnel of
AES-256-GCM: winze's esp_tunnel, strongSwan with its ESP in user space (kernel-libipsec), and the veth pair alone.
Interleaved rounds; the ratios of the medians are what counts. Started by run.sh, as root.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from harness import Running
from memory import report, verdict
from spaces import Space, sh, two_spaces

TICK = os.sysconf("SC_CLK_TCK")
CHARON_OFF = "bypass-lan dhcp farp forecast ha led lookip resolve stroke tnc-tnccs tpm unity updown connmark test-vectors"


def swanctl_conf(this, other, number):
    return f"""connections {{
  bench {{
    version = 2
    local_addrs = 192.0.2.{number}
    remote_addrs = 192.0.2.{3 - number}
    encap = yes
    proposals = aes256gcm16-prfsha256-x25519
    local {{
      auth = psk
      id = {this}
    }}
    remote {{
      auth = psk
      id = {other}
    }}
    children {{
      bench {{
        local_ts = 10.{number}.0.0/24
        remote_ts = 10.{3 - number}.0.0/24
        esp_proposals = aes256gcm16
      }}
    }}
  }}
}}
secrets {{
  ike-1 {{
    id-a = {this}
    id-b = {other}
    secret = "of this benchmark only"
  }}
}}
"""


class Charon:
    """strongSwan's daemon in a namespace, with a /run of its own."""

    def __init__(self, space, folder, number):
        self.folder = folder / f"charon{number}"
        (self.folder / "swanctl").mkdir(parents=True)
        names = ("a.test", "b.test")
        (self.folder / "swanctl/swanctl.conf").write_text(swanctl_conf(names[number - 1], names[2 - number], number))
        off = "\n".join(f"    {name} {{\n      load = no\n    }}" for name in CHARON_OFF.split())
        (self.folder / "strongswan.conf").write_text(f"""charon {{
  load_modular = yes
  plugins {{
    include /etc/strongswan.d/charon/*.conf
    kernel-libipsec {{
      load = 5
    }}
    vici {{
      socket = unix://{self.folder}/vici
    }}
{off}
  }}
}}
""")
        self.environment = {"STRONGSWAN_CONF": str(self.folder / "strongswan.conf"), "SWANCTL_DIR": str(self.folder / "swanctl")}
        settings = " ".join(f"{k}='{v}'" for k, v in self.environment.items())
        self.running = Running([*space.inside, "unshare", "-m", "sh", "-c",
                                f"mount -t tmpfs tmpfs /run; {settings} exec /usr/lib/ipsec/charon"], self.folder / "log")
        deadline = time.monotonic() + 15
        while not (self.folder / "vici").exists():
            if self.running.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("charon did not start: " + self.running.log)
            time.sleep(0.05)
        self.control("--load-all", "--noprompt")

    def control(self, *arguments):
        subprocess.run(["swanctl", *arguments, "--uri", f"unix://{self.folder}/vici"], check=True, capture_output=True,
                       env={**os.environ, **self.environment}, timeout=30)


def cpu_seconds(processes):
    total = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


class Path:
    """One way from `near` to the address `to`."""

    def __init__(self, name, near, far, source, to, processes):
        self.name, self.near, self.far, self.source, self.to, self.processes = name, near, far, source, to, processes
        near.run("ping", "-c", "2", "-i", "0.2", "-W", "5", "-I", source, to)

    def measure(self, flows, seconds):
        server = subprocess.Popen([*self.far.inside, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        time.sleep(0.4)
        cpu = cpu_seconds(self.processes)
        result = json.loads(self.near.run("iperf3", "-J", "-c", self.to, "-B", self.source, "-P", str(flows), "-t", str(seconds)))
        cpu = cpu_seconds(self.processes) - cpu
        server.wait(10)
        received = result["end"]["sum_received"]
        return received["bits_per_second"] / 1e6, cpu / (received["bytes"] / (1 << 30))


def winze(near, far, folder):
    processes = [near.tunnel(folder, "near.log", "gcm-256", False, "--local", "192.0.2.1:4600", "--peer", "192.0.2.2:4600"),
                 far.tunnel(folder, "far.log", "gcm-256", True, "--local", "192.0.2.2:4600", "--peer", "192.0.2.1:4600")]
    near.ip("addr", "add", "10.9.0.1/24", "dev", "tun")
    far.ip("addr", "add", "10.9.0.2/24", "dev", "tun")
    return processes, Path("winze", near, far, "10.9.0.1", "10.9.0.2", processes)


def strongswan(near, far, folder):
    near.ip("addr", "add", "10.1.0.1/24", "dev", "lo")
    far.ip("addr", "add", "10.2.0.1/24", "dev", "lo")
    charons = [Charon(near, folder, 1), Charon(far, folder, 2)]
    charons[0].control("--initiate", "--child", "bench")
    processes = [charon.running for charon in charons]
    return processes, Path("strongswan", near, far, "10.1.0.1", "10.2.0.1", processes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write all medians there too")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    arguments = parser.parse_args()
    rounds, seconds = (3, 2) if arguments.quick else (5, 5)
    if os.geteuid() != 0:
        sys.exit("esp: needs root, for namespaces and TUN interfaces")
    memory = report(rounds)
    spaces, processes, figures = [], [], {}

    def make(name):
        spaces.append(Space(f"bench-{name}"))
        return spaces[-1]

    try:
        with tempfile.TemporaryDirectory(prefix="winze-bench-") as folder:
            folder = pathlib.Path(folder)
            near, far = two_spaces(make)
            paths = [Path("veth", near, far, "192.0.2.1", "192.0.2.2", [])]
            for start in (winze, strongswan):
                started, path = start(near, far, folder)
                processes += started
                paths.append(path)
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for flows in (1, 4):
                    for path in paths:
                        figures.setdefault((path.name, flows), []).append(path.measure(flows, seconds))
            for process in processes:
                process.stop()
    finally:
        for process in processes:
            process.stop()
        for space in spaces:
            space.close()
    medians = {key: [statistics.median(column) for column in zip(*values)] for key, values in figures.items()}
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, AES-256-GCM in UDP, reno; medians of {rounds} interleaved rounds\n")
    print(f"{'':<9}{'winze':>10}{'strongswan':>12}{'veth':>10}   Mbit/s {'winze/strongswan':>18}{'winze/veth':>12}{'CPU per GiB':>14}")
    for flows in (1, 4):
        w, s, v = (medians[(name, flows)] for name in ("winze", "strongswan", "veth"))
        print(f"{flows} flow{'s' if flows > 1 else ' '}  {w[0]:>10.0f}{s[0]:>12.0f}{v[0]:>10.0f}          {w[0] / s[0]:>18.2f}"
              f"{w[0] / v[0]:>12.2f}{w[1] / s[1]:>14.2f}")
        for what, ratio, sense, bound in (("throughput", w[0] / s[0], ">=", 8), ("CPU per GiB", w[1] / s[1], "<=", 0.25)):
            print(verdict(what, ratio, sense, bound))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(
            {"date": str(datetime.date.today()), "memory": memory, "medians": {f"{name} {flows}": m for (name, flows), m in medians.items()}}, indent=1))


main()
