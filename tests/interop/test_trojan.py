"""Trojan beyond the matrix: winze and trojan 1.16 in both roles, and what strangers see of a server."""
import contextlib
import hashlib
import socket
import ssl
import time

import pytest

import harness
from harness import HOST, PASSWORD, TLS, curl, fetch_sha256, free_port, listener
from packets import Association

CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"


def trojan_config(role, local, remote, **extra):
    """Of trojan 1.16; `remote` is a client's server, or where a server sends strangers."""
    ends = {"local_addr": HOST, "local_port": local, "remote_addr": HOST, "remote_port": remote}
    tls = {"cipher": CIPHERS, "cipher_tls13": "TLS_AES_128_GCM_SHA256", "alpn": ["http/1.1"], "reuse_session": True,
           "session_ticket": False, "curves": ""}
    if role == "server":
        tls |= {"cert": str(TLS / "a.pem"), "key": str(TLS / "a.key"), "key_password": "", "prefer_server_cipher": True,
                "alpn_port_override": {}, "session_timeout": 600, "plain_http_response": "", "dhparam": ""}
    else:
        tls |= {"verify": True, "verify_hostname": True, "cert": str(TLS / "root.pem"), "sni": "a.test"}
    return {"run_type": role, **ends, "password": [PASSWORD], "log_level": 1, "ssl": tls,
            "tcp": {"prefer_ipv4": True, "no_delay": True, "keep_alive": True, "reuse_port": False, "fast_open": False,
                    "fast_open_qlen": 20},
            "mysql": {"enabled": False}} | extra


def start_pair(stage, makers, web):
    """Returns the client's SOCKS port and the server's."""
    port, socks = free_port(), free_port()
    if makers[1] == "trojan":
        stage.start("trojan", trojan_config("server", port, web), [port], "server")
    else:
        fallbacks = {"fallbacks": [{"dest": web}]}
        stage.start(makers[1], harness.proxy_server("trojan", port, "tls", settings=fallbacks), [port], "server")
    if makers[0] == "trojan":
        stage.start("trojan", trojan_config("client", socks, port), [socks], "client")
    else:
        inbound = listener("socks", socks, auth="noauth", udp=True, ip=HOST)
        stage.start(makers[0], harness.client([inbound], harness.proxy_client("trojan", port, "tls")), [socks], "client")
    return socks, port


@pytest.mark.parametrize("makers", [("winze", "trojan"), ("trojan", "winze")], ids="-".join)
def test_trojan_1_16(stage, origin, files, hashes, echo, makers):
    socks, _ = start_pair(stage, makers, origin.port)
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    url = f"http://{HOST}:{origin.port}"
    assert fetch_sha256(f"{url}/64m.bin", *proxy) == hashes["64m.bin"]
    result = curl(*proxy, "-T", str(files / "64m.bin"), f"{url}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["64m.bin"], result.stderr
    first, second = echo(), echo()
    with Association(socks) as association:
        association.check_full_cone(first, second)
        association.check_many(first)


def test_one_gibibyte(stage, origin, files, hashes):
    socks, _ = start_pair(stage, ("winze", "trojan"), origin.port)
    harness.transfer(socks, origin, files, hashes, "1g.bin")


def tls_to(port):
    context = ssl.create_default_context(cafile=str(TLS / "root.pem"))
    return context.wrap_socket(socket.create_connection((HOST, port), 10), server_hostname="a.test")


def answer(connection):
    """All that comes, and whether it ended in order."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except OSError as error:
        return data, type(error).__name__
    return data, "end"


REQUEST = b"GET /1k.bin HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
KEY = hashlib.sha224(PASSWORD.encode()).hexdigest().encode()
WRONG_KEY = hashlib.sha224(b"another").hexdigest().encode()
REST = b"\r\n\x01\x01\x7f\x00\x00\x01\x00\x09\r\n"


PROBES = {
    "a request": [REQUEST],
    "a request in drips": [REQUEST[i : i + 7] for i in range(0, len(REQUEST), 7)],
    "random bytes": [bytes(range(128, 256)) + b"\r\n\r\n"],
    "a wrong key": [WRONG_KEY + REST + b"\r\n\r\n"],
    "a key in capitals": [KEY.upper() + REST + b"\r\n\r\n"],
    "a key and no line end": [KEY + b"\n\n\r\n\r\n"],
    "a nearly right key": [KEY[:-1] + (b"0" if KEY[-1:] != b"0" else b"1") + REST + b"\r\n\r\n"],
}


@pytest.mark.parametrize("maker", ["winze", "v2ray", "trojan"])
def test_a_browser_finds_a_web_server(stage, origin, hashes, maker):
    _, port = start_pair(stage, ("winze", maker), origin.port)
    assert fetch_sha256(f"https://a.test:{port}/1k.bin", "--cacert", str(TLS / "root.pem"), "--resolve",
                        f"a.test:{port}:{HOST}") == hashes["1k.bin"]


def test_probes_see_the_web_server(stage, origin):
    """Whatever a stranger tries, what comes back is the web server's own answer to the same bytes, when it comes."""
    _, port = start_pair(stage, ("winze", "winze"), origin.port)

    def seen(connection, pieces, pause=0.05):
        begun = time.monotonic()
        with connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            data, how = answer(connection)
        lines = [line for line in data.split(b"\r\n") if not line.startswith((b"Date:", b"Server:"))]
        return b"\r\n".join(lines), how, time.monotonic() - begun

    for name, pieces in PROBES.items():
        through, direct = seen(tls_to(port), pieces), seen(socket.create_connection((HOST, origin.port), 10), pieces)
        assert through[:2] == direct[:2], name
        assert through[2] < direct[2] + 3, name


def test_without_a_web_server_nothing_is_said(stage):
    port = free_port()
    stage.start("winze", harness.proxy_server("trojan", port, "tls"), [port], "server")
    for name, pieces in PROBES.items():
        with tls_to(port) as connection:
            begun = time.monotonic()
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
            data, _ = answer(connection)
            assert data == b"" and time.monotonic() - begun < 3, name


def test_a_quiet_stranger_is_left_to_the_web_server(stage, origin):
    _, port = start_pair(stage, ("winze", "winze"), origin.port)
    for beginning, status in ((b"", b"404"), (KEY[:30], b"501")):
        with tls_to(port) as connection:
            connection.sendall(beginning)
            connection.settimeout(5)
            # The handshake timer (4 s) hands it over; nobody hangs up.
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(10)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            data, how = answer(connection)
            assert how == "end" and status in data, data


def test_a_user_with_a_bad_request_is_cut_off_without_a_word(stage, origin):
    _, port = start_pair(stage, ("winze", "winze"), origin.port)
    with tls_to(port) as connection:
        connection.sendall(KEY + b"\r\n\x09" + REST[3:])
        data, _ = answer(connection)
        assert data == b""
