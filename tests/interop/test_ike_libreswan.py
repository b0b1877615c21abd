"""IKEv2 with libreswan 4.10, whose ESP a Linux kernel carries, winze as the client and as the gateway."""
import os
import re
import shutil

import pytest

import nat
from harness import require
from ike_cases import Cases
from ike_guest import GuestSites, GuestWorld
from ike_sites import FAR, NEAR, NETS, PSK, TCP, config, merge, near_connection
from libreswan import PPK, Pluto, connection

CASES = Cases(__file__)
case, both_roles = CASES.case, CASES.both_roles


def bring_up(sites, role, near, far, pki=None, **near_others):
    """The tunnel of two connections, by whoever begins it."""
    text = config({"home": near}, **merge({"secrets": PSK}, near_others))
    if role == "gateway":
        sites.start_winze("gateway", text, pki)
    sites.swan.load(far)
    if role == "gateway":
        sites.swan.initiate()
    else:
        sites.start_winze("client", text, pki)
    sites.wait_winze("child net up")


# pluto sends by a new SA some milliseconds before it answers the request for it, from which alone we have the keys.
EARLY = 5


def used(sites, version=4, **ends):
    """Before, during and after new keys by either end."""
    sites.ping(version, **ends)
    with sites.pinging(version, **ends, lost=EARLY):
        sites.rekey_near()
        sites.wait_winze(" rekeyed", 2)
        sites.swan.rekey_child()
        sites.wait_winze("rekeyed, SPI", 2)
    sites.iperf(version, ends.get("source"), ends.get("to"), *TCP, "--bidir")


@both_roles
def psk(sites, role):
    bring_up(sites, role, near_connection(), connection())
    sites.use()
    sites.ping(size=3000)  # in fragments


# --- proposals ---


@both_roles
def what_either_takes_by_itself(sites, role):
    near = near_connection(proposals=None, children={"net": {"esp_proposals": None}})
    bring_up(sites, role, near, connection(ike=None, esp=None))
    used(sites)


# Proposals for IKE and ESP as winze and as pluto spell them.
for name, role, ike, esp, far_ike, far_esp in (
        ("gcm128", "client", "aes128gcm16-prfsha384-ecp384", "aes128gcm16-ecp384", "aes_gcm128-sha2_384-dh20", "aes_gcm128"),
        ("cbc-sha256", "gateway", "aes256-sha256-modp2048", "aes256-sha256-modp2048", "aes256-sha2_256-dh14", "aes256-sha2_256"),
        ("cbc-sha512", "client", "aes128-sha512-ecp521", "aes128-sha512-ecp521", "aes128-sha2_512-dh21", "aes128-sha2_512"),
        ("cbc-sha1", "gateway", "aes128-sha1-modp3072", "aes128-sha1-modp3072", "aes128-sha1-dh15", "aes128-sha1"),
        ("chacha20", "client", "chacha20poly1305-prfsha256-x25519", "chacha20poly1305-x25519", "chacha20_poly1305-sha2_256-dh31",
         "chacha20_poly1305"),
        ("ctr-ccm", "gateway", "aes256ctr-sha384-ecp256", "aes128ccm16-ecp256", "aes_ctr256-sha2_384-dh19", "aes_ccm128")):
    def proposal(sites, role=role, ike=ike, esp=esp, far_ike=far_ike, far_esp=far_esp):
        # By protocol 50: libreswan 4.10 forgets to tell the kernel that its SAs of AES-CCM go in UDP.
        near = near_connection(proposals=ike, encap="no", children={"net": {"esp_proposals": esp}})
        bring_up(sites, role, near, connection(ike=far_ike, esp=far_esp))
        used(sites)
    CASES[f"proposal-{name}-{role}"] = proposal


@both_roles
def esn(sites, role):
    bring_up(sites, role, near_connection(children={"net": {"esp_proposals": "aes256gcm16-x25519-esn"}}), connection(esn="yes"))
    assert sites.swan.log.count("ESPinUDP/ESN") == 1, sites.swan.log
    used(sites)


@both_roles
def invalid_ke(sites, role):
    """The responder wants another group than the one that the initiator sends first."""
    first, both = "aes256gcm16-prfsha256-x25519-ecp384", "aes256gcm16-prfsha256-ecp384"
    near = near_connection(proposals=first if role == "client" else both, children={"net": {"esp_proposals": "aes256gcm16"}})
    bring_up(sites, role, near, connection(ike="aes_gcm256-sha2_256-dh20" if role == "client" else "aes_gcm256-sha2_256-dh31+dh20"))
    assert "INVALID_KE_PAYLOAD" in sites.swan.log, sites.swan.log
    sites.ping()


@case
def cookie(sites):
    sites.swan.whack("--ddos-busy")
    try:
        bring_up(sites, "client", near_connection(), connection())
        assert "unencrypted notification COOKIE" in sites.swan.log, sites.swan.log
        sites.ping()
    finally:
        sites.swan.whack("--ddos-auto")


# --- addresses ---


def families(name, outer, inner, role):
    def run(sites, role):
        near = near_connection(outer, children={"net": {"local_ts": NETS[inner][0], "remote_ts": NETS[inner][1]}})
        bring_up(sites, role, near, connection(outer, leftsubnet=NETS[inner][1], rightsubnet=NETS[inner][0]))
        used(sites, inner)

    CASES[f"{name}-{role}"] = lambda sites: run(sites, role)


families("v6_in_v4", 4, 6, "client")
families("v4_in_v6", 6, 4, "gateway")


@both_roles
def narrowing(sites, role):
    """Each asks for more than the other gives; what both have is what passes."""
    wide, narrow = "10.0.0.0/8", "10.2.0.0/24"
    near = near_connection(children={"net": {"remote_ts": wide if role == "client" else narrow}})
    bring_up(sites, role, near, connection(narrowing="yes", leftsubnet=narrow if role == "client" else wide))
    assert "10.1.0.0/24 <-> 10.2.0.0/24" in sites.winze.log, sites.winze.log
    sites.ping()


POOL = {"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20", "dns": "10.2.0.53"}}}
TAKES = {"leftsubnet": "0.0.0.0/0", "rekey": "no", "leftmodecfgclient": "yes", "rightmodecfgserver": "yes",
         "narrowing": "yes", "leftupdown": "ipsec _updown"}
GIVES = {"rightsubnet": None, "right": "%any", "leftmodecfgserver": "yes", "rightmodecfgclient": "yes",
         "rightaddresspool": "10.3.0.10-10.3.0.20", "modecfgdns": "10.2.0.53", "narrowing": "yes"}


def client_of_pluto(sites, **far):
    """The tunnel of a client with a virtual address, and that address."""
    near = near_connection(vips="0.0.0.0", local_addrs=None, children={"net": {"local_ts": None}})
    bring_up(sites, "client", near, connection(**GIVES, **far))
    return sites.address_given()


@case
def virtual_address_from_pluto(sites):
    address = client_of_pluto(sites)
    assert "DNS 10.2.0.53" in sites.winze.log, sites.winze.log
    used(sites, source=address)


@case
def virtual_address_for_pluto(sites):
    near = near_connection(pools="v4", remote_addrs=None, children={"net": {"local_ts": NETS[4][0], "remote_ts": None}})
    bring_up(sites, "gateway", near, connection(**TAKES), **POOL)
    assert "received INTERNAL_IP4_DNS 10.2.0.53" in sites.swan.log
    used(sites, to=sites.address_given())


IP6 = {"local_ts": NETS[6][0], "remote_ts": NETS[6][1]}


@case
def virtual_ip6_address_from_pluto(sites):
    """Over IPv6, as libreswan has it: its pools are of the family of its own address."""
    near = near_connection(6, vips="::", local_addrs=None, children={"net": IP6 | {"local_ts": None}})
    pool = {"rightaddresspool": "fd03::/112", "modecfgdns": None, "leftsubnet": NETS[6][1]}
    bring_up(sites, "client", near, connection(6, **GIVES | pool))
    used(sites, 6, source=sites.address_given())


@case
def virtual_ip6_address_for_pluto(sites):
    near = near_connection(6, pools="v6", remote_addrs=None, children={"net": IP6 | {"remote_ts": None}})
    pools = {"v6": {"addrs": "fd03::10-fd03::20", "dns": "fd02::53"}}
    bring_up(sites, "gateway", near, connection(6, **TAKES | {"leftsubnet": "::/0", "rightsubnet": NETS[6][0]}), pools=pools)
    assert "received INTERNAL_IP6_DNS fd02::53" in sites.swan.log, sites.swan.log
    used(sites, 6, to=sites.address_given())


# --- keys and ends ---


@both_roles
def preshared_key_beside_the_other(sites, role):
    """RFC 8784, and both insist on it."""
    secrets = {"secrets": {"ppk-1": {"id": "one", "secret": PPK}}}
    bring_up(sites, role, near_connection(ppk_id="one", ppk_required="yes"), connection(ppk="insist"), **secrets)
    assert f"PPK AUTH calculated as {'responder' if role == 'client' else 'initiator'}" in sites.swan.log, sites.swan.log
    used(sites)


def new_keys_by_either(sites):
    """Of child and IKE SAs, and each twice."""
    with sites.carrying(lost=EARLY):
        for round in (1, 2):
            sites.rekey_near()
            sites.wait_winze(" rekeyed", round * 4 - 2)
            sites.swan.rekey_child()
            sites.wait_winze("rekeyed, SPI", round * 2)
            sites.swan.rekey_ike()
            sites.wait_winze(" rekeyed", round * 4)
    sites.ping()


@both_roles
def rekey_by_either(sites, role):
    bring_up(sites, role, near_connection(), connection())
    new_keys_by_either(sites)


@both_roles
def pfs_that_pluto_wants(sites, role):
    """By default, and winze does not: it offers a group when pluto has refused a rekey without, and at once from then on."""
    bring_up(sites, role, near_connection(children={"net": {"esp_proposals": "aes256gcm16"}}), connection())
    refusal = "with encrypted notification NO_PROPOSAL_CHOSEN"
    before = sites.swan.log.count(refusal)
    sites.ping()
    new_keys_by_either(sites)
    assert sites.swan.log.count(refusal) == before + 1, sites.swan.log


@both_roles
def delete_by_peer(sites, role):
    bring_up(sites, role, near_connection(), connection())
    sites.ping()
    sites.swan.terminate()
    sites.wait_winze("closed: established: closed by the peer")
    sites.short_lived = True


IMPATIENT = {"retransmit_timeout": "1s", "retransmit_base": "1.2", "retransmit_tries": "3"}


@case
def dead_peer(sites):
    bring_up(sites, "gateway", near_connection(dpd_delay="1s", **IMPATIENT, children={"net": {"dpd_action": "clear"}}), connection())
    sites.ping()
    sites.swan.kill()
    sites.wait_winze("closed: established: the peer does not answer", 1, 20)


@case
def dead_winze(sites):
    """The peer finds us gone; and we come back."""
    bring_up(sites, "client", near_connection(), connection(dpddelay="1", dpdtimeout="3", dpdaction="clear", **{"retransmit-timeout": "3"}))
    sites.ping()
    sites.winze.kill()
    sites.guest.run("for i in $(seq 300); do [ -z \"$(ip xfrm state)\" ] && exit; sleep 0.1; done; exit 1")
    sites.start_winze("client", config({"home": near_connection()}, secrets=PSK))
    sites.wait_winze("child net up")
    sites.ping()


# --- paths ---


@both_roles
def encap_no(sites, role):
    bring_up(sites, role, near_connection(encap="no"), connection())
    assert not sites.in_udp()
    used(sites)


@case
def encap_yes_of_the_peer(sites):
    bring_up(sites, "client", near_connection(encap="no"), connection(encapsulation="yes"))
    assert sites.in_udp()
    used(sites)


@both_roles
def behind_a_nat(sites, role):
    with nat.behind_a_nat(sites):
        bring_up(sites, role, near_connection(local_addrs=None, encap="no"), connection())
        assert sites.in_udp()
        used(sites)


@both_roles
def transport(sites, role):
    near = near_connection(encap="no", children={"net": {"mode": "transport", "local_ts": None, "remote_ts": None}})
    bring_up(sites, role, near, connection(type="transport", leftsubnet=None, rightsubnet=None))
    assert "mode transport" in sites.guest.run("ip xfrm state")
    used(sites, source=NEAR[4], to=FAR[4])


@case
def mobike_new_address_of_ours(sites):
    address = client_of_pluto(sites, mobike="yes")
    with sites.carrying(source=address, lost=100):
        sites.near.ip("addr", "add", "192.0.2.7/24", "dev", "wire")
        sites.near.ip("addr", "del", "192.0.2.1/24", "dev", "wire")
        sites.wait_winze("goes by 192.0.2.7", 1, 20)
    sites.ping(source=address)


@case
def mobike_new_address_of_the_peer(sites):
    sites.far.ip("route", "add", "default", "via", NEAR[4])
    bring_up(sites, "gateway", near_connection(remote_addrs=None), connection(mobike="yes"))
    sites.ping()
    sites.far.run("sh", "-c", "ip addr add 192.0.2.9/24 dev wire; ip addr del 192.0.2.2/24 dev wire")
    sites.wait_winze("<-> 192.0.2.9:4500 now", 1, 20)
    sites.ping()


# --- certificates ---

ROOT = "O=Test, CN=Test root"  # by which pluto asks for a certificate


def by_certificates(sites, role, kind, near=None, **far):
    ends = {"local": {"auth": "pubkey", "certs": f"a-{kind}.pem"}, "remote": {"auth": "pubkey", "cacerts": "ca.pem"}}
    near = near_connection(**merge(ends, near or {}))
    far = connection(authby="rsasig" if kind == "rsa" else "ecdsa", leftcert=kind, leftca=ROOT, rightca=ROOT, sendca="all", **far)
    bring_up(sites, role, near, far, sites.swan.ends[kind])


for kind, roles in (("rsa", ("client", "gateway")), ("ec", ("client", "gateway")), ("ec384", ("client",)), ("ec521", ("gateway",))):
    for role in roles:
        def certificates(sites, kind=kind, role=role):
            by_certificates(sites, role, kind)
            used(sites)
        CASES[f"certificates-{kind}-{role}"] = certificates


def by_eap_tls(sites, most, wait):
    """RFC 5998, of which libreswan 4.10 has the responder's side."""
    sites.swan.load(connection(authby=None, leftauth="eaponly", rightauth="eaponly", leftautheap="tls", rightautheap="tls",
                               leftcert="rsa", leftca=ROOT, rightca=ROOT, sendca="all"))
    tls = {"auth": "eap-tls", "tls_version_max": most}
    near = near_connection(local=tls | {"certs": "a-rsa.pem"}, remote=tls | {"cacerts": "ca.pem"})
    sites.start_winze("client", config({"home": near}), sites.swan.ends["rsa"], until=wait)


@case
def eap_tls(sites):
    by_eap_tls(sites, "1.2", "child net up")
    used(sites)


@case
def eap_tls_1_3_before_its_rfc(sites):
    """It has no commitment (RFC 9190 section 2.5), without which the end of the handshake could be anybody's."""
    by_eap_tls(sites, "1.3", "no commitment has come")
    sites.short_lived = True


def fragments(space):
    """How many of IP have come and gone."""
    names, values = (line.split() for line in re.findall(r"^Ip: (.*)", space.run("cat", "/proc/net/snmp"), re.M))
    counts = dict(zip(names, map(int, values)))
    return counts["ReasmReqds"] + counts["FragCreates"]


@both_roles
def chain_of_three_in_fragments(sites, role):
    """Of IKE, as the messages are longer than a packet; and none of IP."""
    before = fragments(sites.near)
    by_certificates(sites, role, "rsa", {"fragmentation": "force"}, fragmentation="force")
    assert fragments(sites.near) == before
    sites.ping()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
    require(shutil.which("iperf3"), "iperf3 is not installed")
    with GuestWorld(tmp_path_factory.mktemp("guest"), Pluto) as world:
        yield world


@pytest.mark.parametrize("name", CASES)
def test_ike_libreswan(world, tmp_path, name):
    with GuestSites(tmp_path, world) as sites:
        CASES[name](sites)
