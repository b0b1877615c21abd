"""`winze link`: from a server's configuration to a link, from the link to a client that gets through."""
import hashlib
import ssl
import subprocess

import pytest

from harness import BIN, HOST, TLS, UUID, Running, fetch_sha256, free_port, stream, wait_port


def winze(*arguments):
    return subprocess.run([BIN / "winze", *arguments], capture_output=True, text=True)


SETTINGS = {"vless": {"clients": [{"id": UUID, "email": "peer@example"}], "decryption": "none"},
            "vmess": {"clients": [{"id": UUID, "email": "peer@example"}]},
            "trojan": {"clients": [{"password": "p@ss #1", "email": "peer@example"}]},
            "shadowsocks": {"method": "aes-256-gcm", "password": "p@ss #1"}}


def server(protocol, port, kind):
    inbound = {"tag": "in", "listen": HOST, "port": port, "protocol": protocol, "settings": SETTINGS[protocol],
               "streamSettings": stream(kind, "server")}
    return {"inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]}


@pytest.mark.parametrize("maker", ["winze", "v2ray"])
@pytest.mark.parametrize("protocol,kind", [("vless", "tcp"), ("vless", "ws-tls"), ("trojan", "tls"), ("vmess", "ws"),
                                           ("shadowsocks", "tcp")])
def test_link_of_an_inbound_makes_a_client(stage, origin, hashes, tmp_path, maker, protocol, kind):
    port, proxy = free_port(), free_port()
    stage.start(maker, server(protocol, port, kind), [port], "server")
    sni = ["--sni", "a.test"] if kind.endswith("tls") else []
    made = winze("link", "--from", str(tmp_path / "server.json"), "--tag", "in", "--host", HOST, *sni)
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    scheme = "ss" if protocol == "shadowsocks" else protocol
    assert link.startswith(f"{scheme}://")
    if sni:
        # The test's authority is nobody's else.
        leaf = ssl.PEM_cert_to_DER_cert((TLS / "a.pem").read_text().split("-----END CERTIFICATE-----")[0]
                                        + "-----END CERTIFICATE-----\n")
        link = link.replace("#", f"&pcs={hashlib.sha256(leaf).hexdigest()}#")
    client = winze("link", link, "--listen", f"{HOST}:{proxy}")
    assert client.returncode == 0, client.stderr
    (tmp_path / "client.json").write_text(client.stdout)
    running = Running([str(BIN / "winze"), "run", "-c", str(tmp_path / "client.json")], tmp_path / "client.log")
    stage.running.append(running)
    wait_port(proxy, process=running.process)
    assert fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{proxy}") == hashes["64m.bin"]


def test_a_link_that_asks_for_more_is_refused():
    for link, why in [(f"vless://{UUID}@h.test:443?security=reality&type=tcp", "reality is not supported"),
                      (f"vless://{UUID}@h.test:443?type=grpc", "\"grpc\" is not supported"),
                      (f"vless://{UUID}@h.test:443?colour=red", "unknown parameter"),
                      ("hello", "expected vmess://")]:
        result = winze("link", link)
        assert result.returncode == 1 and why in result.stderr, (link, result.stderr)
