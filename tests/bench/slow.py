"""What a small request waits for where uploads fill a slow path, all of them in one connection: clients and servers of one
maker, multiplexing. Interleaved rounds; the ratios of the medians are what counts. Started by run.sh.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "interop"))
import harness
import test_singmux
from harness import Origin, Stage, client, free_port, listener, proxy_client, proxy_server
from slow_path import SlowPath
from streams import by_socks

RATE = 4_000_000  # bytes a second
UPLOADS = 3
SIZE = 1 << 10
# Requests that break off are left out: sing-box's client sends some twice on such a path.
PROTOCOLS = {"mux.cool": ("winze", "v2ray", "xray"), "h2mux": ("winze", "singbox"), "smux": ("winze", "singbox")}


class Working:
    """A client and a server with the slow path between them."""

    def __init__(self, folder, maker, protocol):
        folder.mkdir()
        self.stage = Stage(folder)
        port, self.socks = free_port(), free_port()
        if protocol == "mux.cool":
            self.stage.start(maker, proxy_server("vless", port, "tcp"), [port], "server")
            self.path = SlowPath(port, RATE)
            outbound = proxy_client("vless", self.path.port, "tcp") | {"mux": {"enabled": True, "concurrency": 8}}
            self.stage.start(maker, client([listener("socks", self.socks, auth="noauth")], outbound), [self.socks], "client")
        else:
            test_singmux.start_server(self.stage, maker, port)
            self.path = SlowPath(port, RATE)
            mux = test_singmux.multiplex(protocol, max_connections=1)
            test_singmux.start_client(self.stage, maker, self.path.port, self.socks, mux)

    def wait_for_small_ones(self, origin, count):
        """Seconds that each of them took."""
        over = threading.Event()
        uploads = [threading.Thread(target=self._upload, args=(origin, over)) for _ in range(UPLOADS)]
        for upload in uploads:
            upload.start()
        time.sleep(2)
        took = [seconds for _ in range(count) if (seconds := self._small(origin)) is not None]
        over.set()
        for upload in uploads:
            upload.join()
        time.sleep(2)  # what is under way comes to its end
        return took

    def _upload(self, origin, over):
        piece = bytes(1 << 16)
        with by_socks(self.socks, origin.port) as s:
            s.sendall(b"PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            s.settimeout(0.2)
            while not over.is_set():
                try:
                    s.send(piece)
                except socket.timeout:
                    pass
                except OSError:
                    return

    def _small(self, origin):
        begin, got = time.monotonic(), 0
        try:
            with by_socks(self.socks, origin.port) as s:
                s.settimeout(20)
                s.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                while piece := s.recv(1 << 16):
                    got += len(piece)
        except OSError:
            return None
        return time.monotonic() - begin if got > SIZE else None

    def stop(self):
        self.stage.stop()
        self.path.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="three rounds instead of five")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="winze-bench-") as folder:
        folder = pathlib.Path(folder)
        (folder / "small").write_bytes(os.urandom(SIZE))
        origin = Origin(folder)
        for protocol, makers in PROTOCOLS.items():
            there = [maker for maker in makers if shutil.which(harness.MAKERS[maker]()[0])]
            for maker in set(makers) - set(there):
                print(f"{protocol}: {maker} is not there")
            chains = {maker: Working(folder / f"{protocol}-{maker}", maker, protocol) for maker in there}
            took = {maker: [] for maker in there}
            try:
                for number in range(3 if arguments.quick else 5):
                    for maker, chain in chains.items():
                        print(f"{protocol}, round {number + 1}: {maker}   ", end="\r", file=sys.stderr, flush=True)
                        took[maker] += chain.wait_for_small_ones(origin, 5)
            finally:
                for chain in chains.values():
                    chain.stop()
            results[protocol] = {maker: statistics.median(seconds) for maker, seconds in took.items() if seconds}
    for protocol, medians in results.items():
        for maker, median in medians.items():
            ratio = f", winze divided by it {medians['winze'] / median:.2f}" if maker != "winze" else ""
            print(f"{protocol:10} {maker:8} {median * 1e3:6.0f} ms{ratio}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


main()
