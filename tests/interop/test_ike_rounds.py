"""Several rounds of authentication (RFC 4739) with strongSwan, winze as the client and as the gateway."""
import pytest

from ike_cases import Cases, bring_up
from ike_sites import config, far_connection, merge, near_connection
from strongswan import Pki

CASES = Cases(__file__)
case, both_roles = CASES.case, CASES.both_roles
outcomes = CASES.outcomes()

SECRETS = {"secrets": {"ike-1": {"id-phone": "phone.test", "id-desk": "desk.test", "secret": '"of the phone and the desk"'},
                       "eap-1": {"id": "carol", "secret": '"tumble weed"'}}}


def ends(role, client, gateway, client_more=None, gateway_more=None):
    """winze's connection and strongSwan's, of rounds by their names: `client` and `gateway` are lists of dicts, each what an
    end says of itself and the other expects."""
    def end(own, peer, more):
        sections = {f"local-{i}": round for i, round in enumerate(own, 1)}
        for i, round in enumerate(peer, 1):
            sections[f"remote-{i}"] = {key: value for key, value in round.items() if key != "certs"}
        return merge({"local": None, "remote": None}, sections, more or {})

    client_end, gateway_end = end(client, gateway, client_more), end(gateway, client, gateway_more)
    near, far = (client_end, gateway_end) if role == "client" else (gateway_end, client_end)
    return near_connection(**near), far_connection(**far)


GATEWAY = {"auth": "pubkey", "id": "gw.test", "certs": "gw.pem"}
DESK = {"auth": "psk", "id": "desk.test"}
LAPTOP = {"auth": "pubkey", "id": "laptop.test", "certs": "laptop.pem"}
PHONE = {"auth": "psk", "id": "phone.test"}
CAROL = {"auth": "eap-mschapv2", "id": "carol@client.test", "eap_id": "carol"}


def pkis(sites, role):
    pki = Pki(sites.folder / "pki").issue("gw").issue("laptop")
    names = ("laptop", "gw") if role == "client" else ("gw", "laptop")
    return [pki.give(sites.folder / f"end-{name}", name) for name in names]


def up(sites, role, client, gateway, **swan):
    near, far = ends(role, client, gateway)
    bring_up(sites, role, near, far, *pkis(sites, role), SECRETS, SECRETS, **swan)
    last = (gateway if role == "client" else client)[-1]["id"]
    assert f"up with {last}" in sites.winze.log, sites.winze.log
    sites.use()


def fails(sites, role, near, far, near_secrets=SECRETS, far_secrets=SECRETS, **swan):
    near_pki, far_pki = pkis(sites, role)
    near, far = config({"home": near}, **near_secrets), config({"home": far}, **far_secrets)
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
def a_certificate_then_a_password(sites, role):
    up(sites, role, [LAPTOP, CAROL], [GATEWAY])
    if role == "gateway":
        assert "(EAP: carol" in sites.winze.log, sites.winze.log
    # What comes later needs no rounds.
    sites.swan.ctl("--rekey", "--ike", "home")
    sites.wait_winze(" rekeyed")
    sites.use()


@both_roles
def a_password_then_a_certificate(sites, role):
    up(sites, role, [CAROL, LAPTOP], [GATEWAY])


@both_roles
def a_secret_then_a_certificate(sites, role):
    up(sites, role, [PHONE, LAPTOP], [GATEWAY])


@both_roles
def a_secret_then_a_password(sites, role):
    up(sites, role, [PHONE, CAROL], [GATEWAY])


@both_roles
def three_rounds(sites, role):
    up(sites, role, [LAPTOP, PHONE, CAROL], [GATEWAY])


@both_roles
def two_rounds_of_the_gateway(sites, role):
    """The client has nothing more to say, and asks for the second one."""
    up(sites, role, [LAPTOP], [GATEWAY, DESK])


@both_roles
def two_rounds_of_both(sites, role):
    up(sites, role, [LAPTOP, PHONE], [GATEWAY, DESK])


@both_roles
def two_rounds_of_the_gateway_and_a_password_behind_them(sites, role):
    up(sites, role, [LAPTOP, CAROL], [GATEWAY, DESK])


# --- refusals ---


@both_roles
def a_client_without_its_second_round(sites, role):
    near, far = ends(role, [LAPTOP, CAROL], [GATEWAY])
    (near if role == "client" else far).pop("local-2")
    fails(sites, role, near, far)
    if role == "gateway":
        # strongSwan says that it knows of rounds, whatever it has.
        assert "it has ended with round 1 of 2" in sites.winze.log, sites.winze.log
    else:
        assert "AUTHENTICATION_FAILED" in sites.winze.log, sites.winze.log


@case
def a_gateway_without_its_second_round(sites):
    near, far = ends("client", [LAPTOP, PHONE], [GATEWAY, DESK])
    far.pop("local-2")
    fails(sites, "client", near, far)
    assert "it has ended with round 1 of 2" in sites.winze.log, sites.winze.log


@both_roles
def a_wrong_password_behind_a_right_certificate(sites, role):
    wrong = merge(SECRETS, {"secrets": {"eap-1": {"secret": "wrong"}}})
    secrets = (wrong, SECRETS) if role == "client" else (SECRETS, wrong)
    fails(sites, role, *ends(role, [LAPTOP, CAROL], [GATEWAY]), *secrets)
    assert "EAP: " in sites.winze.log, sites.winze.log


@both_roles
def somebody_else_in_the_second_round(sites, role):
    near, far = ends(role, [LAPTOP, PHONE], [GATEWAY])
    client, gateway = (near, far) if role == "client" else (far, near)
    gateway["remote-2"]["id"] = "tablet.test"
    other = merge(SECRETS, {"secrets": {"ike-3": {"id": "tablet.test", "secret": '"of the tablet"'}}})
    fails(sites, role, near, far, other, other)
    if role == "gateway":
        assert "phone.test: it is not tablet.test" in sites.winze.log, sites.winze.log


@both_roles
def strongswan_without_rounds(sites, role):
    """It can be told not to know of them."""
    fails(sites, role, *ends(role, [LAPTOP, PHONE], [GATEWAY]), extra="multiple_authentication = no")
    assert "the peer does not take several rounds of authentication (RFC 4739)" in sites.winze.log, sites.winze.log


@pytest.mark.parametrize("name", CASES)
def test_ike_rounds(outcomes, name):
    outcomes[name].result(300)
