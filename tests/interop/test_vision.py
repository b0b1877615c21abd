"""VLESS's flow xtls-rprx-vision between winze and Xray, in both roles, and winze with itself: inner TLS 1.3 goes around the
outer TLS, so that the kernel moves it; anything else passes as well."""
import concurrent.futures
import queue
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

import harness
from harness import HOST, TLS, curl, fetch_sha256, free_port, listener, wait_text
from streams import Tls, by_socks

PAIRS = [("winze", "xray"), ("xray", "winze"), ("winze", "winze")]
FLOW = "xtls-rprx-vision"
BULK = 4 << 20


def server_config(port, flow=FLOW, **extra):
    config = harness.vless_server(port, "tls", **extra)
    if flow:
        config["inbounds"][0]["settings"]["clients"][0]["flow"] = flow
    return config


def client_config(port, socks, flow=FLOW):
    out = harness.vless_out(port, "tls")
    if flow:
        out["settings"]["vnext"][0]["users"][0]["flow"] = flow
    return harness.client([listener("socks", socks, auth="noauth", udp=True, ip=HOST)], out)


def start_pair(stage, makers, **flows):
    port, socks = free_port(), free_port()
    stage.server = stage.start(makers[1], server_config(port, flows.get("server", FLOW)), [port], "server")
    stage.client = stage.start(makers[0], client_config(port, socks, flows.get("client", FLOW)), [socks], "client")
    return socks


def through(socks, web):
    return ["--cacert", str(TLS / "root.pem"), "-x", f"socks5://{HOST}:{socks}", "--resolve", f"a.test:{web.https}:{HOST}"]


def https(socks, web, name, *arguments):
    return fetch_sha256(f"https://a.test:{web.https}/{name}", *through(socks, web), *arguments)


def spliced(process, more_than=0):
    """Bytes that the kernel moved, of the largest record in a winze's log, as soon as that is more."""
    for _ in range(50):
        found = max(map(int, re.findall(r" spliced=(\d+)", process.log)), default=0)
        if found > more_than:
            break
        time.sleep(0.05)
    return found


def check_spliced(stage, makers, more_than):
    for maker, process in zip(makers, (stage.client, stage.server)):
        if maker == "winze":
            assert spliced(process, more_than) > more_than, process.log


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_inner_tls_13_goes_around(stage, web, hashes, makers):
    socks = start_pair(stage, makers)
    assert https(socks, web, "1k.bin") == hashes["1k.bin"]
    # Xray leaves where a write of its own ends with a record, which none of a bulk transfer need do: so a small answer
    # comes first.
    first = ["-o", "/dev/null", f"https://a.test:{web.https}/1k.bin"]
    assert https(socks, web, "64m.bin", "--tlsv1.3", *first) == hashes["64m.bin"]
    check_spliced(stage, makers, 48 << 20)


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_an_upload_in_tls_13_goes_around(stage, web, files, hashes, makers):
    socks = start_pair(stage, makers)
    # Small ones first, for the reason above.
    uploads = {"first": "1k.bin", "second": "1k.bin", "third": "1k.bin", "last": "64m.bin"}
    words = [word for kept, name in uploads.items()
             for word in ("-T", str(files / name), f"https://a.test:{web.https}/up/{kept}")]
    result = curl(*through(socks, web), "--tlsv1.3", "-H", "Expect:", *words)
    assert result.returncode == 0, result.stderr
    for kept, name in uploads.items():
        assert harness.sha256_of(web.kept / kept) == hashes[name]
        (web.kept / kept).unlink()
    check_spliced(stage, makers, 48 << 20)


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_200_at_once(stage, web, files, hashes, tmp_path, makers):
    """Half of them down, half up, each a connection of its own within TLS 1.3."""
    socks, url = start_pair(stage, makers), f"https://a.test:{web.https}"
    names = ["16m.bin" if i % 20 == 0 else "1k.bin" for i in range(100)]
    down = [word for i, name in enumerate(names) for word in ("-o", str(tmp_path / f"{i}.down"), f"{url}/{name}")]
    up = [word for i, name in enumerate(names) for word in ("-T", str(files / name), f"{url}/up/{i}.up")]
    at_once = ["--parallel", "--parallel-immediate", "--parallel-max", "100", "--http1.1", "-H", "Expect:"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda them: curl(*through(socks, web), *at_once, *them), (down, up)):
            assert result.returncode == 0, result.stderr
    for i, name in enumerate(names):
        for path in (tmp_path / f"{i}.down", web.kept / f"{i}.up"):
            assert harness.sha256_of(path) == hashes[name], path
            path.unlink()
    check_spliced(stage, makers, 8 << 20)


class Far:
    """A server within TLS 1.3 that takes as much as it is told to, and then goes on as the test has it."""

    def __init__(self):
        self.ends = queue.Queue()
        self.server = harness.RawServer(self._serve)
        self.port = self.server.port

    def _serve(self, connection):
        end = Tls(connection, server=True)
        over = threading.Event()
        self.ends.put((end, over))
        over.wait(60)

    def connect(self, socks):
        """Both ends of a connection after `BULK` bytes each way."""
        near = Tls(by_socks(socks, self.port))
        far, over = self.ends.get(timeout=10)
        for _ in range(3):  # Xray leaves with the end of a small record
            near.write(b"ping")
            assert take(far, 4) == b"ping"
            far.write(b"pong")
            assert take(near, 4) == b"pong"
        for source, sink in ((near, far), (far, near)):
            sender = threading.Thread(target=source.write, args=(bytes(BULK),))
            sender.start()
            assert take(sink, BULK) == bytes(BULK)
            sender.join()
        return near, far, over

    def stop(self):
        self.server.stop()


def take(end, size):
    data = b""
    while len(data) < size:
        piece = end.read()
        assert piece, len(data)
        data += piece
    return data


def raw_end(connection):
    """How a connection ends, with what comes before passed over."""
    try:
        while connection.recv(1 << 16):
            pass
        return "end"
    except ConnectionResetError:
        return "reset"


@pytest.fixture
def far():
    server = Far()
    yield server
    server.stop()


def test_half_close_once_around(stage, far):
    """One end ends its direction, and what the other still has comes. (With Xray between, the end of one is the end of both.)"""
    socks = start_pair(stage, ("winze", "winze"))
    for first in ("near", "far"):
        near, away, over = far.connect(socks)
        one, other = (near, away) if first == "near" else (away, near)
        one.write(b"last")
        one.connection.shutdown(socket.SHUT_WR)
        assert take(other, 4) == b"last"
        assert other.read() == b""
        other.write(bytes(1 << 20))
        other.connection.shutdown(socket.SHUT_WR)
        assert take(one, 1 << 20) == bytes(1 << 20)
        assert one.read() == b""
        over.set()
        near.connection.close()
    check_spliced(stage, ("winze", "winze"), BULK)


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_abort_once_around(stage, far, makers):
    """Who breaks off in the middle of a transfer ends the other side as well, by a reset where winze is alone."""
    socks = start_pair(stage, makers)
    before = [process.descriptors() for process in (stage.client, stage.server)]
    for first in ("near", "far"):
        near, away, over = far.connect(socks)
        one, other = (near, away) if first == "near" else (away, near)
        written = queue.Queue()
        threading.Thread(target=write_until_it_fails, args=(other, written), daemon=True).start()
        one.connection.recv(1 << 16)
        one.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.connection.close()
        # A reset is told once, to who asks first: the reader or the writer.
        how = raw_end(other.connection), written.get(timeout=10)
        assert "reset" in how or "xray" in makers, how
        over.set()
    for maker, process, count in zip(makers, (stage.client, stage.server), before):
        if maker == "winze":
            process.wait_descriptors(count)


def write_until_it_fails(end, how):
    try:
        while True:
            end.write(bytes(1 << 18))
    except ConnectionResetError:
        how.put("reset")
    except OSError as error:
        how.put(str(error))


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_other_traffic_stays_within(stage, web, origin, files, hashes, makers):
    socks = start_pair(stage, makers)
    assert https(socks, web, "16m.bin", "--tls-max", "1.2") == hashes["16m.bin"]
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    assert fetch_sha256(f"http://{HOST}:{web.http}/16m.bin", *proxy) == hashes["16m.bin"]
    url = f"http://{HOST}:{origin.port}"
    result = curl(*proxy, "-T", str(files / "16m.bin"), f"{url}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["16m.bin"], result.stderr
    for maker, process in zip(makers, (stage.client, stage.server)):
        if maker == "winze":
            assert spliced(process) == 0, process.log


@pytest.mark.parametrize("makers", [("winze", "xray")], ids="-".join)
def test_one_gibibyte(stage, web, origin, files, hashes, makers):
    """Around, and within."""
    socks = start_pair(stage, makers)
    assert https(socks, web, "1g.bin", "--tlsv1.3") == hashes["1g.bin"]
    harness.transfer(socks, origin, files, hashes, "1g.bin")


@pytest.mark.parametrize("makers", [("winze", "xray"), ("xray", "winze")], ids="-".join)
def test_who_may_do_without(stage, origin, hashes, makers):
    """A user of the flow has to ask for it, and nobody else may."""
    for flows in ({"client": None}, {"server": None}):
        socks = start_pair(stage, makers, **flows)
        result = curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin", seconds=10)
        assert result.returncode != 0 and not result.stdout
        stage.stop()


@pytest.mark.parametrize("side", ["server", "client"])
def test_the_outer_tls_must_be_13(stage, origin, side):
    port, socks = free_port(), free_port()
    server, client = server_config(port), client_config(port, socks)
    (server["inbounds"] if side == "server" else client["outbounds"])[0]["streamSettings"]["tlsSettings"]["maxVersion"] = "1.2"
    stage.start("winze", server, [port], "server")
    process = stage.start("winze", client, [socks], "client")
    assert curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin", seconds=10).returncode != 0
    wait_text(process, "needs TLS 1.3")


@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
def test_other_streams_are_refused(tmp_path, kind):
    config = harness.vless_server(free_port(), kind)
    config["inbounds"][0]["settings"]["clients"][0]["flow"] = FLOW
    path = tmp_path / "server.json"
    path.write_text(harness.json.dumps(config))
    result = subprocess.run([str(harness.BIN / "winze"), "run", "-c", str(path)], capture_output=True, text=True, timeout=20)
    assert result.returncode != 0
    assert 'clients[0].flow: "xtls-rprx-vision" needs' in result.stderr
