"""VLESS's flow xtls-rprx-vision between winze and Xray, in both roles, and winze with itself: inner TLS 1.3 goes around the
outer TLS, so that the kernel moves it; anything else passes as well."""
import re
import ssl
import subprocess
import time

import pytest

import harness
from harness import HOST, TLS, UUID, curl, fetch_sha256, free_port, listener, wait_text

PAIRS = [("winze", "xray"), ("xray", "winze"), ("winze", "winze")]
FLOW = "xtls-rprx-vision"


@pytest.fixture(scope="module")
def web(files, tmp_path_factory):
    """nginx, that serves the files over HTTPS (TLS 1.3 and 1.2) and HTTP; yields its two ports."""
    harness.require_program("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    https, http = free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 0; sendfile on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {HOST}:{http}; listen {HOST}:{https} ssl;
    ssl_certificate {TLS}/a.pem; ssl_certificate_key {TLS}/a.key; ssl_protocols TLSv1.2 TLSv1.3;
    root {files};
  }}
}}""")
    process = subprocess.Popen(["nginx", "-c", str(config), "-e", str(folder / "error.log")])
    harness.wait_port(https, process=process)
    yield https, http
    process.terminate()
    process.wait()


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


def https(socks, port, name, *arguments):
    return fetch_sha256(f"https://a.test:{port}/{name}", "--cacert", str(TLS / "root.pem"), "-x",
                        f"socks5://{HOST}:{socks}", "--resolve", f"a.test:{port}:{HOST}", *arguments)


def spliced(process):
    """Bytes that the kernel moved, of the largest record in a winze's log."""
    for _ in range(50):
        found = [int(n) for n in re.findall(r" spliced=(\d+)", process.log)]
        if found:
            return max(found)
        time.sleep(0.05)
    return 0


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_inner_tls_13_goes_around(stage, web, hashes, makers):
    socks = start_pair(stage, makers)
    assert https(socks, web[0], "1k.bin") == hashes["1k.bin"]
    # Xray leaves where a write of its own ends with a record, which none of a bulk transfer need do: so a small answer
    # comes first.
    first = ["-o", "/dev/null", f"https://a.test:{web[0]}/1k.bin"]
    assert https(socks, web[0], "64m.bin", "--tlsv1.3", *first) == hashes["64m.bin"]
    for maker, process in zip(makers, (stage.client, stage.server)):
        if maker == "winze":
            assert spliced(process) > 48 << 20, process.log


@pytest.mark.parametrize("makers", PAIRS, ids="-".join)
def test_other_traffic_stays_within(stage, web, origin, files, hashes, makers):
    socks = start_pair(stage, makers)
    assert https(socks, web[0], "16m.bin", "--tls-max", "1.2") == hashes["16m.bin"]
    proxy = ["-x", f"socks5h://{HOST}:{socks}"]
    assert fetch_sha256(f"http://{HOST}:{web[1]}/16m.bin", *proxy) == hashes["16m.bin"]
    url = f"http://{HOST}:{origin.port}"
    result = curl(*proxy, "-T", str(files / "16m.bin"), f"{url}/up", "-H", "Expect:")
    assert result.stdout.decode() == hashes["16m.bin"], result.stderr
    for maker, process in zip(makers, (stage.client, stage.server)):
        if maker == "winze":
            assert spliced(process) == 0, process.log


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
