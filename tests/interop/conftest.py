import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from embedded import Host
from packets import Echo
from spaces import Space
from web import Web

SIZES = {"1k.bin": 1 << 10, "16m.bin": 16 << 20, "64m.bin": 64 << 20, "1g.bin": 1 << 30}


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true", help="a file of 1 GiB where each row of a matrix moves one of 16 MiB")


def pytest_configure(config):
    if config.getoption("--whole"):
        harness.FILE = "1g.bin"


@pytest.fixture(scope="session")
def files():
    """Files of pseudo-random bytes, with their SHA-256."""
    with tempfile.TemporaryDirectory(prefix="winze-interop-") as folder:
        folder = pathlib.Path(folder)
        block = os.urandom(1 << 20)
        for name, size in SIZES.items():
            with open(folder / name, "wb") as file:
                for i in range(max(1, size >> 20)):
                    # Each block differs from the others, so that one out of place shows.
                    file.write((i.to_bytes(8, "big") + block)[: min(size, 1 << 20)])
        yield folder


@pytest.fixture(scope="session")
def hashes(files):
    return {name: harness.sha256_of(files / name) for name in SIZES}


@pytest.fixture(scope="session")
def origin(files):
    server = harness.Origin(files)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def web(files, tmp_path_factory):
    """A web server with TLS 1.3 and 1.2."""
    server = Web(files, tmp_path_factory.mktemp("web"))
    yield server
    server.stop()


@pytest.fixture
def stage(tmp_path, request):
    stage = harness.Stage(tmp_path)
    yield stage
    stage.stop()
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        for process in stage.running:
            print(f"--- {process.log_path}\n{process.log[-3000:]}")


@pytest.fixture
def echo():
    servers = []

    def make(host=harness.HOST):
        servers.append(Echo(host))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def host(tmp_path):
    """Makes programs that embed a node."""
    made = []

    def start(config, port, threads=1):
        made.append(Host(tmp_path, config, port, threads))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report = outcome.get_result()


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="-")
        terminalreporter.write_line(report.longreprtext[-3000:])


@pytest.fixture
def spaces():
    """Makes network namespaces by name."""
    harness.require(os.geteuid() == 0, "not root: no namespaces and no TUN interfaces")
    harness.require(os.path.exists("/dev/net/tun"), "there is no /dev/net/tun")
    made = []

    def make(name):
        made.append(Space(name))
        return made[-1]

    yield make
    for space in made:
        space.close()


@pytest.fixture(scope="session")
def ask():
    """Has winze seal or open a packet; see ipsec_packets.cc."""
    process = subprocess.Popen([harness.BIN / "ipsec_packets"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def request(op, packet, **fields):
        words = [f"op={op}", f"packet={bytes(packet).hex()}", *(f"{k}={v}" for k, v in fields.items())]
        process.stdin.write(" ".join(words) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        assert not answer.startswith(("drop", "error")), answer
        return bytes.fromhex(answer)

    yield request
    process.stdin.close()
    assert process.wait(10) == 0
