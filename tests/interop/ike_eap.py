"""IKEv2 with strongSwan, winze as the client and as the gateway, where the client proves itself by EAP."""
from ike_cases import bring_up
from ike_sites import far_connection, merge, near_connection
from strongswan import Pki

SECRETS = {"secrets": {"ike-1": None, "eap-1": {"id": "carol", "secret": '"tumble weed"'}}}
POOL = {"pools": {"vip": {"addrs": "10.3.0.10-10.3.0.20"}}}


def ends(role, method, client=None, gateway=None, certificates=True):
    """winze's connection and strongSwan's: a gateway with a certificate, a client with EAP and an address from the pool."""
    near_name, far_name = ("carol", "b") if role == "client" else ("a", "carol")
    client_end = merge({"vips": "0.0.0.0", "local": {"auth": f"eap-{method}", "id": "carol@client.test", "eap_id": "carol"},
                        "remote": {"auth": "pubkey", "id": f"{far_name if role == 'client' else near_name}.test"},
                        "children": {"net": {"local_ts": None}}}, client or {})
    own = far_name if role == "client" else near_name
    gateway_end = merge({"pools": "vip", "local": {"auth": "pubkey", "certs": f"{own}.pem", "id": f"{own}.test"},
                         "remote": {"auth": f"eap-{method}", "id": "%any", "eap_id": "%any"},
                         "children": {"net": {"remote_ts": None}}}, gateway or {})
    near, far = (client_end, gateway_end) if role == "client" else (gateway_end, client_end)
    return near_connection(**near), far_connection(**far)


def pki_of(sites, role, gateway_kind="ec", client=True):
    """What winze has, and what strongSwan has."""
    gateway = "b" if role == "client" else "a"
    pki = Pki(sites.folder / "pki", gateway_kind).issue(gateway).issue("carol", "email:carol@client.test")
    names = ("carol", gateway) if role == "client" else (gateway, "carol")
    near, far = (pki.give(sites.folder / f"end-{name}", name) for name in names)
    return near, far


def use(sites, role):
    """Packets from the client's address."""
    address = sites.address_given()
    if role == "client":
        sites.use(source=address)
    else:
        sites.ping(to=address)
        sites.transfer(to=address)


def up(sites, role, method, client=None, gateway=None, secrets=SECRETS, legacy=False, of_client=None, kind="ec", **swan):
    near, far = ends(role, method, client, gateway)
    if legacy:
        near["legacy"] = "yes"
    near_pki, far_pki = pki_of(sites, role, kind)
    of_client, of_gateway = of_client or secrets, merge(secrets, POOL)
    of_near, of_far = (of_client, of_gateway) if role == "client" else (of_gateway, of_client)
    bring_up(sites, role, near, far, near_pki, far_pki, of_near, of_far, **swan)
    if role == "gateway":
        assert "(EAP: carol" in sites.winze.log, sites.winze.log
