"""What a server of ours shows to strangers, and how it behaves under its operator's signals."""
import os
import shutil
import socket
import ssl
import stat
import subprocess
import time

import pytest

from harness import (BIN, HOST, SIGHUP, SIGTERM, TLS, RawServer, client, curl, fetch_sha256, free_port, listener, stream,
                     vless_out, vless_server, wait_text)


def tls_get(port, path, extra=()):
    resolve = ["--resolve", f"a.test:{port}:{HOST}", "--cacert", str(TLS / "root.pem")]
    return curl("-i", *resolve, *extra, f"https://a.test:{port}{path}")


def test_fallback_serves_browsers(stage, origin):
    port = free_port()
    stage.start("winze", vless_server(port, "tls", fallbacks=[{"dest": origin.port}]), [port])
    answer = tls_get(port, "/1k.bin")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(b"HTTP/1.1 200")
    assert len(answer.stdout.split(b"\r\n\r\n", 1)[1]) == 1024


@pytest.mark.parametrize("where", ["{folder}/in.sock,0600", "@winze-interop-{pid}"])
def test_unix_sockets(stage, origin, where):
    """An inbound at a Unix socket, with a thread per core, where a fallback of another sends its strangers."""
    address, port = where.format(folder=stage.folder, pid=os.getpid()), free_port()
    web = {"listen": address, "protocol": "dokodemo-door", "settings": {"address": HOST, "port": origin.port}}
    process = stage.start("winze", client([web], {"protocol": "freedom"}), [], "web",
                          arguments=("--log-level", "info", "--threads", "4"))
    wait_text(process, "running")
    stage.start("winze", vless_server(port, "tls", fallbacks=[{"dest": address.split(",")[0]}]), [port], "server")
    for _ in range(8):
        assert tls_get(port, "/1k.bin").stdout.startswith(b"HTTP/1.1 200")
    if not address.startswith("@"):
        assert stat.S_IMODE(os.stat(stage.folder / "in.sock").st_mode) == 0o600
    assert process.stop() == 0
    assert not (stage.folder / "in.sock").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_fallback_tells_the_source(stage, version):
    seen = []

    def web(s):
        seen.append(s.recv(4096))
        s.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    server = RawServer(web)
    fallbacks = [{"dest": 1}, {"path": "/hidden", "dest": f"{HOST}:{server.port}", "xver": version}]
    port = free_port()
    stage.start("winze", vless_server(port, "tls", fallbacks=fallbacks), [port])
    assert tls_get(port, "/hidden").stdout.startswith(b"HTTP/1.1 204")
    start = b"PROXY TCP4 127.0.0.1 127.0.0.1 " if version == 1 else b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
    assert seen[0].startswith(start)
    assert b"GET /hidden" in seen[0]
    server.stop()


def test_proxy_protocol_is_read(stage, origin):
    port = free_port()
    config = client([listener("socks", port)], {"protocol": "freedom"})
    config["inbounds"][0]["streamSettings"] = {"sockopt": {"acceptProxyProtocol": True}}
    process = stage.start("winze", config, [port])
    with socket.create_connection((HOST, port)) as s:
        s.settimeout(10)
        s.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n\x05\x01\x00")
        assert s.recv(10) == b"\x05\x00"
        s.sendall(b"\x05\x01\x00\x01\x7f\0\0\x01" + origin.port.to_bytes(2, "big"))
        assert s.recv(10)[:2] == b"\x05\x00"
    wait_text(process, "from=192.0.2.7:4711")


def test_websocket_strangers_get_404(stage):
    port = free_port()
    stage.start("winze", vless_server(port, "ws-tls"), [port])
    upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
               "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "--http1.1", "--max-time", "3"]
    assert tls_get(port, "/elsewhere", upgrade).stdout.startswith(b"HTTP/1.1 404")
    assert tls_get(port, "/tunnel", upgrade).stdout.startswith(b"HTTP/1.1 101")
    assert tls_get(port, "/tunnel", ["--http1.1"]).stdout.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("extra,reason", [
    ({"name": "b.test"}, "another host"), ({"certificate": "expired"}, "expired"), ({"certificate": "unknown"}, "unknown CA"),
    ({"name": "b.test"}, "certificate is for a.test, "), ({"name": "b.test"}, ', wanted b.test"')])
def test_bad_certificates_are_refused_with_the_reason(stage, origin, extra, reason):
    port, socks = free_port(), free_port()
    server_extra = {k: v for k, v in extra.items() if k == "certificate"}
    client_extra = {k: v for k, v in extra.items() if k == "name"}
    stage.start("winze", vless_server(port, "tls", **server_extra), [port])
    process = stage.start("winze", client([listener("socks", socks)], vless_out(port, "tls", **client_extra)), [socks])
    assert curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin").returncode != 0
    wait_text(process, reason)


def wait_begun(file, seconds=15):
    """Until some of a download is there."""
    deadline = time.monotonic() + seconds
    while not file.exists() or file.stat().st_size == 0:
        assert time.monotonic() < deadline, "nothing comes"
        time.sleep(0.02)


def test_sigterm_drains(stage, origin, hashes):
    port = free_port()
    process = stage.start("winze", client([listener("socks", port)], {"protocol": "freedom"}), [port],
                          arguments=("--grace", "30"))
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "40M", "-o", str(stage.folder / "got"), "-x",
                                 f"socks5h://{HOST}:{port}", f"http://{HOST}:{origin.port}/64m.bin"])
    wait_begun(stage.folder / "got")
    process.signal(SIGTERM)
    with pytest.raises(OSError):
        for _ in range(100):
            socket.create_connection((HOST, port), 1).close()
            time.sleep(0.02)
    assert transfer.wait(30) == 0
    assert process.process.wait(10) == 0
    assert fetch_sha256((stage.folder / "got").as_uri()) == hashes["64m.bin"]


def certificate_name(port):
    context = ssl.create_default_context(cafile=TLS / "root.pem")
    context.check_hostname = False
    with socket.create_connection((HOST, port)) as raw, context.wrap_socket(raw, server_hostname="a.test") as s:
        return s.getpeercert()["subject"][0][0][1]


def alpn_chosen(port, offered):
    context = ssl.create_default_context(cafile=TLS / "root.pem")
    context.set_alpn_protocols(offered)
    with socket.create_connection((HOST, port)) as raw, context.wrap_socket(raw, server_hostname="a.test") as s:
        return s.selected_alpn_protocol()


@pytest.mark.parametrize("maker", ["winze", "v2ray"])
def test_default_alpn_of_a_server(stage, maker):
    port, ws = free_port(), free_port()
    stage.start(maker, vless_server(port, "tls", default_alpn=True), [port])
    assert alpn_chosen(port, ["http/1.1", "h2"]) == "h2"
    # V2Ray 4.34 agrees on nothing then.
    assert alpn_chosen(port, ["http/1.1"]) == ("http/1.1" if maker == "winze" else None)
    if maker == "winze":
        stage.start(maker, vless_server(ws, "ws-tls", default_alpn=True), [ws])
        assert alpn_chosen(ws, ["h2", "http/1.1"]) == "http/1.1"


@pytest.mark.parametrize("maker", ["winze", "v2ray"])
def test_default_alpn_of_a_client(stage, maker):
    context, chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(TLS / "a.pem", TLS / "a.key")
    context.set_alpn_protocols(["h2", "http/1.1"])

    def serve(s):
        with context.wrap_socket(s, server_side=True) as wrapped:
            chosen.append(wrapped.selected_alpn_protocol())

    server, socks = RawServer(serve), free_port()
    stage.start(maker, client([listener("socks", socks)], vless_out(server.port, "tls", default_alpn=True)), [socks])
    curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:1/", seconds=5)
    assert chosen and set(chosen) == {"h2"}
    server.stop()


def test_sighup_reads_certificates_again(stage, origin, hashes):
    port, socks = free_port(), free_port()
    for suffix in ("pem", "key"):
        shutil.copy(TLS / f"a.{suffix}", stage.folder / f"now.{suffix}")
    config = vless_server(port, "tls")
    files = config["inbounds"][0]["streamSettings"]["tlsSettings"]["certificates"][0]
    files["certificateFile"], files["keyFile"] = str(stage.folder / "now.pem"), str(stage.folder / "now.key")
    process = stage.start("winze", config, [port], "server", arguments=("--log-level", "info"))
    stage.start("winze", client([listener("socks", socks)], vless_out(port, "tls")), [socks], "client")
    assert certificate_name(port) == "a"
    transfer = subprocess.Popen(["curl", "-sS", "--limit-rate", "40M", "-o", str(stage.folder / "got"), "-x",
                                 f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/64m.bin"])
    wait_begun(stage.folder / "got")
    for suffix in ("pem", "key"):
        shutil.copy(TLS / f"b.{suffix}", stage.folder / f"now.{suffix}")
    process.signal(SIGHUP)
    wait_text(process, "certificates read again")
    assert certificate_name(port) == "b"
    assert transfer.wait(30) == 0
    assert fetch_sha256((stage.folder / "got").as_uri()) == hashes["64m.bin"]


@pytest.mark.parametrize("config,complaint", [
    ({"inbounds": [], "outbounds": [{"protocol": "freedom"}]}, "nothing to do"),
    ({"inbuonds": []}, 'did you mean "inbounds"?'),
    ({"inbounds": [{"port": 1, "protocol": "socks", "listen": "nowhere"}], "outbounds": [{"protocol": "freedom"}]},
     "inbounds[0].listen: cannot listen"),
    ({"inbounds": [{"port": 1, "protocol": "socks"}], "outbounds": []}, "outbounds: at least one"),
    ({"inbounds": [{"port": 1, "protocol": "socks"}], "outbounds": [{"tag": "a", "protocol": "freedom"}] * 2},
     'outbounds[1].tag: outbounds[0] has the tag "a" already'),
])
def test_bad_configurations_say_what_is_wrong(stage, config, complaint):
    with pytest.raises(AssertionError):
        stage.start("winze", config, [free_port()], "bad")
    assert stage.running[0].process.returncode == 1
    assert complaint in stage.running[0].log
    check = subprocess.run([BIN / "winze", "check", "-c", stage.folder / "bad.json"], capture_output=True, text=True)
    assert check.returncode == 1
    assert complaint in check.stderr


def test_ends_in_order_when_the_client_has_gone(stage, origin):
    """WebSocket cannot say that one direction has ended; what closes the connection says it, and nothing has failed."""
    port, socks = free_port(), free_port()
    server = vless_server(port, "ws-tls")
    server["policy"] = {"levels": {"0": {"downlinkOnly": 1}}}
    outbound = client([listener("socks", socks)], vless_out(port, "ws-tls"))
    outbound["policy"] = server["policy"]
    process = stage.start("winze", server, [port], "server")
    stage.start("winze", outbound, [socks], "client")
    assert curl("-x", f"socks5h://{HOST}:{socks}", f"http://{HOST}:{origin.port}/1k.bin").returncode == 0
    wait_text(process, "user=peer@example")
    record = [line for line in process.log.splitlines() if "user=peer@example" in line]
    assert record and "failed" not in record[0]
