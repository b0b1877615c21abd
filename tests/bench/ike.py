"""IKE handshakes over loopback: winze's ipsec_gateway beside strongSwan's charon, each in a namespace of its own, under the
same load. The clients are ike_load's, of winze's engine: IKE_SA_INIT, IKE_AUTH, and a DELETE each; no child SA (RFC
6023), so that no kernel and no data plane is measured. Interleaved
rounds; the ratios of the medians are what counts, that of the responder's CPU time first: the rate is shared with the
load wherever there are not cores enough for both. Started by run.sh, as root.
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

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "interop"))
from harness import BIN, Running
from ike_sites import config, merge
from spaces import Space
from strongswan import Pki, StrongSwan

TICK = os.sysconf("SC_CLK_TCK")
LOAD, GATEWAY = "127.0.0.1", "127.0.0.2"
SECRETS = {"secrets": {"ike-1": {"id-a": "a.test", "id-b": "b.test", "secret": '"of this benchmark only"'}}}
# What would turn the load away, or slow charon's tables down: all clients come from one address.
CHARON = """dos_protection = no
    init_limit_half_open = 0
    ikesa_table_size = 4096
    ikesa_table_segments = 16
    threads = 16"""


def connection(auth):
    proof = {"auth": "psk"} if auth == "psk" else {"auth": "pubkey"}
    return {"version": 2, "local_addrs": GATEWAY, "remote_addrs": LOAD, "proposals": "aes128gcm16-prfsha256-x25519", "mobike": "no",
            "unique": "never", "local": merge(proof, {"id": "b.test"}, {"certs": "b.pem"} if auth == "ecdsa" else {}),
            "remote": merge(proof, {"id": "a.test"}),
            "children": {"net": {"local_ts": "10.2.0.0/24", "remote_ts": "10.1.0.0/24", "esp_proposals": "aes128gcm16"}}}


# One source is all the load.
LIMITS = "charon { cookie_threshold = 0\n cookie_threshold_ip = 0\n block_threshold = 0 }\n"


class Responder:
    def __init__(self, name, auth, folder, pki):
        self.name, self.auth, self.folder = name, auth, folder / f"{name}-{auth}"
        self.folder.mkdir()
        self.space = Space(f"bench-ike-{name}-{auth}"[:40])
        self.space.ip("link", "set", "lo", "up")
        text = config({"bench": connection(auth)}, **SECRETS)
        given = pki.give(self.folder / "b", "b")
        if name == "charon":
            self.swan = StrongSwan(self.space, self.folder, text, given, extra=CHARON, user_space=False, quiet=True)
            self.running = self.swan.running
            return
        given.copy_to(self.folder)
        (self.folder / "swanctl.conf").write_text(text + LIMITS)
        self.running = Running([*self.space.inside, str(BIN / "ipsec_gateway"), "-c", str(self.folder / "swanctl.conf"),
                                "--interface", "tun"], self.folder / "log")
        deadline = time.monotonic() + 15
        while "listening at" not in self.running.log:
            if self.running.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("ipsec_gateway did not start: " + self.running.log)
            time.sleep(0.05)

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.running.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def measure(self, count, at_once, keys):
        """Handshakes a second, and microseconds of the responder for each."""
        cpu = self.cpu()
        result = subprocess.run([*self.space.inside, str(BIN / "ike_load"), LOAD, GATEWAY, self.auth, str(count),
                                 str(at_once), str(keys)], capture_output=True, text=True, timeout=300)
        if result.returncode != 0:
            raise RuntimeError(f"{self.name}: {result.stderr}\n{self.running.log[-2000:]}")
        return count / float(result.stdout), (self.cpu() - cpu) / count * 1e6

    def close(self):
        self.running.stop()
        self.space.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write all medians there too")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    arguments = parser.parse_args()
    rounds, count = (3, 500) if arguments.quick else (7, 3000)
    if os.geteuid() != 0:
        sys.exit("ike: needs root, for namespaces and a TUN interface")
    figures, responders = {}, []
    with tempfile.TemporaryDirectory(prefix="winze-bench-") as folder:
        folder = pathlib.Path(folder)
        os.chmod(folder, 0o755)
        pki = Pki(folder / "pki", "ec").issue("a").issue("b")
        pki.give(folder / "keys", "a")
        try:
            for auth in ("psk", "ecdsa"):
                for name in ("winze", "charon"):
                    responders.append(Responder(name, auth, folder, pki))
                    responders[-1].measure(50, 8, folder / "keys")  # warm
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for responder in responders:
                    figures.setdefault((responder.name, responder.auth), []).append(responder.measure(count, 16, folder / "keys"))
        finally:
            for responder in responders:
                responder.close()
    medians = {key: [statistics.median(column) for column in zip(*values)] for key, values in figures.items()}
    print(f"\n{datetime.date.today()}, {os.cpu_count()} cores; load: ike_load over loopback, 16 handshakes at once, each with its DELETE and "
          f"no child SA; its kernel interface unused, charon's logs off; medians of {rounds} interleaved rounds of {count}\n")
    print(f"{'':<22}{'winze':>10}{'charon':>10}{'winze/charon':>14}")
    for auth, title in (("psk", "PSK + X25519"), ("ecdsa", "ECDSA-P256 + X25519")):
        (rate, cpu), (other_rate, other_cpu) = medians["winze", auth], medians["charon", auth]
        print(f"{title}\n{'  handshakes/s':<22}{rate:>10.0f}{other_rate:>10.0f}{rate / other_rate:>14.2f}")
        print(f"{'  responder CPU, us':<22}{cpu:>10.0f}{other_cpu:>10.0f}{cpu / other_cpu:>14.2f}")
        print(f"{'  per second of CPU':<22}{1e6 / cpu:>10.0f}{1e6 / other_cpu:>10.0f}{other_cpu / cpu:>14.2f}")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(
            {"date": str(datetime.date.today()), "medians": {" ".join(key): m for key, m in medians.items()}}, indent=1))


main()
