"""How IKE_AUTH is signed, with strongSwan: the methods from before RFC 7427, RSA-PSS, and what swanctl.conf says in `auth`."""
import pytest

from ike_cases import Cases, bring_up
from ike_core import FAR_CERT, NEAR_CERT
from ike_sites import config, far_connection, merge, near_connection
from strongswan import Pki

CASES = Cases(__file__)
both_roles = CASES.both_roles
outcomes = CASES.outcomes()

# What strongSwan says of a peer's proof; {0} and {1} are the method and the hash.
PROOF = "authentication of 'a.test' with {}"


def given(sites, kind):
    pki = Pki(sites.folder / "pki", kind).issue("a").issue("b")
    return pki.give(sites.folder / "a", "a"), pki.give(sites.folder / "b", "b")


def connections(near=None, far=None):
    return near_connection(**merge(NEAR_CERT, near or {})), far_connection(**merge(FAR_CERT, far or {}))


def fails(sites, role, near, far, a, b, **swan):
    """The pair does not come up."""
    near, far = config({"home": near}), config({"home": far})
    if role == "gateway":
        sites.start_winze("gateway", near, a)
        assert sites.start_swan(far, b, **swan).ctl("--initiate", "--child", "net", check=False).returncode != 0
        sites.wait_winze("closed: ")
    else:
        sites.start_swan(far, b, **swan)
        with pytest.raises(AssertionError, match="ended|no 'up with'"):
            sites.start_winze("client", near, a)
    assert "up with" not in sites.winze.log, sites.winze.log


OLD = {"ec": ("ECDSA-256 signature", {}), "ec384": ("ECDSA-384 signature", {}), "ec521": ("ECDSA-521 signature", {}),
       "rsa": ("RSA signature", {"legacy": "yes"}), "rsa-named": ("RSA signature", {"local": {"auth": "ike:rsa-sha256-sha1"},
                                                                                      "remote": {"auth": "ike:rsa-sha256-sha1"}})}
for name, (method, more) in OLD.items():
    def old_method(sites, role, name=name, method=method, more=more):
        a, b = given(sites, name.split("-")[0])
        bring_up(sites, role, *connections(more), a, b, extra="signature_authentication = no")
        assert PROOF.format(method) in sites.swan.log, sites.swan.log[-3000:]
        sites.use()
    old_method.__name__ = f"old_method_of_{name.replace('-', '_')}"
    both_roles(old_method)


@both_roles
def old_method_by_our_word(sites, role):
    """strongSwan would take RFC 7427, and is not offered it."""
    bring_up(sites, role, *connections({"signature_authentication": "no"}), *given(sites, "ec"))
    assert PROOF.format("ECDSA-256 signature") in sites.swan.log, sites.swan.log[-3000:]
    sites.use()


@both_roles
def old_rsa_unless_it_is_allowed(sites, role):
    """Refused, with the ways out in our log."""
    fails(sites, role, *connections(), *given(sites, "rsa"), extra="signature_authentication = no")
    assert "legacy = yes" in sites.winze.log and "rsa-sha1-sha256" in sites.winze.log, sites.winze.log


@both_roles
def rsa_pss(sites, role):
    auth = {"local": {"auth": "ike:rsa/pss-sha384"}, "remote": {"auth": "ike:rsa/pss-sha384"}}
    bring_up(sites, role, *connections(auth, auth), *given(sites, "rsa"))
    assert PROOF.format("RSA_EMSA_PSS_SHA2_384") in sites.swan.log, sites.swan.log[-3000:]
    sites.use()


@both_roles
def another_hash_than_we_take(sites, role):
    """strongSwan signs with SHA-256; the limit is on IKE's signature, not on the certificates."""
    near, far = {"remote": {"auth": "ike:pubkey-sha512"}}, {"local": {"auth": "ike:pubkey-sha256"}}
    fails(sites, role, *connections(near, far), *given(sites, "rsa"))
    assert "it signs by RSA PKCS#1 v1.5 with SHA-256, which is not taken here" in sites.winze.log, sites.winze.log


@both_roles
def another_size_of_keys_than_we_take(sites, role):
    fails(sites, role, *connections({"remote": {"auth": "rsa-3072-sha256"}}), *given(sites, "rsa"))
    assert "3072 are the least" in sites.winze.log, sites.winze.log


@both_roles
def a_childless_ike_sa_first(sites, role):
    """RFC 6023 at both ends: no child is made by IKE_AUTH."""
    near, far = near_connection(childless="force"), far_connection(childless="force")
    bring_up(sites, role, near, far)
    assert "CHDLESS_SUP" in sites.swan.log or "CHILDLESS" in sites.swan.log, sites.swan.log[-3000:]
    assert "CREATE_CHILD_SA" in sites.swan.log, sites.swan.log[-3000:]
    sites.use()


@pytest.mark.parametrize("name", CASES)
def test_ike_signatures(outcomes, name):
    outcomes[name].result(300)
