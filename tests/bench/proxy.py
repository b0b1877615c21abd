"""The same load through the same two-hop chain of each maker: load -> client role -> server role -> origin.

Each figure is the median over interleaved rounds; what counts is the ratio. Started by run.sh.
"""
import argparse
import collections
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
from harness import BIN, HOST, TLS, Running, Stage, client, free_port, listener, vless_out, vless_server, wait_port

LOAD = str(BIN / "proxy_load")
KINDS = ["tcp", "tls", "ws", "ws-tls"]
GIB = 1 << 30
TICK = os.sysconf("SC_CLK_TCK")
BULK = ("down 1", "up 1", "down 64", "up 64")
CPU = ("cpu down", "cpu up")
# What issue readers look for: (figure, peer, kinds, bound). Throughput and connections: at least; the rest: at most.
TARGETS = [
    *((name, "v2ray", ("tls", "ws", "ws-tls"), ">=", 4.0) for name in BULK),
    *((name, "v2ray", ("tcp",), ">=", 2.0) for name in BULK),
    *((name, "haproxy", ("tls",), ">=", 1.3) for name in BULK),
    *((name, "v2ray", ("tls", "ws", "ws-tls"), "<=", 0.25) for name in CPU),
    *((name, "haproxy", ("tls",), "<=", 0.8) for name in CPU),
    ("connections", "v2ray", tuple(KINDS), ">=", 2.0), ("p50", "v2ray", tuple(KINDS), "<=", 0.6),
]
# MiB of either process: (figure, kinds, bound).
MEMORY = [("idle", tuple(KINDS), 6), ("idle 1000", ("tcp", "ws"), 12), ("idle 1000", ("tls", "ws-tls"), 24)]
UNITS = {"down 1": "MB/s", "up 1": "MB/s", "down 64": "MB/s", "up 64": "MB/s", "cpu down": "CPU s/GiB",
         "cpu up": "CPU s/GiB", "connections": "/s", "cpu conn": "us each",
         "p50": "us", "p99": "us", "idle": "MiB", "idle 1000": "MiB"}


def haproxy_config(kind, role, port, to):
    tls_in = f" ssl crt {to['pem']}" if kind == "tls" and role == "server" else ""
    tls_out = f" ssl verify required ca-file {TLS / 'root.pem'} sni str(a.test) verifyhost a.test" \
        if kind == "tls" and role == "client" else ""
    return f"""global
  maxconn 5000
  nbthread {os.cpu_count()}
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen chain
  bind {HOST}:{port}{tls_in}
  server next {HOST}:{to['port']}{tls_out}
"""


class Chain:
    """Two processes of one maker; `door` is the port that leads to the origin."""

    def __init__(self, stage, maker, kind, origin):
        self.stage, self.maker, self.kind = stage, maker, kind
        server_port, self.door = free_port(), free_port()
        if maker == "haproxy":
            self.roles = {"server": self.haproxy("server", server_port, origin),
                          "client": self.haproxy("client", self.door, server_port)}
            for port in (server_port, self.door):
                wait_port(port)
        else:
            server = vless_server(server_port, kind)
            door = listener("dokodemo-door", self.door, address=HOST, port=origin)
            name = f"{maker}-{kind}"
            self.roles = {
                "server": stage.start(maker, server, [server_port], f"{name}-server"),
                "client": stage.start(maker, client([door], vless_out(server_port, kind)), [self.door], f"{name}-client")}

    def haproxy(self, role, port, to):
        pem = self.stage.folder / "haproxy.pem"
        pem.write_text((TLS / "a.pem").read_text() + (TLS / "a.key").read_text())
        path = self.stage.folder / f"haproxy-{self.kind}-{role}.cfg"
        path.write_text(haproxy_config(self.kind, role, port, {"port": to, "pem": pem}))
        process = Running(["haproxy", "-f", str(path)], path.with_suffix(".log"))
        self.stage.running.append(process)
        return process

    def cpu_seconds(self):
        total = 0
        for process in self.roles.values():
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory_mib(self):
        """Of the larger of the two processes."""
        return max(process.rss_kib() for process in self.roles.values()) / 1024

    def stop(self):
        for process in self.roles.values():
            process.stop()


def load(*arguments):
    result = subprocess.run([LOAD, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if result.returncode != 0:
        raise RuntimeError(f"proxy_load {arguments}: {result.stderr}")
    return [float(word) for word in result.stdout.split()]


class Sizes:
    def __init__(self, quick):
        self.rounds = 3 if quick else 5
        self.seconds = 1.0 if quick else 2.0
        self.requests = 1000 if quick else 5000


def bulk(chain, way, streams, seconds, figures):
    """A transfer that lasts about `seconds`, by the speed of a short one."""
    probe = 32 << 20
    speed = probe * 1.0 / load("bulk", chain.door, way, 1, probe)[0]
    each = max(probe // streams, int(speed * seconds / streams))
    cpu = chain.cpu_seconds()
    took = load("bulk", chain.door, way, streams, each)[0]
    figures[f"{way} {streams}"].append(each * streams / took / 1e6)
    if streams == 1:
        figures[f"cpu {way}"].append((chain.cpu_seconds() - cpu) / (each / GIB))


def idle_memory(chain, count):
    process = subprocess.Popen([LOAD, "idle", str(chain.door), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(1.5)
    memory = chain.memory_mib()
    process.stdin.close()
    process.wait()
    return memory


def measure(stage, origin, makers, sizes):
    results = {}
    for kind in KINDS:
        present = [m for m in makers if m != "haproxy" or kind in ("tcp", "tls")]
        chains = {maker: Chain(stage, maker, kind, origin) for maker in present}
        figures = {maker: collections.defaultdict(list) for maker in present}
        time.sleep(0.5)
        for maker, chain in chains.items():
            figures[maker]["idle"].append(chain.memory_mib())
        for maker, chain in chains.items():
            figures[maker]["idle 1000"].append(idle_memory(chain, 1000))
        for number in range(sizes.rounds):
            print(f"{kind}: round {number + 1} of {sizes.rounds}", file=sys.stderr, flush=True)
            for streams in (1, 64):
                for way in ("down", "up"):
                    for maker, chain in chains.items():
                        bulk(chain, way, streams, sizes.seconds, figures[maker])
            for maker, chain in chains.items():
                cpu = chain.cpu_seconds()
                rate = load("connections", chain.door, 32, sizes.seconds)[0]
                figures[maker]["connections"].append(rate)
                figures[maker]["cpu conn"].append((chain.cpu_seconds() - cpu) / (rate * sizes.seconds) * 1e6)
            for maker, chain in chains.items():
                p50, p99 = load("requests", chain.door, sizes.requests)
                figures[maker]["p50"].append(p50)
                figures[maker]["p99"].append(p99)
        for chain in chains.values():
            chain.stop()
        results[kind] = {maker: {name: statistics.median(values) for name, values in f.items()}
                         for maker, f in figures.items()}
    return results


def report(results, makers):
    peers = [m for m in makers if m != "winze"]
    for kind, by_maker in results.items():
        print(f"\n{kind}{'':<16}" + "".join(f"{m:>12}" for m in by_maker) +
              "".join(f"{'winze/' + p:>16}" for p in peers if p in by_maker))
        for name, unit in UNITS.items():
            row = f"  {name:<11}{unit:<10}"
            row += "".join(f"{by_maker[m][name]:>12.4g}" for m in by_maker)
            row += "".join(f"{by_maker['winze'][name] / by_maker[p][name]:>16.2f}" for p in peers if p in by_maker)
            print(row)
    print("\ntargets")
    for name, peer, kinds, sense, bound in TARGETS:
        for kind in kinds:
            if peer not in results[kind]:
                continue
            ratio = results[kind]["winze"][name] / results[kind][peer][name]
            met = ratio >= bound if sense == ">=" else ratio <= bound
            print(f"  {'met   ' if met else 'MISSED'} {kind:<7}{name:<12} winze/{peer} {ratio:.2f} (wanted {sense} {bound})")
    for name, kinds, bound in MEMORY:
        for kind in kinds:
            value = results[kind]["winze"][name]
            print(f"  {'met   ' if value < bound else 'MISSED'} {kind:<7}{name:<12} {value:.1f} MiB (wanted < {bound})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write all medians there too")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds (about 3 minutes)")
    arguments = parser.parse_args()
    makers = ["winze", "v2ray", "haproxy"]
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, congestion control {control}; medians of "
          f"{Sizes(arguments.quick).rounds} interleaved rounds")
    origin = subprocess.Popen([LOAD, "origin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory(prefix="winze-bench-") as folder:
            stage = Stage(pathlib.Path(folder))
            try:
                results = measure(stage, int(origin.stdout.readline()), makers, Sizes(arguments.quick))
            finally:
                stage.stop()
    finally:
        origin.stdin.close()
        origin.wait()
    report(results, makers)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(
            {"date": str(datetime.date.today()), "congestion_control": control, "medians": results}, indent=1))


main()
