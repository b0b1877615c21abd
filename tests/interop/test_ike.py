"""IKEv2 with strongSwan's charon (user-space ESP), winze as the client and as the gateway.

The cases run side by side, each in namespaces of its own; a test waits for its case.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import require
from ike_sites import FAR, INNER_FAR, INNER_NEAR, NEAR, NETS, PSK, Sites, config, far_connection, merge, near_connection
from strongswan import Pki

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def both_roles(function):
    """The case is given a function that brings the tunnel up: begun by winze, or by strongSwan."""
    for role in ("client", "gateway"):
        CASES[f"{function.__name__}-{role}"] = lambda sites, role=role: function(sites, role)
    return function


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    require(shutil.which("iperf3"), "iperf3 is not installed")
    wanted = [item.callspec.params["name"] for item in request.session.items
              if item.fspath.basename == "test_ike.py" and "name" in getattr(getattr(item, "callspec", None), "params", {})]
    folder = tmp_path_factory.mktemp("ike")

    def run(number, name):
        with Sites(f"ike{number}", folder) as sites:
            CASES[name](sites)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield {name: pool.submit(run, number, name) for number, name in enumerate(wanted)}


def bring_up(sites, role, near, far, near_pki=None, far_pki=None, near_others=None, far_others=None, **swan):
    """The tunnel of two connections, by whoever begins it, with packets through it."""
    near_text = config({"home": near}, **merge({"secrets": PSK}, near_others or {}))
    far_text = config({"home": far}, **merge({"secrets": PSK}, far_others or {}))
    if role == "gateway":
        sites.start_winze("gateway", near_text, near_pki)
        sites.start_swan(far_text, far_pki, **swan).ctl("--initiate", "--child", "net")
        sites.wait_winze("child net up")
    else:
        sites.start_swan(far_text, far_pki, **swan)
        sites.start_winze("client", near_text, near_pki)
        sites.wait_winze("child net up")


@both_roles
def psk(sites, role):
    bring_up(sites, role, near_connection(), far_connection())
    sites.use()
    sites.ping(size=3000)  # in fragments


PROPOSALS = {
    "gcm-128-ecp256": ("aes128gcm16-prfsha256-ecp256", "aes128gcm16-ecp256"),
    "gcm-256-ecp384": ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"),
    "gcm-192-ecp521": ("aes192gcm16-prfsha512-ecp521", "aes192gcm16-ecp521"),
    "gcm8-modp2048": ("aes128gcm8-prfsha256-modp2048", "aes128gcm8-modp2048"),
    "gcm12-modp3072": ("aes256gcm12-prfsha256-modp3072", "aes256gcm12-modp3072"),
    "chacha20-x25519": ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305-x25519"),
    "cbc-256-sha256-modp4096": ("aes256-sha256-modp4096", "aes256-sha256-modp4096"),
    "cbc-128-sha1-modp2048": ("aes128-sha1-modp2048", "aes128-sha1"),
    "cbc-192-sha384-ecp384": ("aes192-sha384-ecp384", "aes192-sha384"),
    "cbc-256-sha512-x25519": ("aes256-sha512-x25519", "aes256-sha512-x25519"),
    "cbc-128-xcbc": ("aes128-aesxcbc-modp2048", "aes128-aesxcbc"),
    "ctr-256-sha256": ("aes256ctr-sha256-x25519", "aes256ctr-sha256"),
    "ccm-128": ("aes256-sha256-x25519", "aes128ccm16"),
    "null-sha256": ("aes256-sha256-x25519", "null-sha256"),
    "legacy-3des-modp1024": ("3des-sha1-modp1024", "3des-sha1"),
}
for suite, (ike, esp) in PROPOSALS.items():
    for role in ("client", "gateway"):
        def proposal(sites, role=role, ike=ike, esp=esp, suite=suite):
            more = {"proposals": ike, "children": {"net": {"esp_proposals": esp}}}
            legacy = {"legacy": "yes"} if suite.startswith("legacy") else {}
            bring_up(sites, role, near_connection(**merge(more, legacy)), far_connection(**more))
            sites.ping()
            # The groups for child SAs are used in a rekey.
            with sites.pinging():
                sites.swan.ctl("--rekey", "--child", "net")
                sites.wait_winze("rekeyed, SPI")
            sites.ping()
        CASES[f"proposal-{suite}-{role}"] = proposal



# --- addresses ---


@both_roles
def virtual_addresses(sites, role):
    """Of both versions, with DNS; ping and iperf3 from them."""
    client = {"vips": "0.0.0.0, ::", "children": {"net": {"local_ts": None, "remote_ts": ", ".join((NETS[4][1], NETS[6][1]))}}}
    pools = {"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20", "dns": "10.2.0.53"}, "v6": {"addrs": "fd03::/112", "dns": "fd02::53"}}}
    serve = {"pools": "v4, v6", "children": {"net": {"remote_ts": None}}}
    if role == "client":
        gateway = merge(serve, {"children": {"net": {"local_ts": ", ".join((NETS[4][1], NETS[6][1]))}}})
        bring_up(sites, role, near_connection(**client), far_connection(**gateway), far_others=pools)
        assert "DNS 10.2.0.53, fd02::53" in sites.winze.log, sites.winze.log
        v4 = re.search(r"address ([0-9.]+)/32", sites.winze.log).group(1)
        v6 = re.search(r"(fd03::[0-9a-f]+)", sites.winze.log).group(1)
        sites.use(4, source=v4)
        sites.use(6, source=v6)
        return
    client["children"]["net"]["remote_ts"] = ", ".join((NETS[4][0], NETS[6][0]))
    gateway = merge(serve, {"children": {"net": {"local_ts": ", ".join((NETS[4][0], NETS[6][0]))}}})
    bring_up(sites, role, near_connection(**gateway), far_connection(**client), near_others=pools)
    sas = sites.swan.sas()
    v4, v6 = re.search(r"10\.3\.0\.\d+", sas).group(0), re.search(r"fd03::[0-9a-f]+", sas).group(0)
    sites.ping(4, to=v4)
    sites.ping(6, to=v6)
    sites.transfer(4, to=v4)
    assert "handling INTERNAL_IP4_DNS attribute" in sites.swan.log


def families(name, outer, inner):
    def run(sites, role):
        ts = {"children": {"net": {"local_ts": NETS[inner][0], "remote_ts": NETS[inner][1]}}}
        back = {"children": {"net": {"local_ts": NETS[inner][1], "remote_ts": NETS[inner][0]}}}
        bring_up(sites, role, near_connection(outer, **ts), far_connection(outer, **back))
        sites.use(inner)
    run.__name__ = name
    return both_roles(run)


families("v6_in_v4", 4, 6)
families("v4_in_v6", 6, 4)
families("v6_in_v6", 6, 6)


@both_roles
def narrowing(sites, role):
    """Each asks for more than the other gives; what both have is what passes."""
    wide, narrow = "10.0.0.0/8", "10.2.0.0/24"
    near = near_connection(children={"net": {"local_ts": NETS[4][0], "remote_ts": wide if role == "client" else narrow}})
    far = far_connection(children={"net": {"local_ts": narrow if role == "client" else wide, "remote_ts": NETS[4][0]}})
    bring_up(sites, role, near, far)
    sites.use()
    assert "10.1.0.0/24 <-> 10.2.0.0/24" in sites.winze.log.replace("10.1.0.0-10.1.0.255", "10.1.0.0/24").replace("10.2.0.0-10.2.0.255", "10.2.0.0/24"), sites.winze.log


# --- keys ---


@both_roles
def rekey_by_us(sites, role):
    bring_up(sites, role, near_connection(), far_connection())
    sites.use()
    with sites.pinging():
        for round in (1, 2, 3):
            sites.rekey_near()
            sites.wait_winze("rekeyed, SPI", round)
            sites.wait_winze(" rekeyed", round * 2)
    with sites.transferring():
        sites.rekey_near()
        sites.wait_winze(" rekeyed", 8)
    sites.use()


@both_roles
def rekey_by_peer(sites, role):
    bring_up(sites, role, near_connection(), far_connection())
    with sites.pinging():
        for round in (1, 2, 3):
            sites.swan.ctl("--rekey", "--child", "net")
            sites.wait_winze("rekeyed, SPI", round)
            sites.swan.ctl("--rekey", "--ike", "home")
            sites.wait_winze(" rekeyed", round * 2)
    with sites.transferring():
        sites.swan.ctl("--rekey", "--child", "net")
        sites.wait_winze("rekeyed, SPI", 4)
    sites.use()


@both_roles
def rekey_by_time(sites, role):
    """Both ends' lifetimes are short: they meet."""
    times = {"rekey_time": "4s", "over_time": "6s", "rand_time": "1s", "children": {"net": {"rekey_time": "2s", "life_time": "5s", "rand_time": "1s"}}}
    bring_up(sites, role, near_connection(**times), far_connection(**times))
    with sites.pinging():
        time.sleep(7)
    with sites.transferring(amount=("-t", "4")):
        pass
    sites.use()
    assert sites.winze.log.count("rekeyed, SPI") >= 3 and re.search(r"IKE SA \d+ rekeyed", sites.winze.log), sites.winze.log


@both_roles
def rekey_without_pfs(sites, role):
    """As Apple and Windows do it: no group for child SAs, while the other end would take one."""
    bring_up(sites, role, near_connection(children={"net": {"esp_proposals": "aes256gcm16-x25519, aes256gcm16"}}),
             far_connection(children={"net": {"esp_proposals": "aes256gcm16"}}))
    with sites.pinging():
        sites.swan.ctl("--rekey", "--child", "net")
        sites.wait_winze("rekeyed, SPI", 1)
        sites.rekey_near()
        sites.wait_winze("rekeyed, SPI", 2)
    sites.use()


@case
def reauthentication_by_us(sites):
    bring_up(sites, "client", near_connection(reauth_time="3s", rand_time="0s", over_time="5s"), far_connection(),
             extra="make_before_break = yes")
    with sites.pinging(lost=2):
        sites.wait_winze("in place of", 2, 20)
    sites.use()


@case
def reauthentication_by_peer(sites):
    """strongSwan began it, and begins anew before it ends the old one."""
    bring_up(sites, "gateway", near_connection(), far_connection(reauth_time="3s", rand_time="0s", over_time="5s"),
             extra="make_before_break = yes")
    with sites.pinging(lost=5):
        sites.wait_winze("up with", 3, 20)
    sites.use()


# --- loss and change ---

IMPATIENT = {"retransmit_timeout": "1s", "retransmit_base": "1.2", "retransmit_tries": "3"}


@both_roles
def dead_peer(sites, role):
    """A peer that is gone is found gone."""
    bring_up(sites, role, near_connection(dpd_delay="1s", **IMPATIENT, children={"net": {"dpd_action": "clear"}}), far_connection())
    sites.use()
    sites.swan.kill()
    sites.wait_winze("closed: established: the peer does not answer", 1, 20)


@case
def peer_comes_back(sites):
    """After a crash of the peer the client begins anew by itself."""
    bring_up(sites, "client", near_connection(dpd_delay="1s", keyingtries="0", **IMPATIENT), far_connection())
    sites.use()
    sites.swan.kill()
    text = (sites.swan.folder / "swanctl" / "swanctl.conf").read_text()
    shutil.rmtree(sites.swan.folder)
    sites.near.run("true")
    sites.far.run("ip", "link", "del", "ipsec0", check=False)
    sites.start_swan(text)
    sites.wait_winze("up with", 2, 90)
    sites.wait_winze("child net up", 2)
    sites.use()


@case
def mobike_new_address_of_ours(sites):
    more = {"vips": "0.0.0.0", "children": {"net": {"local_ts": None}}, "local_addrs": None}
    bring_up(sites, "client", near_connection(**more), far_connection(pools="v4", remote_addrs=None, children={"net": {"remote_ts": None}}),
             far_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    address = re.search(r"address ([0-9.]+)/32", sites.winze.log).group(1)
    sites.use(source=address)
    with sites.pinging(source=address, lost=60):
        sites.near.ip("addr", "add", "192.0.2.7/24", "dev", "wire")
        sites.near.ip("addr", "del", "192.0.2.1/24", "dev", "wire")
        sites.wait_winze("goes by 192.0.2.7", 1, 20)
        sites.transfer(source=address)
    sites.use(source=address)


@case
def mobike_new_address_of_the_peer(sites):
    more = {"vips": "0.0.0.0", "remote_addrs": NEAR[4], "local_addrs": None, "children": {"net": {"local_ts": None, "remote_ts": NETS[4][0]}}}
    serve = {"pools": "v4", "remote_addrs": None, "children": {"net": {"local_ts": NETS[4][0], "remote_ts": None}}}
    bring_up(sites, "gateway", near_connection(**serve), far_connection(**more),
             near_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    address = re.search(r"10\.3\.0\.\d+", sites.swan.sas()).group(0)
    sites.ping(to=address)
    sites.far.ip("addr", "add", "192.0.2.9/24", "dev", "wire")
    sites.far.ip("addr", "del", "192.0.2.2/24", "dev", "wire")
    sites.wait_winze("192.0.2.9", 1, 20)
    sites.ping(to=address)
    sites.transfer(to=address)


# --- the first exchange ---


@case
def cookie_of_the_peer(sites):
    """ike-scan leaves SAs half open, so that strongSwan asks for cookies."""
    require(shutil.which("ike-scan"), "ike-scan is not installed")
    sites.start_swan(config({"home": far_connection(proposals="aes256gcm16-prfsha256-x25519, aes256-sha1-modp2048")}, secrets=PSK),
                     extra="cookie_threshold = 1\ncookie_threshold_ip = 1")
    sites.near.run("ike-scan", "--ikev2", "--dhgroup=14", "--sport=0", "--retry=1", FAR[4])
    sites.start_winze("client", config({"home": near_connection()}, secrets=PSK))
    assert "N(COOKIE)" in sites.swan.log, sites.swan.log
    sites.use()


@both_roles
def invalid_ke(sites, role):
    """The responder wants another group than the one that the initiator sends first."""
    first, both = "aes256gcm16-prfsha256-x25519-ecp384", "aes256gcm16-prfsha256-ecp384"
    near = near_connection(proposals=first if role == "client" else both)
    far = far_connection(proposals=both if role == "client" else first)
    bring_up(sites, role, near, far)
    assert "INVAL_KE" in sites.swan.log or "requested" in sites.swan.log, sites.swan.log
    sites.use()


@case
def no_proposal_in_common(sites):
    """Both lists are in what the gateway says, and the peer is told."""
    sites.start_winze("gateway", config({"home": near_connection()}, secrets=PSK))
    swan = sites.start_swan(config({"home": far_connection(proposals="aes128-sha256-modp2048")}, secrets=PSK))
    assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
    sites.wait_winze("closed: ")
    assert "aes128-sha256" in sites.winze.log and "aes256gcm16-prfsha256-x25519" in sites.winze.log, sites.winze.log
    assert "NO_PROPOSAL_CHOSEN" in swan.log or "NO_PROP" in swan.log


@both_roles
def wrong_secret(sites, role):
    wrong = {"ike-1": {"secret": '"wrong"'}}
    near, far = config({"home": near_connection()}, secrets=wrong), config({"home": far_connection()}, secrets=PSK)
    if role == "gateway":
        sites.start_winze("gateway", near)
        swan = sites.start_swan(far)
        assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
        sites.wait_winze("closed: ")
    else:
        swan = sites.start_swan(far)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near)
    assert "AUTH_FAILED" in swan.log
    assert "AUTHENTICATION_FAILED" in sites.winze.log and "up with" not in sites.winze.log, sites.winze.log


# --- certificates ---

NEAR_CERT = {"local": {"auth": "pubkey", "certs": "a.pem"}, "remote": {"auth": "pubkey"}}
FAR_CERT = {"local": {"auth": "pubkey", "certs": "b.pem"}, "remote": {"auth": "pubkey"}}


def certificates(kind):
    def run(sites, role):
        pki = Pki(sites.folder / "pki", kind).issue("a").issue("b")
        bring_up(sites, role, near_connection(**NEAR_CERT), far_connection(**FAR_CERT), pki.give(sites.folder / "a", "a"),
                 pki.give(sites.folder / "b", "b"))
        sites.use()
        with sites.pinging():
            sites.rekey_near()
            sites.wait_winze(" rekeyed", 2)

    run.__name__ = f"certificates_{kind}"
    return both_roles(run)


for kind in ("rsa", "ec", "ec384", "ed25519"):
    certificates(kind)


@both_roles
def chain_of_three_in_fragments(sites, role):
    """RSA certificates with an authority between them and the root do not fit one packet."""
    pki = Pki(sites.folder / "pki", "rsa", below=2).issue("a").issue("b")
    # Only the root is trusted, so that what is between has to be sent.
    ends = {"remote": {"cacerts": "ca.pem"}}
    bring_up(sites, role, near_connection(**merge(NEAR_CERT, ends)), far_connection(**merge(FAR_CERT, ends)),
             pki.give(sites.folder / "a", "a", chain=True), pki.give(sites.folder / "b", "b", chain=True), extra="fragment_size = 576")
    assert "EF(1/" in sites.swan.log, sites.swan.log
    sites.use()


@both_roles
def certificate_of_a_stranger(sites, role):
    """From another root of the same name: neither end takes it."""
    ours, theirs = (Pki(sites.folder / name, "ec").issue("a").issue("b") for name in ("pki", "other"))
    near, far = (config({"home": c}) for c in (near_connection(**NEAR_CERT), far_connection(**FAR_CERT)))
    a, b = ours.give(sites.folder / "a", "a"), theirs.give(sites.folder / "b", "b")
    if role == "gateway":
        sites.start_winze("gateway", near, a)
        swan = sites.start_swan(far, b)
        assert swan.ctl("--initiate", "--child", "net", check=False).returncode != 0
    else:
        sites.start_swan(far, b)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near, a)
    assert "up with" not in sites.winze.log, sites.winze.log


@pytest.mark.parametrize("name", CASES)
def test_ike(outcomes, name):
    outcomes[name].result(300)
