"""Users of a running node, as curl sees them: removed, limited, counted."""
import json
import signal
import subprocess
import time

import pytest

from harness import (BIN, HOST, UUID, client, curl, free_port, listener, vless_out, vless_server, wait_port)

MIB = 1 << 20
FREEDOM = {"tag": "direct", "protocol": "freedom"}
ALICE = {"user": "alice", "pass": "correct horse"}


def socks(port, **terms):
    return {"tag": "in", "listen": HOST, "port": port, "protocol": "socks",
            "settings": {"auth": "password", "accounts": [ALICE | terms]}}


def proxy(port):
    return ["-x", f"socks5h://alice:correct%20horse@{HOST}:{port}"]


class Host:
    """A program that embeds a node (users_host.cc)."""

    def __init__(self, folder, config, port):
        self.path = folder / "host.json"
        self.path.write_text(json.dumps(config))
        self.process = subprocess.Popen([BIN / "users_host", self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        assert self.process.stdout.readline() == "listening\n"
        wait_port(port)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def statistics(self):
        return json.loads(self.ask("statistics"))

    def log(self):
        return self.path.with_suffix(".json.access").read_text()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def host(tmp_path):
    made = []

    def start(config, port):
        made.append(Host(tmp_path, config, port))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.mark.parametrize("protocol", ["socks", "vless"])
def test_removal_ends_a_download_within_100_ms(stage, host, origin, protocol):
    port = free_port()
    if protocol == "socks":
        embedded, name = host(client([socks(port)], FREEDOM), port), "alice"
        arguments = proxy(port)
    else:
        embedded, name = host(vless_server(port, "tcp"), port), "peer@example"
        near = free_port()
        stage.start("v2ray", client([listener("socks", near)], vless_out(port, "tcp")), [near])
        arguments = ["-x", f"socks5h://{HOST}:{near}"]
    url = f"http://{HOST}:{origin.port}/1g.bin"
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "20M", "-o", "/dev/null", *arguments, url],
                                stderr=subprocess.PIPE)
    time.sleep(1)
    assert transfer.poll() is None
    assert [u["connections"] for u in embedded.statistics()["users"]] == [1]
    begun = time.monotonic()
    assert embedded.ask(f"remove in {name}") == "ok"
    while embedded.statistics()["inbounds"][0]["connections"]:
        assert time.monotonic() - begun < 0.1
    assert transfer.wait(5) != 0
    assert "user removed" in embedded.log().replace('"', "")
    assert curl(*arguments, url, "-o", "/dev/null").returncode != 0
    if protocol == "vless":
        assert embedded.ask(f"add in {UUID} again@example") == "ok"
        assert curl(*arguments, f"http://{HOST}:{origin.port}/1k.bin", "-o", "/dev/null").returncode == 0


def test_a_rate_is_kept_and_can_be_lifted(host, origin):
    port = free_port()
    embedded = host(client([socks(port, limits={"down": "1MiB"})], FREEDOM), port)
    begun = time.monotonic()
    result = curl(*proxy(port), f"http://{HOST}:{origin.port}/64m.bin", "-r", f"0-{4 * MIB - 1}", "-o", "/dev/null",
                  "--max-filesize", str(80 * MIB), seconds=4)
    # The origin knows no ranges: the time is up first.
    assert result.returncode == 28
    seconds = time.monotonic() - begun
    down = embedded.statistics()["users"][0]["down"]
    assert 0.9 * MIB < down / seconds < 1.1 * MIB
    assert embedded.ask("limit in alice 0 0 0") == "ok"
    begun = time.monotonic()
    assert curl(*proxy(port), f"http://{HOST}:{origin.port}/64m.bin", "-o", "/dev/null").returncode == 0
    assert time.monotonic() - begun < 10


def test_a_quota_is_kept_to_the_byte(host, origin):
    port = free_port()
    quota = 10 * MIB + 12345
    embedded = host(client([socks(port, limits={"quota": quota})], FREEDOM), port)
    result = curl(*proxy(port), f"http://{HOST}:{origin.port}/64m.bin", "-o", "/dev/null")
    assert result.returncode != 0
    user = embedded.statistics()["users"][0]
    assert user["up"] + user["down"] == quota
    assert "quota used up" in embedded.log()
    result = curl(*proxy(port), f"http://{HOST}:{origin.port}/1k.bin", "-o", "/dev/null")
    assert result.returncode == 97, "SOCKS says that it is not allowed"


def test_connections_and_expiry_are_refused_with_their_cause(stage, origin):
    port, other = free_port(), free_port()
    expired = socks(other, expiry="2020-01-01") | {"tag": "expired"}
    process = stage.start("winze", client([socks(port, limits={"connections": 1}), expired], FREEDOM), [port, other])
    url = f"http://{HOST}:{origin.port}"
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "1M", "-o", "/dev/null", *proxy(port), f"{url}/64m.bin"])
    time.sleep(0.5)
    assert curl(*proxy(port), f"{url}/1k.bin").returncode == 97
    transfer.terminate()
    transfer.wait()
    assert curl(*proxy(other), f"{url}/1k.bin").returncode == 97
    log = process.log
    assert "too many connections" in log and "1 of 1" in log
    assert "user expired" in log


@pytest.mark.parametrize("threads", [1, 2])
def test_statistics_are_what_curl_has_seen(stage, origin, tmp_path, threads):
    port = free_port()
    file = tmp_path / "statistics.json"
    process = stage.start("winze", client([socks(port)], FREEDOM), [port],
                          arguments=["--threads", str(threads), "--stats-file", str(file)])
    sent, seen = 0, 0
    for name in ["1k.bin", "64m.bin", "1k.bin"]:
        result = curl(*proxy(port), f"http://{HOST}:{origin.port}/{name}", "-o", "/dev/null", "-w",
                      "%{size_request} %{size_header} %{size_download}")
        request, head, body = map(int, result.stdout.split())
        sent, seen = sent + request, seen + head + body
    deadline = time.monotonic() + 5
    while True:
        file.unlink(missing_ok=True)
        process.signal(signal.SIGUSR1)
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        statistics = json.loads(file.read_text())
        if statistics["inbounds"][0]["connections"] == 0 or time.monotonic() > deadline:
            break
    user = statistics["users"][0]
    assert (user["name"], user["up"], user["down"]) == ("alice", sent, seen)
    assert user["connectionsTotal"] == 3
    for side in ("inbounds", "outbounds"):
        tag = statistics[side][0]
        assert (tag["up"], tag["down"], tag["connections"]) == (sent, seen, 0)


def test_statistics_follow_a_spliced_download(stage, origin, tmp_path):
    port = free_port()
    file = tmp_path / "statistics.json"
    stage.start("winze", client([socks(port)], FREEDOM), [port],
                arguments=["--stats-file", str(file), "--stats-interval", "1"])
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "50M", "-o", str(tmp_path / "got"), *proxy(port),
                                 f"http://{HOST}:{origin.port}/1g.bin"])
    time.sleep(3.5)
    counted = json.loads(file.read_text())["users"][0]["down"]
    transfer.terminate()
    transfer.wait()
    # 50 MB/s, at most 1 s behind; what curl has not read yet is in the sockets' buffers.
    assert 60 * 10**6 < counted < 220 * 10**6
