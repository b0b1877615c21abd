"""A Linux kernel as the peer: User-Mode Linux, booted as an ordinary process with the host's files as its root.

For kernels without ESP, such as this host's may be. The guest sees the host's file system under a tmpfs overlay, so every
installed program runs inside and nothing it writes comes back, except in /ctl, the folder it was started with.
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import time

from harness import require
from spaces import inside

INIT = r"""#!/bin/bash
# Process 1 of the guest: an overlay over the read-only root, then the commands whose numbers come over the serial line.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
if [ "${1:-}" != inside ]; then
  mount -n -t proc proc /proc
  release=$(</proc/sys/kernel/osrelease)
  modules=/usr/lib/uml/modules/$release
  insmod "$modules/kernel/fs/overlayfs/overlay.ko"
  mount -n -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -n -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
  cd /mnt/root
  mkdir -p "lib/modules/$release" ctl old
  mount -n --move /dev dev
  mount -n --move /proc proc
  pivot_root . old
  mount -n --bind "old$modules" "lib/modules/$release"
  mount -n -t hostfs -o "$CTL" hostfs ctl
  mount -n -t tmpfs tmpfs run
  mount -n -t tmpfs tmpfs tmp
  mount -n -t sysfs sysfs sys
  exec chroot . /ctl/init inside </dev/null >/dev/console 2>&1
fi
ip link set lo up
for card in /sys/class/net/vec*; do ip link set "${card##*/}" up; done
stty -F /dev/ttyS0 raw -echo
exec 3</dev/ttyS0
echo >/ctl/ready
while read -r number <&3; do
  (
    exec 3<&-
    bash "/ctl/$number.sh" </dev/null >"/ctl/$number.out" 2>&1
    status=$?
    sync "/ctl/$number.out"
    echo $status >"/ctl/$number.part"
    mv "/ctl/$number.part" "/ctl/$number.status"
  ) &
done
"""


class LinuxGuest:
    """One guest with cards vec0, vec1, ..., joined to the TAP interfaces `taps` in the network namespace `space`."""

    def __init__(self, folder, space, *taps):
        kernel = shutil.which("linux.uml") or "/usr/bin/linux.uml"
        require(os.path.exists(kernel), "user-mode-linux is not installed")
        self.folder = pathlib.Path(folder) / f"guest-{taps[0]}"
        self.folder.mkdir()
        self.count = 0
        init = self.folder / "init"
        init.write_text(INIT)
        init.chmod(0o755)
        os.mkfifo(self.folder / "in")
        # Open for both, so that the guest never reads an end of file.
        self.serial = os.open(self.folder / "in", os.O_RDWR)
        serial_out = os.open(self.folder / "serial", os.O_CREAT | os.O_WRONLY, 0o600)
        console = open(self.folder / "console", "wb")
        cards = []
        for number, tap in enumerate(taps):
            subprocess.run(["ip", "-n", space, "tuntap", "add", "mode", "tap", "name", tap], check=True)
            subprocess.run(["ip", "-n", space, "link", "set", tap, "up"], check=True)
            cards.append(f"vec{number}:transport=tap,ifname={tap},mac=02:00:5e:00:53:0{number + 1},depth=128,gro=1")
        self.process = subprocess.Popen(
            [*inside(space), "env", "-i", f"PATH={os.environ['PATH']}", f"HOME={self.folder}",
             "TMPDIR=/dev/shm", kernel, "mem=192M", "rootfstype=hostfs", "root=/dev/root", "ro", f"init={init}",
             f"CTL={self.folder}", "umid=guest", f"uml_dir={self.folder}/uml", "quiet", "noreboot", "panic=-1", "con=null",
             "con0=null,fd:1", "ssl=null", f"ssl0=fd:{self.serial},fd:{serial_out}", *cards],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, pass_fds=[self.serial, serial_out],
            start_new_session=True)
        os.close(serial_out)
        self._wait(self.folder / "ready", 60)

    def _wait(self, path, seconds):
        deadline = time.monotonic() + seconds
        while not path.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the guest does not answer:\n" + (self.folder / "console").read_text()[-2000:])
            time.sleep(0.02)

    def start(self, script):
        """Begins to run a script as root in the guest; returns its number."""
        self.count += 1
        (self.folder / f"{self.count}.sh").write_text(script)
        os.write(self.serial, f"{self.count}\n".encode())
        return self.count

    def run(self, script, seconds=60):
        """Runs a script; returns its output. A status other than 0 is an AssertionError."""
        return self.result(script, seconds).stdout

    def result(self, script, seconds=60, check=True):
        """The same, as subprocess.run() has it."""
        number = self.start(script)
        self._wait(self.folder / f"{number}.status", seconds)
        output = (self.folder / f"{number}.out").read_text()
        status = int((self.folder / f"{number}.status").read_text())
        assert not check or status == 0, f"{shlex.quote(script)} ended with {status}:\n{output}"
        return subprocess.CompletedProcess(script, status, output, "")

    def stop(self):
        # The kernel's helper processes are in its session.
        subprocess.run(["pkill", "-KILL", "-s", str(os.getsid(self.process.pid))], check=False)
        self.process.wait()
        os.close(self.serial)
