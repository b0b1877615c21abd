"""IKEv2 with strongSwan 6.0, Debian 13's: what 5.9 has not, winze as the client and as the gateway. Several key exchanges
(RFC 9370, with RFC 9242), new keys by all of them (IKE_FOLLOWUP_KE), a redirect in IKE_AUTH, EAP-TLS 1.3 (RFC 9190); and of
what 5.9 has the core.
"""
import re
import time

import pytest

import ike_eap
from harness import wait_text
from ike_cases import Cases, bring_up
from ike_core import CORE, FAR_CERT, NEAR_CERT
from ike_redirect import second_gateway
from ike_sites import INNER_FAR, INNER_NEAR, PSK, config, far_connection, merge, near_connection
from strongswan import TRIXIE, Pki

CASES = Cases(__file__, TRIXIE)
OF_THE_CORE = "psk|virtual_addresses|rekey_by_time|invalid_ke|certificates_(rsa|ec|ed25519)|chain_of_three_in_fragments"
CASES.update((name, run) for name, run in CORE.items() if re.match(f"({OF_THE_CORE})-", name))
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()

# As swanctl.conf has them, and as strongSwan's list of SAs does.
EXCHANGES = {
    "one": ("x25519-ke1_ecp384", "CURVE_25519/KE1_ECP_384"),
    "the_second_only": ("ecp256-ke2_x25519", "ECP_256/KE2_CURVE_25519"),
    "three": ("x25519-ke1_ecp384-ke2_modp3072-ke3_ecp256", "CURVE_25519/KE1_ECP_384/KE2_MODP_3072/KE3_ECP_256"),
    "seven": ("x25519-ke1_ecp256-ke2_ecp384-ke3_ecp521-ke4_modp2048-ke5_modp3072-ke6_modp4096-ke7_modp6144",
              "CURVE_25519/KE1_ECP_256/KE2_ECP_384/KE3_ECP_521/KE4_MODP_2048/KE5_MODP_3072/KE6_MODP_4096/KE7_MODP_6144"),
}


def by(exchanges, of_children=None):
    """Of a connection: the key exchanges of its IKE SAs, and of its children. Alternatives are parted by commas."""
    ike = ", ".join(f"aes256gcm16-prfsha256-{one}" for one in exchanges.split(", "))
    esp = ", ".join(f"aes256gcm16-{one}" for one in (of_children or exchanges).split(", "))
    return {"proposals": ike, "children": {"net": {"esp_proposals": esp}}}


def new_keys_by_either(sites, lost=0):
    """Of the child and of the IKE SA, each by us and by strongSwan."""
    with sites.carrying(lost=lost):
        for round in (1, 2):
            sites.rekey_near()
            sites.wait_winze("rekeyed, SPI", round * 2 - 1)
            sites.wait_winze(" rekeyed", round * 4 - 2)
            sites.swan.ctl("--rekey", "--child", "net")
            sites.wait_winze("rekeyed, SPI", round * 2)
            sites.swan.ctl("--rekey", "--ike", "home")
            sites.wait_winze(" rekeyed", round * 4)


def used(sites, ike, esp=None):
    """What strongSwan says of its SAs after new keys."""
    sas = sites.swan.sas()
    assert f"/{ike}\n" in sas and f"AES_GCM_16-256/{esp or ike}\n" in sas, sas


for name, (exchanges, listed) in EXCHANGES.items():
    def several(sites, role, exchanges=exchanges, listed=listed):
        bring_up(sites, role, near_connection(**by(exchanges)), far_connection(**by(exchanges)))
        assert f"PRF_HMAC_SHA2_256/{listed}" in sites.swan.sas(), sites.swan.sas()
        sites.use()
        new_keys_by_either(sites)
        used(sites, listed)
        sites.use()

    several.__name__ = f"several_exchanges_{name}"
    both_roles(several)


@both_roles
def several_exchanges_beside_certificates(sites, role):
    """AUTH, a signature, is about IKE_INTERMEDIATE too; all in IKE fragments."""
    pki = Pki(sites.folder / "pki", "rsa").issue("a").issue("b")
    three, listed = EXCHANGES["three"]
    bring_up(sites, role, near_connection(**merge(NEAR_CERT, by(three))), far_connection(**merge(FAR_CERT, by(three))),
             pki.give(sites.folder / "a", "a"), pki.give(sites.folder / "b", "b"), extra="fragment_size = 576")
    assert "EF(1/" in sites.swan.log, sites.swan.log
    sites.use()
    new_keys_by_either(sites)
    used(sites, listed)


@both_roles
def several_exchanges_and_a_ppk(sites, role):
    ppk = {"secrets": merge(PSK, {"ppk-1": {"id": "one", "secret": "0x" + "5a" * 32}})}
    one = merge({"ppk_id": "one", "ppk_required": "yes"}, by("x25519-ke1_ecp384"))
    bring_up(sites, role, near_connection(**one), far_connection(**one), near_others=ppk, far_others=ppk)
    assert "using PPK for PPK_ID 'one'" in sites.swan.log, sites.swan.log
    new_keys_by_either(sites)
    used(sites, "CURVE_25519/KE1_ECP_384")
    sites.ping()


@both_roles
def several_exchanges_by_time(sites, role):
    """Both ends' lifetimes are short: they meet, some of them in the midst of each other's exchanges."""
    sites.short_lived = True
    times = {"rekey_time": "4s", "over_time": "6s", "rand_time": "1s",
             "children": {"net": {"rekey_time": "2s", "life_time": "5s", "rand_time": "1s"}}}
    three = merge(times, by(EXCHANGES["three"][0]))
    bring_up(sites, role, near_connection(**three), far_connection(**three))
    with sites.carrying():
        time.sleep(12)
    sites.use()
    assert sites.winze.log.count("rekeyed, SPI") >= 4 and re.search(r"IKE SA \d+ rekeyed", sites.winze.log), sites.winze.log


@both_roles
def several_exchanges_by_both_at_once(sites, role):
    """Whose exchanges go on, the nonces say (RFC 9370 section 2.2.4)."""
    three, listed = EXCHANGES["three"]
    bring_up(sites, role, near_connection(**by(three)), far_connection(**by(three)))
    with sites.carrying():
        for what in (("--child", "net"), ("--ike", "home")) * 4:
            before = sites.winze.log.count(" rekeyed")
            sites.rekey_near()
            sites.swan.ctl("--rekey", *what, check=False)
            sites.wait_winze(" rekeyed", before + 1)
            sites.ping()
    used(sites, listed)
    sites.use()


# --- what both have of two lists ---


# The fewest that both can do with: by a second proposal, or by "none".
for way, exchanges in (("a_list", "x25519-ke1_ecp384, x25519"), ("none", "x25519-ke1_ecp384-ke1_none")):
    for who, (near, far) in (("the_peer_has_one", (exchanges, "x25519")), ("we_have_one", ("x25519", exchanges))):
        def fewer(sites, role, near=near, far=far):
            bring_up(sites, role, near_connection(**by(near)), far_connection(**by(far)))
            new_keys_by_either(sites)
            used(sites, "CURVE_25519")

        fewer.__name__ = f"fewer_exchanges_by_{way}_where_{who}"
        both_roles(fewer)


@both_roles
def none_of_the_exchanges_twice(sites, role):
    """Both would rather have X25519 in either place."""
    both = "x25519-ke1_x25519-ke1_ecp384"
    bring_up(sites, role, near_connection(**by(both)), far_connection(**by(both)))
    new_keys_by_either(sites)
    used(sites, "CURVE_25519/KE1_ECP_384")


@case
def ml_kem_that_the_peer_would_rather_have(sites):
    """Debian 13's strongSwan offers it, though it has it as little as a BoringSSL of 2022."""
    far = far_connection(**by("x25519-ke1_mlkem768, x25519-ke1_mlkem1024-ke1_ecp384"))
    bring_up(sites, "gateway", near_connection(**by("x25519-ke1_ecp384")), far)
    new_keys_by_either(sites)
    used(sites, "CURVE_25519/KE1_ECP_384")


# --- ML-KEM: upstream's BoringSSL has it, and strongSwan 6.1 (trixie_root.sh) ---

ML_KEM = {
    "x25519-ke1_mlkem768": "CURVE_25519/KE1_ML_KEM_768",
    "ecp384-ke1_mlkem1024-ke2_mlkem768": "ECP_384/KE1_ML_KEM_1024/KE2_ML_KEM_768",
    "mlkem768": "ML_KEM_768",
}
for exchanges, listed in ML_KEM.items():
    def ml_kem(sites, role, exchanges=exchanges, listed=listed):
        """Where either end has none, no tunnel comes up, and winze says what it lacks."""
        swan = sites.start_swan(config({"home": far_connection(**by(exchanges))}, secrets=PSK))
        peer_has = "ML_KEM_768" in swan.ctl("--list-algs").stdout
        we_have = True
        try:
            sites.start_winze(role, config({"home": near_connection(**by(exchanges))}, secrets=PSK))
        except AssertionError:
            we_have = "needs a newer BoringSSL than is linked" not in sites.winze.log
            assert not we_have or not peer_has, sites.winze.log
        if we_have and role == "gateway":
            swan.ctl("--initiate", "--child", "net", check=peer_has)
        if not we_have or not peer_has:
            assert "child net up" not in sites.winze.log, sites.winze.log
            return
        sites.wait_winze("child net up")
        new_keys_by_either(sites)
        used(sites, listed)

    ml_kem.__name__ = f"ml_kem-{exchanges}"
    both_roles(ml_kem)


@both_roles
def exchanges_that_differ(sites, role):
    """Refused by either end, which says why."""
    near = config({"home": near_connection(**by("x25519-ke1_ecp384"))}, secrets=PSK)
    far = config({"home": far_connection(**by("x25519-ke1_ecp521"))}, secrets=PSK)
    if role == "gateway":
        sites.start_winze("gateway", near)
        assert sites.start_swan(far).ctl("--initiate", "--child", "net", check=False).returncode != 0
        assert "received NO_PROPOSAL_CHOSEN" in sites.swan.log, sites.swan.log
    else:
        sites.start_swan(far)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near)
    assert "NO_PROPOSAL_CHOSEN" in sites.winze.log and "up with" not in sites.winze.log, sites.winze.log


@both_roles
def exchanges_of_the_child_that_differ(sites, role):
    """The first child has none of them. New keys are refused to either end, and the tunnel goes on with the old ones."""
    near = near_connection(**by("x25519-ke1_ecp384"))
    far = far_connection(**by("x25519-ke1_ecp384", "x25519-ke1_ecp521"))
    bring_up(sites, role, near, far)
    sites.ping()
    sites.swan.ctl("--rekey", "--child", "net", check=False)
    sites.swan.wait_log("received NO_PROPOSAL_CHOSEN")
    sites.ping()
    sites.rekey_near()
    sites.wait_winze("NO_PROPOSAL_CHOSEN")
    sites.wait_winze(" rekeyed")
    sites.ping()
    assert "rekeyed, SPI" not in sites.winze.log, sites.winze.log


# --- sent elsewhere, once it is known who asks ---


@case
def redirect_in_ike_auth(sites):
    """strongSwan has proved itself, hears of another gateway, and has its tunnel with that one."""
    second = second_gateway(sites)
    sites.start_winze("gateway", config({"home": near_connection(redirect_to="203.0.113.1")}, secrets=PSK))
    swan = sites.start_swan(config({"home": far_connection(local_addrs=None)}, secrets=PSK))
    # To swanctl the child that it has asked for has failed; that of the second gateway is another.
    swan.ctl("--initiate", "--child", "net", check=False)
    sites.wait_winze("closed: IKE_AUTH: redirected")
    wait_text(second, "child net up")
    assert "203.0.113.1" in swan.sas() and "up with" not in sites.winze.log, swan.sas() + sites.winze.log
    sites.ping(source=INNER_FAR[4], to=INNER_NEAR[4], space=sites.far)
    # The first hears that it is left, and says so.
    swan.wait_log("IKE_SA deleted")
    assert "retransmit 1 of request with message ID 2" not in swan.log, swan.log


# --- EAP-TLS 1.3 ---

CAROL = {"local": {"certs": "carol.pem", "eap_id": "carol@client.test"}}


def tls_1_3_alone(more=""):
    """strongswan.conf that has nothing else."""
    return {"extra": "tls {\n version_min = 1.3\n version_max = 1.3\n " + more + "\n }"}


@both_roles
def tls_1_3(sites, role):
    """With RSA: of authorities with other keys strongSwan names none to its client, in a list that must not be empty (RFC 8446
    section 4.2.4) and that a BoringSSL of 2026 does not take."""
    ike_eap.up(sites, role, "tls", CAROL, kind="rsa", **tls_1_3_alone())
    assert "TLS 1.3" in sites.swan.log, sites.swan.log[-4000:]
    ike_eap.use(sites, role)


@both_roles
def tls_1_3_and_no_other_proof(sites, role):
    """RFC 5998, behind several key exchanges."""
    own = "b" if role == "client" else "a"
    more = by("x25519-ke1_ecp384")
    client = merge(CAROL, {"remote": {"auth": "eap-tls", "id": f"{own}.test"}}, more)
    gateway = merge({"local": {"auth": "eap-tls"}, "remote": {"id": "*@client.test", "eap_id": None}}, more)
    ike_eap.up(sites, role, "tls", client, gateway, **tls_1_3_alone("send_certreq_authorities = no"))
    assert "TLS 1.3" in sites.swan.log and "EAP_ONLY" in sites.swan.log, sites.swan.log[-4000:]
    ike_eap.use(sites, role)


@both_roles
def mschapv2(sites, role):
    ike_eap.up(sites, role, "mschapv2")
    ike_eap.use(sites, role)


@pytest.mark.parametrize("name", CASES)
def test_ike_strongswan6(outcomes, name):
    outcomes[name].result(300)
