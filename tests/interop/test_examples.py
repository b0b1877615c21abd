"""The small example programs do what they say."""
import json
import subprocess

import pytest

from harness import (BIN, HOST, SIGTERM, TLS, UUID, Running, curl, fetch_sha256, free_port, vless_server,
                     wait_port, wait_text)


def test_xor_layer():
    result = subprocess.run([BIN / "xor_layer"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count('received "hello"') == 3


def test_socks_server(origin, hashes, tmp_path):
    port = free_port()
    server = Running([BIN / "socks_server", HOST, str(port)], tmp_path / "log")
    try:
        wait_port(port)
        assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{port}") == hashes["64m.bin"]
    finally:
        server.signal(SIGTERM)
        assert server.stop() == 0
    assert f"-> {HOST}:{origin.port}: " in server.log


@pytest.mark.parametrize("maker", ["winze", "v2ray"])
def test_dial_through_chain(stage, origin, maker):
    """Server of either make; its certificate is for the address too."""
    port = free_port()
    stage.start(maker, vless_server(port, "ws-tls"), [port], "server")
    result = subprocess.run([BIN / "dial_through_chain", f"{HOST}:{port}", UUID, TLS / "root.pem", f"{HOST}:{origin.port}",
                             "/1k.bin"], capture_output=True, timeout=30)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"HTTP/1.1 200") and len(result.stdout.split(b"\r\n\r\n", 1)[1]) == 1024


def test_examples_without_arguments_say_how_they_are_used():
    for name in ("dial_through_chain", "esp_tunnel", "winze"):
        assert subprocess.run([BIN / name], capture_output=True).returncode != 0
    for name in ("esp_tunnel", "winze"):
        assert b"--help" in subprocess.run([BIN / name, "--help"], capture_output=True).stdout


def test_log_as_json_lines(stage, origin):
    port = free_port()
    config = {"inbounds": [{"tag": "in", "listen": HOST, "port": port, "protocol": "socks"}],
              "outbounds": [{"tag": "direct", "protocol": "freedom"}]}
    process = stage.start("winze", config, [port], arguments=("--log-format", "json", "--log-level", "info"))
    assert curl("-x", f"socks5h://{HOST}:{port}", f"http://{HOST}:{origin.port}/1k.bin").returncode == 0
    wait_text(process, f'"to":"{HOST}:{origin.port}"')
    lines = [json.loads(line) for line in process.log.splitlines()]
    record = next(line for line in lines if line.get("to") == f"{HOST}:{origin.port}")
    assert record["inbound"] == "in" and record["outbound"] == "direct"
    assert record["down"] > 1024 and record["up"] > 0 and "ms" in record and "from" in record
