"""The cases of IKE that every strongSwan takes part in, whatever carries its ESP."""
import re
import time

from ike_cases import Cases, bring_up
from ike_sites import FAR, NEAR, NETS, PSK, config, far_connection, merge, near_connection
from strongswan import Pki

CORE = Cases(__file__)
case, both_roles = CORE.case, CORE.both_roles


@both_roles
def psk(sites, role):
    bring_up(sites, role, near_connection(), far_connection())
    sites.use()
    sites.ping(size=3000)  # in fragments


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
    with sites.carrying():
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
    with sites.carrying():
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
    sites.short_lived = True
    times = {"rekey_time": "4s", "over_time": "6s", "rand_time": "1s", "children": {"net": {"rekey_time": "2s", "life_time": "5s", "rand_time": "1s"}}}
    bring_up(sites, role, near_connection(**times), far_connection(**times))
    with sites.carrying():
        time.sleep(7)
    sites.use()
    assert sites.winze.log.count("rekeyed, SPI") >= 3 and re.search(r"IKE SA \d+ rekeyed", sites.winze.log), sites.winze.log


@both_roles
def rekey_without_pfs(sites, role):
    """As Apple and Windows do it: no group for child SAs, while the other end would take one."""
    bring_up(sites, role, near_connection(children={"net": {"esp_proposals": "aes256gcm16-x25519, aes256gcm16"}}),
             far_connection(children={"net": {"esp_proposals": "aes256gcm16"}}))
    with sites.carrying():
        sites.swan.ctl("--rekey", "--child", "net")
        sites.wait_winze("rekeyed, SPI", 1)
        sites.rekey_near()
        sites.wait_winze("rekeyed, SPI", 2)
    sites.use()


@case
def reauthentication_by_us(sites):
    bring_up(sites, "client", near_connection(reauth_time="3s", rand_time="0s", over_time="5s"), far_connection(),
             extra="make_before_break = yes")
    with sites.carrying(lost=5):
        sites.wait_winze("in place of", 2, 20)
    sites.use()


@case
def reauthentication_by_peer(sites):
    """strongSwan began it, and begins anew before it ends the old one."""
    bring_up(sites, "gateway", near_connection(), far_connection(reauth_time="3s", rand_time="0s", over_time="5s"),
             extra="make_before_break = yes")
    with sites.carrying(lost=5):
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


@both_roles
def dead_winze(sites, role):
    """The peer finds us gone; and we come back on what our crash has left."""
    bring_up(sites, role, near_connection(), far_connection(dpd_delay="1s"))
    sites.use()
    sites.winze.kill()
    sites.swan.wait_log("giving up after", 1, 30)
    assert "ESTABLISHED" not in sites.swan.sas(), sites.swan.sas()
    sites.start_winze("client", config({"home": near_connection()}, secrets=PSK))
    sites.wait_winze("child net up")
    sites.use()


@case
def mobike_new_address_of_ours(sites):
    more = {"vips": "0.0.0.0", "children": {"net": {"local_ts": None}}, "local_addrs": None}
    bring_up(sites, "client", near_connection(**more), far_connection(pools="v4", remote_addrs=None, children={"net": {"remote_ts": None}}),
             far_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    address = re.search(r"address ([0-9.]+)/32", sites.winze.log).group(1)
    sites.use(source=address)
    with sites.carrying(source=address, lost=60):
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


@case
def mobike_to_ipv6_and_back(sites):
    """Our addresses of IPv4 go, later those of IPv6: the tunnel goes on by the other address of the gateway."""
    both = {"vips": "0.0.0.0", "children": {"net": {"local_ts": None}}, "local_addrs": None, "remote_addrs": f"{FAR[4]}, {FAR[6]}"}
    bring_up(sites, "client", near_connection(**both), far_connection(pools="v4", remote_addrs=None, local_addrs="%any", children={"net": {"remote_ts": None}}),
             far_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    address = sites.address_given()
    with sites.carrying(source=address, lost=100):
        sites.near.ip("addr", "del", NEAR[4] + "/24", "dev", "wire")
        sites.wait_winze(f"goes by [{NEAR[6]}]", 1, 20)
        sites.transfer(source=address)
        sites.near.ip("addr", "add", NEAR[4] + "/24", "dev", "wire")
        sites.near.ip("-6", "addr", "del", NEAR[6] + "/64", "dev", "wire")
        sites.wait_winze(f"goes by {NEAR[4]}", 1, 20)
    sites.use(source=address)


@case
def mobike_of_the_peer_to_ipv6_and_back(sites):
    """The same of a client of ours: it has heard of our other address by IKE."""
    more = {"vips": "0.0.0.0", "remote_addrs": NEAR[4], "local_addrs": None, "children": {"net": {"local_ts": None, "remote_ts": NETS[4][0]}}}
    serve = {"pools": "v4", "remote_addrs": None, "local_addrs": f"{NEAR[4]}, {NEAR[6]}", "children": {"net": {"local_ts": NETS[4][0], "remote_ts": None}}}
    bring_up(sites, "gateway", near_connection(**serve), far_connection(**more),
             near_others={"pools": {"v4": {"addrs": "10.3.0.10-10.3.0.20"}}})
    address = re.search(r"10\.3\.0\.\d+", sites.swan.sas()).group(0)
    sites.ping(to=address)
    sites.far.ip("addr", "del", FAR[4] + "/24", "dev", "wire")
    sites.wait_winze(f"<-> [{FAR[6]}]:4500 now", 1, 30)
    sites.ping(to=address)
    sites.transfer(to=address)
    sites.far.ip("addr", "add", FAR[4] + "/24", "dev", "wire")
    sites.far.ip("-6", "addr", "del", FAR[6] + "/64", "dev", "wire")
    sites.wait_winze(f"<-> {FAR[4]}:4500 now", 1, 30)
    sites.ping(to=address)
    sites.transfer(to=address)


# --- the first exchange ---


@both_roles
def invalid_ke(sites, role):
    """The responder wants another group than the one that the initiator sends first."""
    first, both = "aes256gcm16-prfsha256-x25519-ecp384", "aes256gcm16-prfsha256-ecp384"
    near = near_connection(proposals=first if role == "client" else both)
    far = far_connection(proposals=both if role == "client" else first)
    bring_up(sites, role, near, far)
    assert "INVAL_KE" in sites.swan.log or "requested" in sites.swan.log, sites.swan.log
    sites.use()


# --- certificates ---

NEAR_CERT = {"local": {"auth": "pubkey", "certs": "a.pem"}, "remote": {"auth": "pubkey"}}
FAR_CERT = {"local": {"auth": "pubkey", "certs": "b.pem"}, "remote": {"auth": "pubkey"}}


def certificates(kind):
    def run(sites, role):
        pki = Pki(sites.folder / "pki", kind).issue("a").issue("b")
        bring_up(sites, role, near_connection(**NEAR_CERT), far_connection(**FAR_CERT), pki.give(sites.folder / "a", "a"),
                 pki.give(sites.folder / "b", "b"))
        sites.use()
        with sites.carrying():
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
