"""strongSwan's charon with its user-space ESP (kernel-libipsec) in a network namespace, one process for each test: this
machine's, or that of Debian 13, whose /usr then stands in the place of this machine's where its processes see it.

Every charon has a strongswan.conf, a vici socket, a log and a /run of its own, so that any number run side by side. Its
TUN interface is ipsec0. kernel-libipsec has it believe in a NAT, so that ESP always goes in UDP; transport mode and ESN
it cannot do.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import PEERS, Running, require

CHARON = "/usr/lib/ipsec/charon"
TRIXIE = PEERS / "trixie"
OFF = ("bypass-lan dhcp farp forecast ha led lookip resolve stroke tnc-tnccs eap-tnc test-vectors tpm unity updown connmark "
       "load-tester eap-radius attr-sql sql").split()
SETTINGS = """charon {{
    load_modular = yes
    retransmit_timeout = 1.0
    retransmit_base = 1.5
    retransmit_tries = 3
    {extra}
    filelog {{
        log {{
            path = {log}
            default = {level}
            ike = {verbose}
            chd = {verbose}
            cfg = {cfg}
            flush_line = yes
        }}
    }}
    plugins {{
        include {root}/etc/strongswan.d/charon/*.conf
        kernel-libipsec {{
            load = {libipsec}
        }}
        vici {{
            socket = {socket}
        }}
        {off}
        {plugins}
    }}
}}
"""


def settings(log, socket, user_space=True, extra="", keys=False, quiet=False, plugins="", root=""):
    """strongswan.conf; quiet: nothing in the log. `extra` and `plugins` are lines for their sections."""
    off = "".join(f"{name} {{\n load = no\n }}\n" for name in OFF)
    level, cfg, verbose = (-1, -1, -1) if quiet else (1, 2, 4 if keys else 2)
    return SETTINGS.format(log=log, socket=socket, extra=extra, off=off, plugins=plugins, level=level, cfg=cfg, verbose=verbose,
                           libipsec=5 if user_space else "no", root=root)


def mounted(root, *command, also=""):
    """The command with mounts of its own: the programs and libraries of `root`, and what `also` mounts."""
    over = f"mount --bind '{root}/usr' /usr; " if root else ""
    return ["unshare", "-m", "sh", "-c", f'{also}{over}exec "$@"', "sh", *command]


class StrongSwan:
    """charon in `space`, with `config` as its swanctl.conf; `pki` (Pki) gives the certificates and keys. `root`: where another
    strongSwan than this machine's is, such as TRIXIE."""

    def __init__(self, space, folder, config, pki=None, user_space=True, root=None, **options):
        if root:
            require(os.path.exists(f"{root}{CHARON}"), f"{root}{CHARON} is not there: bash tests/interop/trixie_root.sh lays it out")
        else:
            require(os.path.exists(CHARON) and shutil.which("swanctl"), "strongswan-charon or strongswan-swanctl is not installed")
        self.folder = pathlib.Path(folder) / f"charon-{space.name}"
        self.space, self.root = space, root
        swanctl = self.folder / "swanctl"
        swanctl.mkdir(parents=True)
        os.chmod(self.folder, 0o755)
        if pki is not None:
            pki.copy_to(swanctl)
        (swanctl / "swanctl.conf").write_text(config)
        # By a short path: a socket's has 107 bytes.
        self.socket = tempfile.TemporaryDirectory(prefix="vici-")
        self.uri = f"unix://{self.socket.name}/vici"
        text = settings(self.folder / "charon.log", self.uri, user_space, root=root or "", **options)
        (self.folder / "strongswan.conf").write_text(text)
        self.environment = {"STRONGSWAN_CONF": str(self.folder / "strongswan.conf"), "SWANCTL_DIR": str(swanctl)}
        environment = ["env", *(f"{k}={v}" for k, v in self.environment.items())]
        charon = mounted(root, CHARON, also="mount -t tmpfs tmpfs /run; ")
        self.running = Running([*space.inside, *environment, *charon], self.folder / "out")
        try:
            self._wait(lambda: os.path.exists(f"{self.socket.name}/vici") and self.ctl("--stats", check=False).returncode == 0)
            self.ctl("--load-all", "--noprompt")
        except BaseException:
            self.kill()
            raise

    def _wait(self, done, seconds=15):
        deadline = time.monotonic() + seconds
        while not done():
            assert self.running.process.poll() is None, self.running.log + self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def ctl(self, *arguments, check=True, timeout=30):
        command = ["swanctl", *arguments, "--uri", self.uri]
        result = subprocess.run(mounted(self.root, *command) if self.root else command, capture_output=True, text=True,
                                env=os.environ | self.environment, timeout=timeout)
        assert not check or result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}\n{self.log[-3000:]}"
        return result

    @property
    def log(self):
        path = self.folder / "charon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def sas(self):
        return self.ctl("--list-sas").stdout

    def wait_log(self, text, count=1, seconds=15):
        self._wait(lambda: self.log.count(text) >= count, seconds)

    def stop(self):
        self.socket.cleanup()
        return self.running.stop()

    def kill(self):
        self.socket.cleanup()
        self.running.kill()


class Pki:
    """A certificate authority of our own, perhaps with authorities below it, and certificates from it; in swanctl's folders."""

    def __init__(self, folder, kind="ec", below=0):
        require(shutil.which("openssl"), "openssl is not installed")
        self.folder = pathlib.Path(folder)
        self.kind = kind
        for name in ("x509", "x509ca", "private"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._key("ca")
        self._openssl("req", "-x509", "-new", "-key", self._path("private", "ca"), "-subj", "/O=Test/CN=Test root", "-days", "3650",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                      "-out", self._path("x509ca", "ca"))
        self.issuer = "ca"
        self.chain = []
        for i in range(below):
            name = f"sub{i}"
            self._issue(name, f"/O=Test/CN=Test {name}", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"],
                        "x509ca")
            self.issuer = name
            self.chain.append(name)

    def _path(self, folder, name):
        return str(self.folder / folder / f"{name}.pem")

    def _openssl(self, *arguments, stdin=None):
        result = subprocess.run(["openssl", *arguments], capture_output=True, input=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def _key(self, name):
        kinds = {"ec": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "ec384": ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
                 "ec521": ("EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
                 "rsa": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), "ed25519": ("ED25519",)}
        self._openssl("genpkey", "-algorithm", *kinds[self.kind], "-out", self._path("private", name))

    def _issue(self, name, subject, extensions, folder):
        self._key(name)
        request = self._openssl("req", "-new", "-key", self._path("private", name), "-subj", subject)
        extfile = self.folder / f"{name}.ext"
        extfile.write_text("\n".join([*extensions, "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]))
        self._openssl("x509", "-req", "-CA", self._path("x509ca", self.issuer), "-CAkey", self._path("private", self.issuer), "-days", "3650",
                      "-set_serial", str(int.from_bytes(os.urandom(8), "big") >> 1), "-extfile", str(extfile), "-out",
                      self._path(folder, name), stdin=request)

    def issue(self, name, san=None):
        """name.pem for the DNS name `name`.test, or another name."""
        self._issue(name, f"/O=Test/CN={name}.test", [f"subjectAltName={san or f'DNS:{name}.test'}", "keyUsage=critical,digitalSignature",
                                                      "extendedKeyUsage=serverAuth,clientAuth"], "x509")
        return self

    def give_key(self, folder, name, peer):
        """What one end has that knows its peer by its key: its own two keys, and the peer's public one; no certificates."""
        folder = pathlib.Path(folder)
        for sub in ("pubkey", "private"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        shutil.copy(self._path("private", name), folder / "private")
        for of in (name, peer):
            self._openssl("pkey", "-in", self._path("private", of), "-pubout", "-out", str(folder / "pubkey" / f"{of}.pem"))
        return End(folder)

    def give(self, folder, name, chain=False):
        """What one end has: its certificate and key, and the root; with `chain` the authorities in between too."""
        folder = pathlib.Path(folder)
        for sub in ("x509", "x509ca", "private"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        shutil.copy(self._path("x509", name), folder / "x509")
        shutil.copy(self._path("private", name), folder / "private")
        for authority in ["ca", *(self.chain if chain else [])]:
            shutil.copy(self._path("x509ca", authority), folder / "x509ca")
        return End(folder)


class End:
    def __init__(self, folder):
        self.folder = folder

    def copy_to(self, swanctl):
        for sub in ("x509", "x509ca", "pubkey", "private"):
            if (self.folder / sub).exists():
                shutil.copytree(self.folder / sub, swanctl / sub)
