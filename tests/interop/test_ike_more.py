"""IKEv2 without strongSwan as the peer: tshark and ike-scan as readers, winze with winze."""
import os
import shutil
import subprocess
import time

import pytest

from harness import BIN, HOST, Running, free_port, require, require_program, wait_text
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
    sniffer = Running([*sites.far.inside, "tshark", "-q", "-i", "wire", "-f", "udp", "-w", str(capture)], tmp_path / "sniffer.log")
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


def ask_for_echoes(folder, times=1, before=(), **more):
    """A client and a gateway on loopback, which need no privileges; returns what the gateway has said."""
    port = free_port()
    both = {"local_addrs": "%any", "remote_addrs": "%any"} | more
    (folder / "gateway.conf").write_text(config({"home": far_connection(**both)}, secrets=PSK))
    (folder / "client.conf").write_text(config({"home": near_connection(**(both | {"remote_addrs": HOST, "remote_port": port}))}, secrets=PSK))
    gateway = Running([*before, str(BIN / "ipsec_gateway"), "-c", str(folder / "gateway.conf"), "--echo", "--port", str(port), "--nat-port", str(port)],
                      folder / "gateway.log")
    try:
        wait_text(gateway, "listening at")
        for _ in range(times):
            result = subprocess.run([*before, str(BIN / "ipsec_client"), "-c", str(folder / "client.conf"), "--once", "10.2.0.1"], capture_output=True,
                                    text=True, timeout=30)
            assert result.returncode == 0 and "echo from 10.2.0.1" in result.stdout, result.stdout + result.stderr + gateway.log
    finally:
        assert gateway.stop() == 0
    assert gateway.log.count("closed: established: closed by the peer") == times, gateway.log
    return gateway.log


def test_client_and_gateway_without_any_interface(tmp_path):
    ask_for_echoes(tmp_path, times=2)


def test_esp_in_udp_where_protocol_50_is_not_allowed(tmp_path):
    require_program("setpriv")
    before = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw") if os.geteuid() == 0 else ()
    assert "encap = no: ESP goes in UDP all the same" in ask_for_echoes(tmp_path, before=before, encap="no")


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
