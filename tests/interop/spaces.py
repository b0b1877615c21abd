"""Network namespaces of our own, and esp_tunnel in them."""
import contextlib
import os
import subprocess
import time

from harness import BIN, Running

# name: esp_tunnel's suite, bytes of encryption key, of integrity key, ICV; and the kernel's algorithm.
SUITES = {
    "gcm-128": ("aes-gcm", 20, 0, 16, "aead 'rfc4106(gcm(aes))' {key} 128"),
    "gcm-192": ("aes-gcm", 28, 0, 16, "aead 'rfc4106(gcm(aes))' {key} 128"),
    "gcm-256": ("aes-gcm", 36, 0, 16, "aead 'rfc4106(gcm(aes))' {key} 128"),
    "gcm-128-8": ("aes-gcm", 20, 0, 8, "aead 'rfc4106(gcm(aes))' {key} 64"),
    "gcm-128-12": ("aes-gcm", 20, 0, 12, "aead 'rfc4106(gcm(aes))' {key} 96"),
    "gmac-128": ("aes-gmac", 20, 0, 16, "aead 'rfc4543(gcm(aes))' {key} 128"),
    "ccm-128": ("aes-ccm", 19, 0, 16, "aead 'rfc4309(ccm(aes))' {key} 128"),
    "chacha20": ("chacha20-poly1305", 36, 0, 16, "aead 'rfc7539esp(chacha20,poly1305)' {key} 128"),
    "cbc-128-sha1": ("aes-cbc-sha1", 16, 20, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(sha1)' {auth} 96"),
    "cbc-256-sha256": ("aes-cbc-sha256", 32, 32, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(sha256)' {auth} 128"),
    "cbc-128-sha384": ("aes-cbc-sha384", 16, 48, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(sha384)' {auth} 192"),
    "cbc-256-sha512": ("aes-cbc-sha512", 32, 64, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(sha512)' {auth} 256"),
    "cbc-128-xcbc": ("aes-cbc-xcbc", 16, 16, 16, "enc 'cbc(aes)' {key} auth-trunc 'xcbc(aes)' {auth} 96"),
    "cbc-128-cmac": ("aes-cbc-cmac", 16, 16, 16, "enc 'cbc(aes)' {key} auth-trunc 'cmac(aes)' {auth} 96"),
    "ctr-128-sha256": ("aes-ctr-sha256", 20, 32, 16, "enc 'rfc3686(ctr(aes))' {key} auth-trunc 'hmac(sha256)' {auth} 128"),
    "null-sha256": ("null-sha256", 0, 32, 16, "enc 'ecb(cipher_null)' '' auth-trunc 'hmac(sha256)' {auth} 128"),
    "legacy-3des-sha1": ("3des-cbc-sha1", 24, 20, 16, "enc 'cbc(des3_ede)' {key} auth-trunc 'hmac(sha1)' {auth} 96"),
    "legacy-cbc-128-md5": ("aes-cbc-md5", 16, 16, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(md5)' {auth} 96"),
    "legacy-cbc-128-sha256-96": ("aes-cbc-sha256-96", 16, 32, 16, "enc 'cbc(aes)' {key} auth-trunc 'hmac(sha256)' {auth} 96"),
}
NEAR, FAR = 0x1001, 0x1002  # SPIs: near to far, far to near


def keys(first, suite):
    """(encryption key, integrity key) of one direction, in hex."""
    _, encryption, integrity, _, _ = SUITES[suite]
    return (bytes((first + i) % 256 for i in range(encryption)).hex(),
            bytes((first + 64 + i) % 256 for i in range(integrity)).hex())


def sh(*command, check=True):
    result = subprocess.run(command, capture_output=True, text=True)
    assert not check or result.returncode == 0, f"{command}: {result.stderr}{result.stdout}"
    return result.stdout


def inside(name):
    """What a command begins with that is to run in that network namespace. (`ip netns exec` gives it mounts of its own too,
    and ending those takes the kernel seconds when many do.)"""
    return ["nsenter", f"--net=/run/netns/{name}"]


class Space:
    """A network namespace of our own."""

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}"
        sh("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")

    @property
    def inside(self):
        return inside(self.name)

    def ip(self, *arguments):
        sh("ip", "-n", self.name, *arguments)

    def batch(self, lines):
        """Commands of ip, a line each."""
        result = subprocess.run(["ip", "-n", self.name, "-batch", "-"], input=lines, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def run(self, *command, check=True):
        return sh(*self.inside, *command, check=check)

    def wait_listening(self, port, seconds=15):
        deadline = time.monotonic() + seconds
        while not self.run("ss", "-Hltn", f"sport = :{port}"):
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.05)

    def start(self, log, *command):
        return Running([*self.inside, *map(str, command)], log)

    def tunnel(self, folder, log, suite, swap, *arguments):
        """esp_tunnel in this space, with interface `tun`; `swap` plays the far end."""
        name, _, _, icv, _ = SUITES[suite]
        out, back = (FAR, NEAR) if swap else (NEAR, FAR)
        (out_key, out_auth), (in_key, in_auth) = (keys(0x81 if s == FAR else 0x01, suite) for s in (out, back))
        command = [*self.inside, str(BIN / "esp_tunnel"), "--suite", name, "--icv", str(icv),
                   "--interface", "tun", "--out-spi", str(out), "--in-spi", str(back), "--statistics", "0",
                   *(["--legacy"] if suite.startswith("legacy-") else []), *arguments]
        for option, value in (("--out-key", out_key), ("--in-key", in_key), ("--out-auth", out_auth), ("--in-auth", in_auth)):
            command += [option, value] if value else []
        return self.start_tunnel(command, folder / log)

    def start_tunnel(self, command, log):
        process = Running(command, log)
        deadline = time.monotonic() + 10
        while "inner MTU" not in process.log:
            assert process.process.poll() is None and time.monotonic() < deadline, process.log
            time.sleep(0.02)
        return process

    def close(self):
        sh("ip", "netns", "del", self.name, check=False)


@contextlib.contextmanager
def running(*processes):
    """Stops the processes behind the block."""
    try:
        yield
    finally:
        for process in processes:
            process.stop()


def two_spaces(make, v6=False):
    """`make` gives a Space for a name. Joined by a veth pair: 192.0.2.1 and .2, or 2001:db8::1 and ::2."""
    near, far = make("near"), make("far")
    sh("ip", "link", "add", "wire", "netns", near.name, "type", "veth", "peer", "name", "wire", "netns", far.name)
    for space, number in ((near, 1), (far, 2)):
        address = f"2001:db8::{number}/64" if v6 else f"192.0.2.{number}/24"
        space.ip("addr", "add", address, "dev", "wire", *(["nodad"] if v6 else []))
        space.ip("link", "set", "wire", "up")
    return near, far
