"""IKEv2 without strongSwan as the peer: tshark and ike-scan as readers, winze with winze, in a proxy chain too."""
import json
import os
import shutil
import subprocess
import time

import pytest

from harness import BIN, HOST, UUID, Running, free_port, require, stream
from ike_sites import FAR, NEAR, PSK, Sites, config, far_connection, near_connection


@pytest.fixture
def sites(tmp_path):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    with Sites("more", tmp_path) as sites:
        yield sites


@pytest.mark.parametrize("proposal", ["aes256gcm16-prfsha256-x25519", "aes128-sha256-modp2048"])
def test_tshark_decrypts_ike_auth_from_our_key_log(sites, tmp_path, proposal):
    require(shutil.which("tshark"), "tshark is not installed")
    capture = tmp_path / "capture.pcapng"
    home = tmp_path / "home"
    home.mkdir()
    sniffer = Running(["ip", "netns", "exec", sites.far.name, "tshark", "-q", "-i", "wire", "-f", "udp", "-w", str(capture)], tmp_path / "sniffer.log")
    try:
        deadline = time.monotonic() + 10
        while "Capturing" not in sniffer.log:
            assert time.monotonic() < deadline, sniffer.log
            time.sleep(0.05)
        time.sleep(0.5)
        sites.start_swan(config({"home": far_connection(proposals=proposal)}, secrets=PSK))
        sites.start_winze("client", config({"home": near_connection(proposals=proposal)}, secrets=PSK), None, "--key-log",
                          str(home / "ikev2_decryption_table"))
        sites.wait_winze("child net up")
        sites.ping()
        time.sleep(0.5)
    finally:
        sniffer.stop()
    # Its preferences, wherever it looks for them, are not the user's.
    environment = os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "WIRESHARK_CONFIG_DIR": str(home)}
    result = subprocess.run(["tshark", "-r", str(capture), "-V", "-Y", "isakmp.exchangetype == 35"], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for what in ("Identification - Initiator", "Identification - Responder", "Authentication (39)", "Traffic Selector - Initiator", "a.test", "b.test"):
        assert what in result.stdout, result.stdout[-6000:]
    assert result.stdout.count("[correct]") >= 2 and "[incorrect" not in result.stdout


@pytest.mark.parametrize("group, answer", [("14", "IKEv2 SA_INIT Handshake returned"), ("2", "INVALID_KE_PAYLOAD|returned notify|Notify message 17")])
def test_ike_scan(sites, group, answer):
    require(shutil.which("ike-scan"), "ike-scan is not installed")
    sites.start_winze("gateway", config({"home": near_connection(proposals="aes256-sha1-modp2048", remote_addrs="%any")}, secrets=PSK))
    found = sites.far.run("ike-scan", "--ikev2", f"--dhgroup={group}", "--sport=0", "--retry=1", NEAR[4])
    assert any(word in found for word in answer.split("|")), found


def test_client_and_gateway_without_any_interface(tmp_path):
    port = free_port()
    both = {"local_addrs": "%any", "remote_addrs": "%any"}
    (tmp_path / "gateway.conf").write_text(config({"home": far_connection(**both)}, secrets=PSK))
    (tmp_path / "client.conf").write_text(config({"home": near_connection(**(both | {"remote_addrs": HOST, "remote_port": port}))}, secrets=PSK))
    gateway = Running([str(BIN / "ipsec_gateway"), "-c", str(tmp_path / "gateway.conf"), "--echo", "--port", str(port), "--nat-port", str(port)],
                      tmp_path / "gateway.log")
    try:
        deadline = time.monotonic() + 10
        while "listening at" not in gateway.log:
            assert time.monotonic() < deadline and gateway.process.poll() is None, gateway.log
            time.sleep(0.02)
        for _ in range(2):
            result = subprocess.run([str(BIN / "ipsec_client"), "-c", str(tmp_path / "client.conf"), "--once", "10.2.0.1"], capture_output=True,
                                    text=True, timeout=30)
            assert result.returncode == 0 and "echo from 10.2.0.1" in result.stdout, result.stdout + result.stderr + gateway.log
    finally:
        assert gateway.stop() == 0
    assert gateway.log.count("closed: established: closed by the peer") == 2, gateway.log


@pytest.mark.parametrize("file, message", [
    ("connections { home { local { auth = psk } remote { auth = psk }\n proposals = aes256-foo } }", "connections.home.proposals: "),
    ("connections { home { children { net { esp_proposals = 3des-sha1 } } local { auth = psk } remote { auth = psk } } }", "legacy"),
    ("connections { home { rekey_tim = 1h } }", 'did you mean "rekey_time"?'),
    ("pools { p { addrs = 10.0.0.0/24 } }", "there is no connection in it"),
])
def test_what_is_wrong_in_a_file_is_said(tmp_path, file, message):
    (tmp_path / "swanctl.conf").write_text(file)
    result = subprocess.run([str(BIN / "ipsec_gateway"), "-c", str(tmp_path / "swanctl.conf"), "--echo", "--port", "0", "--nat-port", "0"],
                            capture_output=True, text=True, timeout=10)
    assert result.returncode == 1 and message in result.stderr, result.stderr


def test_ike_and_esp_in_a_proxy_chain(sites, tmp_path):
    """winze run at both ends: RFC 9329 in VLESS in WebSocket in TLS."""
    secrets = {"ike": {"secret": "of both"}}
    psk = {"local": {"auth": "psk", "id": "a.test"}, "remote": {"auth": "psk", "id": "b.test"}}
    server = {"inbounds": [{"listen": FAR[4], "port": 8443, "protocol": "vless", "settings": {"clients": [{"id": UUID}], "decryption": "none"},
                            "streamSettings": stream("ws-tls", "server")}],
              "outbounds": [{"protocol": "freedom"}],
              "ipsec": {"interface": "tun", "tcp_port": 4500, "secrets": secrets,
                        "connections": {"road": {"local": psk["remote"], "remote": psk["local"],
                                                 "children": {"net": {"local_ts": "10.2.0.0/24", "remote_ts": "10.1.0.0/24"}}}}}}
    client = {"outbounds": [{"tag": "proxy", "protocol": "vless",
                             "settings": {"vnext": [{"address": FAR[4], "port": 8443, "users": [{"id": UUID, "encryption": "none"}]}]},
                             "streamSettings": stream("ws-tls", "client")}],
              "ipsec": {"interface": "tun", "secrets": secrets,
                        "connections": {"home": psk | {"remote_addrs": "127.0.0.1", "outbound": "proxy", "remote_port": 4500,
                                                       "children": {"net": {"local_ts": "10.1.0.0/24", "remote_ts": "10.2.0.0/24", "start_action": "start"}}}}}}
    running = []
    try:
        for space, name, text in ((sites.far, "server", server), (sites.near, "client", client)):
            (tmp_path / f"{name}.json").write_text(json.dumps(text))
            running.append(Running(["ip", "netns", "exec", space.name, str(BIN / "winze"), "run", "-c", str(tmp_path / f"{name}.json"),
                                    "--log-level", "info", "--threads", "1"], tmp_path / f"{name}.log"))
            sites.winze = running[-1]
            sites.wait_winze("running" if name == "server" else "child net up")
        sites.use()
        assert sites.near.run("ss", "-Huln", "sport = :500") != ""
        assert sites.far.run("ss", "-Htn", "state", "established", "sport = :8443") != ""
    finally:
        for process in running:
            process.stop()

