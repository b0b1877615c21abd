"""curl and winze alone: the inbounds, straight to the origin."""
import re
import subprocess

import pytest

from harness import BIN, HOST, Origin, client, curl, fetch_sha256, free_port, listener, stream

FREEDOM = {"tag": "direct", "protocol": "freedom"}
ACCOUNTS = [{"user": "alice", "pass": "correct horse"}]


SOCKS = ["socks5", "socks5h", "socks4", "socks4a"]
SCHEMES = [("socks", s) for s in SOCKS] + [("http", "http")] + [("mixed", s) for s in [*SOCKS, "http"]]


@pytest.mark.parametrize("inbound,scheme", SCHEMES)
def test_download(stage, origin, hashes, inbound, scheme):
    port = free_port()
    stage.start("winze", client([listener(inbound, port)], FREEDOM), [port])
    for arguments in ([], ["-p"]) if scheme == "http" else ([],):
        url = f"http://localhost:{origin.port}/64m.bin"
        assert fetch_sha256(url, "-x", f"{scheme}://{HOST}:{port}", *arguments) == hashes["64m.bin"]


@pytest.mark.parametrize("scheme,arguments", [("socks5h", []), ("http", []), ("http", ["-p"])])
def test_accounts(stage, origin, scheme, arguments):
    port = free_port()
    inbound = listener("mixed", port, auth="password", accounts=ACCOUNTS)
    stage.start("winze", client([inbound], FREEDOM), [port])
    url = f"http://{HOST}:{origin.port}/1k.bin"

    def ask(login):
        proxy = ["-x", f"{scheme}://{HOST}:{port}"] + (["-U", login] if login else [])
        result = curl("-f", "-o", "/dev/null", *proxy, *arguments, url)
        return result.returncode

    assert ask("alice:correct horse") == 0
    assert ask("alice:wrong") != 0
    assert ask("bob:correct horse") != 0
    assert ask(None) != 0


def test_plain_requests_keep_the_connection(stage, origin):
    port = free_port()
    stage.start("winze", client([listener("http", port)], FREEDOM), [port])
    url = f"http://{HOST}:{origin.port}/1k.bin"
    result = curl("-v", "-x", f"http://{HOST}:{port}", url, "-o", "/dev/null", url, "-o", "/dev/null")
    assert result.returncode == 0
    assert b"Re-using existing connection" in result.stderr
    seen = [headers for path, headers in origin.seen if path == "/1k.bin"][-1]
    assert "Proxy-Connection" not in seen


@pytest.mark.parametrize("scheme,arguments", [("socks5h", []), ("http", ["-p"]), ("http", [])])
def test_refused_connection_is_told(stage, scheme, arguments):
    port, nobody = free_port(), free_port()
    stage.start("winze", client([listener("mixed", port)], FREEDOM), [port])
    result = curl("-v", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", "-x", f"{scheme}://{HOST}:{port}",
                  *arguments, f"http://{HOST}:{nobody}/")
    told = result.stdout.decode() + result.stderr.decode()
    assert "503" in told or "refused" in told.lower() or "(5)" in told


def test_ipv6_and_dokodemo(stage, files, hashes):
    origin = Origin(files, "::1")
    socks, door = free_port("::1"), free_port("::1")
    inbounds = [listener("socks", socks, "::1"), listener("dokodemo-door", door, "::1", address="::1", port=origin.port)]
    stage.start("winze", client(inbounds, FREEDOM), [socks, door], host="::1")
    assert fetch_sha256(f"http://[::1]:{origin.port}/64m.bin", "-x", f"socks5h://[::1]:{socks}") == hashes["64m.bin"]
    assert fetch_sha256(f"http://[::1]:{door}/64m.bin") == hashes["64m.bin"]
    origin.stop()


def test_blackhole(stage, origin):
    port, other = free_port(), free_port()
    stage.start("winze", client([listener("mixed", port)], {"protocol": "blackhole"}), [port])
    answering = {"protocol": "blackhole", "settings": {"response": {"type": "http"}}}
    stage.start("winze", client([listener("mixed", other)], answering), [other])
    url = f"http://{HOST}:{origin.port}/1k.bin"
    assert curl("-x", f"socks5h://{HOST}:{port}", url).returncode == 52  # empty reply
    result = curl("-o", "/dev/null", "-w", "%{http_code}", "-x", f"socks5h://{HOST}:{other}", url)
    assert result.stdout == b"403"


@pytest.mark.parametrize("kind", ["tls", "ws", "ws-tls"])
@pytest.mark.parametrize("maker", ["winze", "v2ray"])
def test_freedom_with_transports(stage, origin, hashes, maker, kind):
    """What freedom dials gets the transports of its streamSettings, and is never spoken to without them."""
    door, port, wrong = free_port(), free_port(), free_port()
    inbound = listener("dokodemo-door", door, address=HOST, port=origin.port) | {"streamSettings": stream(kind, "server")}
    stage.start("winze", client([inbound], FREEDOM), [door], "far")
    freedom = FREEDOM | {"streamSettings": stream(kind, "client")}
    stage.start(maker, client([listener("socks", port)], freedom), [port], "near")
    url = f"http://{HOST}:{door}/64m.bin"
    assert fetch_sha256(url, "-x", f"socks5h://{HOST}:{port}") == hashes["64m.bin"]
    if kind != "ws":
        freedom = FREEDOM | {"streamSettings": stream(kind, "client", name="b.test")}
        stage.start(maker, client([listener("socks", wrong)], freedom), [wrong], "wrong")
        assert curl("-x", f"socks5h://{HOST}:{wrong}", url).returncode != 0


def test_version_names_what_it_is_built_on():
    said = subprocess.run([BIN / "winze", "version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"winze \S+\nAsio \S+\nBoringSSL API \d+\nabseil .+\n", said)
