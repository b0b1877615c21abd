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
from chains import CHAINS, Working, missing
from harness import BIN, Stage

LOAD = str(BIN / "proxy_load")
GIB = 1 << 30
PACKETS = 64  # on their way: with 32 the processors of the fastest stand idle a tenth of the time
BULK = ("down 1", "up 1", "down 64", "up 64")
CPU = ("cpu down", "cpu up")
# What issue readers look for: (figure, peer, kinds, bound). Throughput and connections: at least; the rest: at most.
KINDS = ("tcp", "tls", "ws", "ws-tls")
IN_TLS = ("vmess-ws-tls", "trojan")
BARE = ("vmess-gcm", "vmess-chacha", "ss-gcm", "ss-2022", "mux8")
TARGETS = [
    *((name, "v2ray", ("tls", "ws", "ws-tls"), ">=", 4.0) for name in BULK),
    *((name, "v2ray", ("tcp",), ">=", 2.0) for name in BULK),
    *((name, "haproxy", ("tls",), ">=", 1.3) for name in BULK),
    *((name, "v2ray", ("tls", "ws", "ws-tls"), "<=", 0.25) for name in CPU),
    *((name, "haproxy", ("tls",), "<=", 0.8) for name in CPU),
    ("connections", "v2ray", KINDS, ">=", 2.0), ("p50", "v2ray", KINDS, "<=", 0.6),
    *((name, "best", (*BARE, *IN_TLS), ">=", 1.7) for name in BULK),
    *((name, "v2ray", IN_TLS, ">=", 4.0) for name in BULK),
    *((name, "best", (*BARE, *IN_TLS), "<=", 0.6) for name in CPU),
    ("connections", "ss-libev", ("ss-gcm",), ">=", 1.2), ("packets", "best", ("vmess-gcm", "ss-gcm", "ss-2022"), ">=", 2.0),
]
# MiB of either process: (figure, chains, bound).
MEMORY = [("idle", (*KINDS, *BARE, *IN_TLS), 6), ("idle 1000", ("tcp", "ws", *BARE), 12),
          ("idle 1000", ("tls", "ws-tls", *IN_TLS), 24)]
UNITS = {"down 1": "MB/s", "up 1": "MB/s", "down 64": "MB/s", "up 64": "MB/s", "cpu down": "CPU s/GiB",
         "cpu up": "CPU s/GiB", "connections": "/s", "cpu conn": "us each",
         "p50": "us", "p99": "us", "packets": "/s", "idle": "MiB", "idle 1000": "MiB"}


def load(*arguments, limit=300):
    result = subprocess.run([LOAD, *map(str, arguments)], capture_output=True, text=True, timeout=limit)
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
    tls = ["tls"] if chain.chain.vision else []
    speed = probe * 1.0 / load("bulk", chain.door, way, 1, probe, *tls)[0]
    each = max(probe // streams, int(speed * seconds / streams))
    cpu = chain.cpu_seconds()
    took = load("bulk", chain.door, way, streams, each, *tls)[0]
    figures[f"{way} {streams}"].append(each * streams / took / 1e6)
    if streams == 1:
        figures[f"cpu {way}"].append((chain.cpu_seconds() - cpu) / (each / GIB))


def connections(chain, seconds, figures):
    cpu = chain.cpu_seconds()
    rate = load("connections", chain.door, 32, seconds, limit=seconds + 5)[0]
    figures["connections"].append(rate)
    figures["cpu conn"].append((chain.cpu_seconds() - cpu) / (rate * seconds) * 1e6)


def requests(chain, count, figures):
    p50, p99 = load("requests", chain.door, count, limit=60)
    figures["p50"].append(p50)
    figures["p99"].append(p99)


def packets(chain, seconds, figures):
    figures["packets"].append(load("packets", chain.door, PACKETS, seconds, limit=seconds + 5)[0])


def attempt(maker, what, measure, *arguments):
    """A peer that breaks or stands still has no figure of this round; winze may not."""
    try:
        measure(*arguments)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        if maker == "winze":
            raise
        print(f"{maker}: {what} broke or stood still, so this round has no figure: {error}", flush=True)


def idle_memory(chain, count):
    process = subprocess.Popen([LOAD, "idle", str(chain.door), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(1.5)
    memory = chain.memory_mib()
    process.stdin.close()
    process.wait()
    return memory


def measure_chain(stage, origin, name, makers, sizes):
    working = {maker: Working(stage, maker, name, origin) for maker in makers}
    figures = {maker: collections.defaultdict(list) for maker in makers}
    time.sleep(0.5)
    for maker, chain in working.items():
        figures[maker]["idle"].append(chain.memory_mib())
    for maker, chain in working.items():
        figures[maker]["idle 1000"].append(idle_memory(chain, 1000))
    for number in range(sizes.rounds):
        print(f"{name}: round {number + 1} of {sizes.rounds}", file=sys.stderr, flush=True)
        for streams in (1, 64):
            for way in ("down", "up"):
                for maker, chain in working.items():
                    attempt(maker, f"{name} {way} {streams}", bulk, chain, way, streams, sizes.seconds, figures[maker])
        for maker, chain in working.items():
            attempt(maker, f"{name} connections", connections, chain, sizes.seconds, figures[maker])
        for maker, chain in working.items():
            attempt(maker, f"{name} requests", requests, chain, sizes.requests, figures[maker])
        if CHAINS[name].udp:
            for maker, chain in working.items():
                attempt(maker, f"{name} packets", packets, chain, sizes.seconds, figures[maker])
    for chain in working.values():
        chain.stop()
    return {maker: {figure: statistics.median(values) for figure, values in f.items()} for maker, f in figures.items()}


def measure(stage, origin, names, sizes):
    results = {}
    for name in names:
        makers = []
        for maker in ("winze", *CHAINS[name].peers):
            why = missing(maker, name)
            if why:
                print(f"{name}: without {maker}: {why}", flush=True)
            else:
                makers.append(maker)
        if "winze" in makers:
            results[name] = measure_chain(stage, origin, name, makers, sizes)
    return results


def report(results):
    for chain, by_maker in results.items():
        peers = [maker for maker in by_maker if maker != "winze"]
        print(f"\n{chain:<24}" + "".join(f"{m:>12}" for m in by_maker) + "".join(f"{'winze/' + p:>16}" for p in peers))
        for name, unit in UNITS.items():
            if name not in by_maker["winze"]:
                continue
            row = f"  {name:<12}{unit:<10}"
            row += "".join(f"{by_maker[m][name]:>12.4g}" if name in by_maker[m] else f"{'-':>12}" for m in by_maker)
            row += "".join(f"{by_maker['winze'][name] / by_maker[p][name]:>16.2f}" if name in by_maker[p] else
                           f"{'-':>16}" for p in peers)
            print(row)
    print("\ntargets")
    for name, peer, chains, sense, bound in TARGETS:
        for chain in (c for c in chains if c in results):
            values = {maker: f[name] for maker, f in results[chain].items() if name in f}
            mine = values.pop("winze")
            best = max if sense == ">=" else min
            theirs = best(values.values(), default=None) if peer == "best" else values.get(peer)
            if theirs is None:
                continue
            ratio = mine / theirs
            met = ratio >= bound if sense == ">=" else ratio <= bound
            print(f"  {'met   ' if met else 'MISSED'} {chain:<13}{name:<12} winze/{peer} {ratio:.2f} (wanted {sense} {bound})")
    if "vision" in results and "tcp" in results:
        # Its direct copy is a plain relay.
        for name in BULK:
            ratio = results["vision"]["winze"][name] / results["tcp"]["winze"][name]
            print(f"  {'met   ' if ratio >= 0.9 else 'MISSED'} {'vision':<13}{name:<12} winze/tcp {ratio:.2f} (wanted >= 0.9)")
    for name, chains, bound in MEMORY:
        for chain in (c for c in chains if c in results):
            value = results[chain]["winze"][name]
            print(f"  {'met   ' if value < bound else 'MISSED'} {chain:<13}{name:<12} {value:.1f} MiB (wanted < {bound})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write all medians there too")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds (about 10 minutes)")
    parser.add_argument("--chains", metavar="NAMES", help=f"some of {','.join(CHAINS)}", default=",".join(CHAINS))
    arguments = parser.parse_args()
    names = arguments.chains.split(",")
    if unknown := set(names) - set(CHAINS):
        parser.error(f"unknown chains: {', '.join(sorted(unknown))}")
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, congestion control {control}; medians of "
          f"{Sizes(arguments.quick).rounds} interleaved rounds")
    origin = subprocess.Popen([LOAD, "origin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory(prefix="winze-bench-") as folder:
            stage = Stage(pathlib.Path(folder))
            try:
                results = measure(stage, int(origin.stdout.readline()), names, Sizes(arguments.quick))
            finally:
                stage.stop()
    finally:
        origin.stdin.close()
        origin.wait()
    report(results)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(
            {"date": str(datetime.date.today()), "congestion_control": control, "medians": results}, indent=1))


main()
