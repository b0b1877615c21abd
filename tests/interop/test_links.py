"""`winze link`: from a server's configuration to a link, from a link to a client that gets through."""
import base64
import hashlib
import json
import ssl
import subprocess

import pytest

from harness import (BIN, HOST, TLS, UUID, Running, client, fetch_sha256, free_port, listener, require_program, stream,
                     wait_port)

FLOW = "xtls-rprx-vision"
METHOD = "2022-blake3-aes-128-gcm"
KEYS = [base64.b64encode(bytes([fill]) * 16).decode() for fill in (1, 2)]  # the server's, the user's
PLUGIN = "path=/tunnel;host=a.test;mux=0"  # v2ray-plugin's


def winze(*arguments):
    return subprocess.run([BIN / "winze", *arguments], capture_output=True, text=True)


SETTINGS = {"vless": {"clients": [{"id": UUID, "email": "peer@example"}], "decryption": "none"},
            "vmess": {"clients": [{"id": UUID, "email": "peer@example"}]},
            "trojan": {"clients": [{"password": "p@ss #1", "email": "peer@example"}]},
            "shadowsocks": {"method": "aes-256-gcm", "password": "p@ss #1"}}
WITH_FLOW = {"clients": [{"id": UUID, "email": "peer@example", "flow": FLOW}], "decryption": "none"}
WITH_USERS = {"method": METHOD, "password": KEYS[0], "clients": [{"password": KEYS[1], "email": "peer@example"}]}
WITH_PLUGIN = SETTINGS["shadowsocks"] | {"plugin": "ss-v2ray-plugin", "pluginOpts": "server;" + PLUGIN}


def server(protocol, port, kind, settings=None):
    inbound = {"tag": "in", "listen": HOST, "port": port, "protocol": protocol,
               "settings": settings or SETTINGS[protocol], "streamSettings": stream(kind, "server")}
    return {"inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]}


def certificate_pin():
    """The test's authority is nobody's else."""
    leaf = (TLS / "a.pem").read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()


def fetch_by(stage, origin, link):
    """What a client made from the link downloads: its SHA-256."""
    port, path = free_port(), stage.folder / "client.json"
    made = winze("link", link, "--listen", f"{HOST}:{port}")
    assert made.returncode == 0, made.stderr
    path.write_text(made.stdout)
    running = Running([str(BIN / "winze"), "run", "-c", str(path)], stage.folder / "client.log")
    stage.running.append(running)
    wait_port(port, process=running.process)
    return fetch_sha256(f"http://{HOST}:{origin.port}/64m.bin", "-x", f"socks5h://{HOST}:{port}", "--retry", "20",
                        "--retry-delay", "1", "--retry-all-errors")


def inbounds():
    for maker in ("winze", "v2ray"):
        for protocol, kind in [("vless", "tcp"), ("vless", "ws-tls"), ("trojan", "tls"), ("vmess", "ws"),
                               ("shadowsocks", "tcp")]:
            yield pytest.param(maker, protocol, kind, None, id=f"{protocol}-{kind}-{maker}")
    for maker in ("winze", "xray"):
        yield pytest.param(maker, "vless", "tls", WITH_FLOW, id=f"vless-flow-{maker}")
        yield pytest.param(maker, "shadowsocks", "tcp", WITH_USERS, id=f"shadowsocks-2022-users-{maker}")


@pytest.mark.parametrize("maker,protocol,kind,settings", [
    *inbounds(), pytest.param("winze", "shadowsocks", "tcp", WITH_PLUGIN, id="shadowsocks-plugin")])
def test_link_of_an_inbound_makes_a_client(stage, origin, hashes, tmp_path, maker, protocol, kind, settings):
    if settings is WITH_PLUGIN:
        require_program("ss-v2ray-plugin")
    port = free_port()
    stage.start(maker, server(protocol, port, kind, settings), [port], "server")
    sni = ["--sni", "a.test"] if kind.endswith("tls") else []
    made = winze("link", "--from", str(tmp_path / "server.json"), "--tag", "in", "--host", HOST, *sni)
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    scheme = "ss" if protocol == "shadowsocks" else protocol
    assert link.startswith(f"{scheme}://")
    if sni:
        link = link.replace("#", f"&pcs={certificate_pin()}#")
    assert fetch_by(stage, origin, link) == hashes["64m.bin"]


AT = f"@{HOST}:{{port}}"
LINKS = {
    "vmess-standard": ("v2ray", ("vmess", "ws"), f"vmess://{UUID}{AT}?encryption=chacha20-poly1305&type=ws&host=a.test"
                                                 "&path=%2Ftunnel#a%20name"),
    "vmess-standard-tls": ("v2ray", ("vmess", "ws-tls"), f"vmess://{UUID}{AT}?type=ws&host=a.test&path=%2Ftunnel"
                                                         "&security=tls&sni=a.test&pcs={pin}#name"),
    "vless-flow": ("xray", ("vless", "tls", WITH_FLOW), f"vless://{UUID}{AT}?encryption=none&flow={FLOW}&security=tls"
                                                        "&sni=a.test&pcs={pin}&type=tcp#name"),
    "ss-2022-users": ("xray", ("shadowsocks", "tcp", WITH_USERS),
                      "ss://" + f"{METHOD}:{KEYS[0]}:{KEYS[1]}".replace("=", "%3D").replace("/", "%2F") + f"{AT}#name"),
    "ss-plugin": ("winze", ("shadowsocks", "tcp", WITH_PLUGIN),
                  "ss://" + base64.urlsafe_b64encode(b"aes-256-gcm:p@ss #1").decode().rstrip("=") + AT
                  + "/?plugin=ss-v2ray-plugin%3B" + PLUGIN.replace(";", "%3B").replace("=", "%3D") + "#name"),
}


@pytest.mark.parametrize("name", LINKS)
def test_links_as_others_write_them(stage, origin, hashes, name):
    maker, (protocol, kind, *settings), link = LINKS[name]
    if "plugin" in name:
        require_program("ss-v2ray-plugin")
    port = free_port()
    stage.start(maker, server(protocol, port, kind, *settings), [port], "server")
    assert fetch_by(stage, origin, link.format(port=port, pin=certificate_pin())) == hashes["64m.bin"]


def test_the_link_of_an_outbound_with_a_plugin(stage, origin, hashes, tmp_path):
    require_program("ss-v2ray-plugin")
    port = free_port()
    stage.start("winze", server("shadowsocks", port, "tcp", WITH_PLUGIN), [port], "server")
    one = SETTINGS["shadowsocks"] | {"address": HOST, "port": port}
    outbound = {"tag": "out", "protocol": "shadowsocks",
                "settings": {"servers": [one], "plugin": "ss-v2ray-plugin", "pluginOpts": PLUGIN}}
    path = tmp_path / "given.json"
    path.write_text(json.dumps(client([listener("socks", free_port())], outbound)))
    made = winze("link", "--from", str(path), "--tag", "out")
    assert made.returncode == 0, made.stderr
    assert fetch_by(stage, origin, made.stdout.strip()) == hashes["64m.bin"]


def test_a_link_that_asks_for_more_is_refused():
    for link, why in [(f"vless://{UUID}@h.test:443?security=reality&type=tcp", "reality is not supported"),
                      (f"vless://{UUID}@h.test:443?type=grpc", "\"grpc\" is not supported"),
                      (f"vless://{UUID}@h.test:443?colour=red", "unknown parameter"),
                      ("hello", "expected vmess://")]:
        result = winze("link", link)
        assert result.returncode == 1 and why in result.stderr, (link, result.stderr)
