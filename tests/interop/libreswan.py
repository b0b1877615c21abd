"""libreswan's pluto in the Linux guest of ike_guest.py.

Debian's package conflicts with strongSwan's, which other tests want: apt fetches it, dpkg unpacks it beside the peers that
are built from source, and only the guest has it at its places.
"""
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

from harness import PEERS, require, require_program
from ike_guest import GuestDaemon
from ike_sites import FAR, INNER_FAR, NEAR, NETS, merge
from strongswan import Pki

LIBEXEC = "/usr/libexec/ipsec"
WHACK = f"{LIBEXEC}/whack"
SETUP = """config setup
    logfile={log}
    uniqueids=no
    dnssec-enable=no
    nhelpers=0
"""
PPK = "0x" + "5a" * 32
SECRETS = f"""@a.test @b.test : PSK "test-psk-ikev2"
@a.test @b.test : PPKS "one" {PPK}
"""


def package():
    """The folder with the package's files, fetched once."""
    folder = PEERS / "libreswan"
    if folder.exists():
        return folder
    require_program("apt-get")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        new = pathlib.Path(new)
        for command in ["download", "libreswan"], ["update"], ["download", "libreswan"]:
            fetched = subprocess.run(["apt-get", *command], cwd=new, capture_output=True, text=True)
            if "download" in command and fetched.returncode == 0:
                break
        require(fetched.returncode == 0, f"apt-get cannot download libreswan: {fetched.stderr}")
        subprocess.run(["dpkg-deb", "-x", *new.glob("libreswan_*.deb"), new / "files"], check=True)
        (new / "files").rename(folder)
    return folder


def connection(family=4, **more):
    """pluto's side of near_connection(): identity b.test."""
    return merge({"ikev2": "insist", "authby": "secret", "left": FAR[family], "leftid": "@b.test", "leftsubnet": NETS[4][1],
                  "right": NEAR[family], "rightid": "@a.test", "rightsubnet": NETS[4][0], "ike": "aes_gcm256-sha2_256-dh31",
                  "esp": "aes_gcm256", "leftupdown": "%disabled", "retransmit-interval": "500"}, more)


class Pluto(GuestDaemon):
    """It has a certificate of b.test for each kind of key, from an authority two below the root; the kind is its nickname.
    `ends` has what winze is given of each."""

    NAME, LOG = "pluto", "/run/pluto/pluto.log"
    KINDS = ("rsa", "ec", "ec384", "ec521")
    # charon has routes of its own with these sources.
    TIDY = (f"route replace 10.0.0.0/8 via {NEAR[4]} src {INNER_FAR[4]}\n"
            f"route replace fd00::/8 via {NEAR[6]} src {INNER_FAR[6]}")

    @staticmethod
    def check():
        package()
        require_program("certutil")
        libraries = subprocess.run(["ldd", f"{package()}{LIBEXEC}/pluto"], capture_output=True, text=True).stdout
        missing = re.findall(r"(\S+) => not found", libraries)
        require(not missing, f"libraries of libreswan are not installed: {' '.join(missing)}")

    def launch(self):
        folder = self.guest.folder
        shutil.copytree(package() / "usr", folder / "libreswan")
        self._make_keys(folder)
        (folder / "ipsec.conf").write_text(SETUP.format(log=self.LOG))
        (folder / "ipsec.secrets").write_text(SECRETS)
        self.guest.run("set -e; cp -r /ctl/libreswan/. /usr/; cp /ctl/ipsec.conf /ctl/ipsec.secrets /etc\n"
                       "mkdir -p /run/pluto /var/lib/ipsec; cp -r /ctl/nss /var/lib/ipsec/nss\n"
                       f"{LIBEXEC}/pluto --config /etc/ipsec.conf >/run/pluto/out 2>&1 || {{ cat /run/pluto/out; exit 1; }}\n"
                       f"for i in $(seq 100); do {WHACK} --listen && exit; sleep 0.1; done; cat /run/pluto/out {self.LOG}; exit 1")

    def _make_keys(self, folder):
        """Its NSS database."""
        nss = f"sql:{folder}/nss"
        (folder / "nss").mkdir()

        def run(*command):
            result = subprocess.run(command, capture_output=True, text=True)
            assert result.returncode == 0, f"{command}: {result.stderr}"

        run("certutil", "-N", "-d", nss, "--empty-password")
        pki = Pki(folder / "pki", "rsa", below=2)
        for name, trust in (("ca", "CT,,"), ("sub0", ",,"), ("sub1", ",,")):
            run("certutil", "-A", "-d", nss, "-n", name, "-t", trust, "-i", folder / f"pki/x509ca/{name}.pem")
        self.ends = {}
        for kind in self.KINDS:
            pki.kind = kind
            pki.issue(f"a-{kind}", "DNS:a.test").issue(f"b-{kind}", "DNS:b.test")
            self.ends[kind] = pki.give(folder / f"near-{kind}", f"a-{kind}", chain=True)
            run("openssl", "pkcs12", "-export", "-name", kind, "-passout", "pass:", "-in", folder / f"pki/x509/b-{kind}.pem",
                "-inkey", folder / f"pki/private/b-{kind}.pem", "-out", folder / "b.p12")
            run("pk12util", "-i", folder / "b.p12", "-d", nss, "-W", "")

    def load(self, connection):
        """Another case's connection in place of the one before."""
        lines = ["conn home", *(f'    {key}="{value}"' for key, value in connection.items())]
        (self.guest.folder / "conn.conf").write_text("\n".join(lines) + "\n")
        said = self.guest.run(f"{LIBEXEC}/addconn --config /ctl/conn.conf home 2>&1")
        assert "did not load" not in said, said

    def whack(self, *arguments, check=True):
        return self.guest.result(shlex.join([WHACK, *arguments]), check=check).stdout

    def initiate(self):
        """Till it has both SAs, for which its kernel may have to load algorithms."""
        self.whack("--initiate", "--name", "home")

    def rekey_child(self):
        self.whack("--rekey-ipsec", "--asynchronous", "--name", "home")

    def rekey_ike(self):
        self.whack("--rekey-ike", "--asynchronous", "--name", "home")

    def terminate(self):
        self.whack("--terminate", "--name", "home")

    @staticmethod
    def ending():
        return f"{WHACK} --delete --name home >/dev/null"

    def sas(self):
        return self.whack("--trafficstatus")

    @staticmethod
    def carried(sas):
        """How many bytes went each way."""
        return [sum(map(int, re.findall(rf"{way}Bytes=(\d+)", sas))) for way in ("in", "out")]
