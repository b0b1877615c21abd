"""EAP within IKEv2 with strongSwan, winze as the client and as the gateway."""
import pytest

from ike_cases import Cases, bring_up
from ike_eap import POOL, SECRETS, ends, pki_of, up, use
from ike_sites import config, merge
from radius import OF_STRONGSWAN, Radius
from strongswan import Pki

CASES = Cases(__file__)
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()


@both_roles
def mschapv2(sites, role):
    up(sites, role, "mschapv2")
    use(sites, role)
    with sites.carrying(**({"source": sites.address_given()} if role == "client" else {"to": sites.address_given()})):
        sites.rekey_near()
        sites.wait_winze(" rekeyed", 2)


@both_roles
def tls_1_2(sites, role):
    """What strongSwan 5.9 has by default."""
    up(sites, role, "tls", {"local": {"certs": "carol.pem", "eap_id": "carol@client.test"}})
    use(sites, role)
    assert "TLS 1.2" in sites.swan.log, sites.swan.log[-4000:]


@case
def tls_1_3_before_its_rfc(sites):
    """strongSwan 5.9.8 can be told to use TLS 1.3, as a draft had it: the MSK is TLS-Exporter("client EAP encryption", "", 128)
    where RFC 9190 has ("EXPORTER_EAP_TLS_Key_Material", 0x0d, 128), and no commitment goes with it. As a client it crashes
    when one comes, so only its gateway is tried."""
    near, far = ends("client", "tls", {"local": {"certs": "carol.pem", "eap_id": "carol@client.test"}})
    refused(sites, "client", near, far, *pki_of(sites, "client", "rsa"), SECRETS, merge(SECRETS, POOL),
            extra="tls {\n version_max = 1.3\n }")
    assert "TLS 1.3" in sites.swan.log and "EAP success before the method has ended" in sites.winze.log, sites.winze.log


@case
def tls_1_3_of_freeradius(sites):
    """RFC 9190, led by FreeRADIUS, to which strongSwan's gateway passes EAP on: its MSK is in AUTH."""
    pki = Pki(sites.folder / "pki").issue("b").issue("radius").issue("carol", "email:carol@client.test")
    carol, gateway, server = (pki.give(sites.folder / f"end-{name}", name) for name in ("carol", "b", "radius"))
    radius = Radius(sites.far, sites.folder, server, "radius")
    sites.stack.callback(radius.stop)
    near, far = ends("client", "tls", {"local": {"certs": "carol.pem", "eap_id": "carol@client.test", "aaa_id": "radius.test"}})
    far["remote"]["auth"] = "eap-radius"
    bring_up(sites, "client", near, far, carol, gateway, SECRETS, merge(SECRETS, POOL), plugins=OF_STRONGSWAN)
    use(sites, "client")
    assert 'TLS-Session-Version = "TLS 1.3"' in radius.log and "Commitment Message" in radius.log, radius.log[-4000:]


# --- with a PPK too (RFC 8784): what EAP proves, it proves with the key mixed in ---

PPK = merge(SECRETS, {"secrets": {"ppk-1": {"id": "one", "secret": "0x" + "5a" * 32}}})
ONE = {"ppk_id": "one"}
MUST = ONE | {"ppk_required": "yes"}


@both_roles
def mschapv2_and_a_ppk(sites, role):
    up(sites, role, "mschapv2", MUST, MUST, PPK)
    assert "using PPK for PPK_ID 'one'" in sites.swan.log, sites.swan.log[-4000:]
    use(sites, role)
    # What comes after has it in its keys too.
    sites.swan.ctl("--rekey", "--ike", "home")
    sites.wait_winze(" rekeyed")
    use(sites, role)


@both_roles
def tls_alone_and_a_ppk(sites, role):
    """A method that proves both ends, and its MSK."""
    own = "b" if role == "client" else "a"
    client = {"local": {"certs": "carol.pem", "eap_id": None}, "remote": {"auth": "eap-tls", "id": f"{own}.test"}} | MUST
    up(sites, role, "tls", client, {"local": {"auth": "eap-tls"}, "remote": {"id": "*@client.test", "eap_id": None}} | MUST, PPK)
    assert "using PPK for PPK_ID 'one'" in sites.swan.log, sites.swan.log[-4000:]
    use(sites, role)


@both_roles
def mschapv2_and_a_ppk_of_the_client_alone(sites, role):
    """A wish, and the client proves itself without it as well (NO_PPK_AUTH)."""
    up(sites, role, "mschapv2", ONE, secrets=SECRETS, of_client=PPK)
    assert "using PPK" not in sites.swan.log or "NO_PPK_AUTH" in sites.swan.log, sites.swan.log[-4000:]
    use(sites, role)


@both_roles
def mschapv2_and_ppks_that_differ(sites, role):
    near, far = ends(role, "mschapv2", MUST, MUST)
    other = merge(PPK, {"secrets": {"ppk-1": {"secret": "0x" + "a5" * 32}}})
    of_near, of_far = (PPK, merge(other, POOL)) if role == "client" else (merge(PPK, POOL), other)
    refused(sites, role, near, far, *pki_of(sites, role), of_near, of_far)
    assert "AUTHENTICATION_FAILED" in sites.winze.log or "AUTH does not fit" in sites.winze.log, sites.winze.log


@both_roles
def tls_alone(sites, role):
    """RFC 5998: neither end has a word to say but EAP's."""
    own = "b" if role == "client" else "a"
    client = {"local": {"certs": "carol.pem", "eap_id": None}, "remote": {"auth": "eap-tls", "id": f"{own}.test"}}
    up(sites, role, "tls", client, {"local": {"auth": "eap-tls"}, "remote": {"id": "*@client.test", "eap_id": None}})
    use(sites, role)
    assert "EAP_ONLY" in sites.swan.log, sites.swan.log[-4000:]


@both_roles
def md5_where_allowed(sites, role):
    up(sites, role, "md5", legacy=True)
    use(sites, role)


@case
def gtc_where_allowed(sites):
    """strongSwan's gateway asks PAM, so it is the client here."""
    up(sites, "gateway", "gtc", legacy=True)
    use(sites, "gateway")


@case
def another_method_is_agreed_on(sites):
    """winze offers EAP-TLS first, which strongSwan's client has no certificate for."""
    up(sites, "gateway", "mschapv2", gateway={"remote": {"auth": "eap"}})
    use(sites, "gateway")
    assert "EAP_NAK" in sites.swan.log, sites.swan.log[-4000:]


# --- identities, as the clients of the trade name themselves ---

CLIENTS = {
    # IDi, eap_id, whether it says whom it wants (IDr)
    "windows": (None, "carol", False),  # its address; no IDr
    "apple": ("carol.phone", "carol", True),
    "android": ("carol", None, True),  # the user's name is all there is
}
for client, (own, user, wants) in CLIENTS.items():
    def identities(sites, own=own, user=user, wants=wants):
        up(sites, "gateway", "mschapv2", {"local": {"id": own, "eap_id": user}, "remote": {"id": "a.test" if wants else "%any"}})
        use(sites, "gateway")

    CASES[f"identities-{client}"] = identities


@case
def two_users_at_one_address_of_their_own(sites):
    """IDi is the same for both, and INITIAL_CONTACT of one is not about the other."""
    users = {"secrets": {"ike-1": None, "eap-1": {"id": "carol", "secret": "one"}, "eap-2": {"id": "dave", "secret": "two"}}}
    near, carol = ends("gateway", "mschapv2", {"local": {"id": "@phone"}})
    dave = merge(carol, {"local": {"eap_id": "dave"}, "children": {"net": None, "other": carol["children"]["net"]}})
    near_pki, far_pki = pki_of(sites, "gateway")
    sites.start_winze("gateway", config({"home": near}, **merge({"secrets": {"ike-1": {}}}, users, POOL)), near_pki)
    swan = sites.start_swan(config({"home": carol, "away": dave}, **merge({"secrets": {"ike-1": {}}}, users)), far_pki)
    swan.ctl("--initiate", "--child", "net")
    swan.ctl("--initiate", "--child", "other")
    sites.wait_winze("child net up", 2)
    assert "(EAP: carol)" in sites.winze.log and "(EAP: dave)" in sites.winze.log and "closed" not in sites.winze.log, sites.winze.log


# --- refusals ---


def refused(sites, role, near, far, near_pki, far_pki, near_secrets, far_secrets, **swan):
    near, far = (config({"home": end}, **merge({"secrets": {"ike-1": {}}}, secrets)) for end, secrets in ((near, near_secrets), (far, far_secrets)))
    if role == "gateway":
        sites.start_winze("gateway", near, near_pki)
        assert sites.start_swan(far, far_pki, **swan).ctl("--initiate", "--child", "net", check=False).returncode != 0
        sites.wait_winze("closed: ")
    else:
        sites.start_swan(far, far_pki, **swan)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near, near_pki)
    assert "up with" not in sites.winze.log, sites.winze.log


@both_roles
def wrong_password(sites, role):
    near, far = ends(role, "mschapv2")
    wrong = merge(SECRETS, {"secrets": {"eap-1": {"secret": "wrong"}}})
    of_near, of_far = (wrong, merge(SECRETS, POOL)) if role == "client" else (merge(SECRETS, POOL), wrong)
    refused(sites, role, near, far, *pki_of(sites, role), of_near, of_far)
    assert "EAP: " in sites.winze.log and "password" in sites.winze.log, sites.winze.log
    assert "EAP-MS-CHAPv2 failed with error" in sites.swan.log or "EAP-MS-CHAPv2 verification failed" in sites.swan.log, sites.swan.log


@case
def unknown_user(sites):
    near, far = ends("gateway", "mschapv2", {"local": {"eap_id": "mallory"}})
    stranger = merge(SECRETS, {"secrets": {"eap-1": {"id": "mallory"}}})
    refused(sites, "gateway", near, far, *pki_of(sites, "gateway"), merge(SECRETS, POOL), stranger)
    assert "unknown" in sites.winze.log, sites.winze.log


@case
def user_with_the_identity_of_another(sites):
    """A password is right, but its owner is not whom the connection is for."""
    near, far = ends("gateway", "mschapv2", {"local": {"id": "dave"}}, {"remote": {"id": "dave", "eap_id": None}})
    refused(sites, "gateway", near, far, *pki_of(sites, "gateway"), merge(SECRETS, POOL), SECRETS)
    assert 'EAP has proved "carol"' in sites.winze.log, sites.winze.log


@case
def gateway_of_a_stranger(sites):
    """The client says nothing of EAP to a gateway that it does not believe."""
    near, far = ends("client", "mschapv2")
    ours, theirs = (Pki(sites.folder / name, "ec").issue("b").issue("carol") for name in ("pki", "other"))
    refused(sites, "client", near, far, ours.give(sites.folder / "a", "carol"), theirs.give(sites.folder / "b", "b"), SECRETS,
            merge(SECRETS, POOL))
    assert "does not lead to a trusted" in sites.winze.log, sites.winze.log
    assert "EAP/RES" not in sites.swan.log, sites.swan.log


@both_roles
def tls_of_a_stranger(sites, role):
    """The client's certificate is from another authority."""
    client = {"local": {"certs": "carol.pem", "eap_id": "carol@client.test"}}
    near, far = ends(role, "tls", client)
    near_pki, far_pki = pki_of(sites, role)
    other = Pki(sites.folder / "other", "ec").issue("carol", "email:carol@client.test").give(sites.folder / "stranger", "carol")
    # It believes the gateway all the same.
    own_pki = near_pki if role == "client" else far_pki
    (other.folder / "x509ca" / "ca.pem").write_bytes((own_pki.folder / "x509ca" / "ca.pem").read_bytes())
    pkis = (other, far_pki) if role == "client" else (near_pki, other)
    refused(sites, role, near, far, *pkis, merge(SECRETS, POOL), merge(SECRETS, POOL))
    assert "EAP: " in sites.winze.log, sites.winze.log


@pytest.mark.parametrize("name", CASES)
def test_ike_eap(outcomes, name):
    outcomes[name].result(300)
