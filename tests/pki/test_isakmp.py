"""What phase 1 of IKEv1 does with a store: keys by the method's number, CAs by name, peers known beforehand."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from ikectl.config.model import Auth, KeyConstraint, Local, Remote
from ikectl.errors import CredentialError, Expired, NoTrustPath
from ikectl.iana.v1 import AuthMethod
from ikectl.pki import isakmp
from ikectl.pki.certificate import Certificate
from ikectl.pki.signer import Fingerprint
from ikectl.pki.store import MAX_AUTHORITIES, Store
from ikectl.values.identity import Identity
from tests.pki.certs import NOW, Authority, Identified

ROOT = Authority.root("v1 store")
NETWORK = ROOT.authority("v1 store network")
MOON_ID = Identity.parse("moon.example.org")
KINDS = ("rsa-2048", "ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519", "brainpool-256")
KEYS = {kind: NETWORK.leaf(f"moon {kind}", kind, names=("moon.example.org",)) for kind in KINDS}
A = AuthMethod


def store(*own: Identified) -> Store:
    made = Store()
    made.add_certificate(ROOT.der, ca=True)
    made.add_certificate(NETWORK.der, ca=True)
    for identified in own:
        made.add_certificate(identified.der)
        made.add_key(identified.key_pem)
    return made


EVERYTHING = store(*KEYS.values())


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (A.RSA_SIGNATURE, "rsa-2048"),
        (A.RSA_ENCRYPTION, "rsa-2048"),
        (A.RSA_ENCRYPTION_REVISED, "rsa-2048"),
        (A.HYBRID_INIT_RSA, "rsa-2048"),
        (A.XAUTH_RESP_RSA, "rsa-2048"),
        (A.ECDSA_256, "ecdsa-256"),
        (A.ECDSA_384, "ecdsa-384"),
        (A.ECDSA_521, "ecdsa-521"),
    ],
)
def test_a_method_has_one_kind_of_key(method: AuthMethod, kind: str) -> None:
    chosen = isakmp.choose(EVERYTHING, Local(id=MOON_ID), (), method)
    leaf = KEYS[kind]

    assert chosen.certificates == (leaf.der, NETWORK.der)
    assert chosen.key_id == Certificate.read(leaf.der).key_id.hex()
    assert chosen.identity == Certificate.read(leaf.der).subject


def test_which_methods_the_keys_suit() -> None:
    methods = (A.RSA_SIGNATURE, A.ECDSA_256, A.ECDSA_384, A.ECDSA_521)
    local = Local(id=MOON_ID)

    assert isakmp.usable(EVERYTHING, local, methods) == methods
    assert isakmp.usable(store(KEYS["ecdsa-384"], KEYS["rsa-2048"]), local, methods) == (A.RSA_SIGNATURE, A.ECDSA_384)
    for kind in ("ed25519", "brainpool-256"):
        with pytest.raises(CredentialError, match="does not suit"):
            isakmp.usable(store(KEYS[kind]), local, methods)
    with pytest.raises(CredentialError, match="no certificate"):
        isakmp.usable(store(), local, methods)


def test_local_auth_constrains_the_key() -> None:
    def chosen(*rules: KeyConstraint) -> bytes:
        about = Local(id=MOON_ID, auth=Auth(ike=rules))
        return isakmp.choose(EVERYTHING, about, (), A.RSA_SIGNATURE).certificates[0]

    assert chosen(KeyConstraint("ecdsa"), KeyConstraint("rsa", 2048)) == KEYS["rsa-2048"].der
    for bad in (KeyConstraint("ecdsa"), KeyConstraint("rsa", 3072), KeyConstraint("rsa", pss=True)):
        with pytest.raises(CredentialError, match=r"local\.auth"):
            chosen(bad)


def test_a_fingerprint_names_the_certificate() -> None:
    leaf = KEYS["rsa-2048"]
    for algorithm in ("md5", "sha1", "sha256"):
        named = Fingerprint(algorithm, hashlib.new(algorithm, leaf.der, usedforsecurity=False).digest())
        assert isakmp.choose(EVERYTHING, Local(id=MOON_ID), (), A.RSA_ENCRYPTION, named).certificates[0] == leaf.der
    for digest in (b"", bytes(20), bytes(100)):
        with pytest.raises(CredentialError, match="none of ours"):
            isakmp.choose(EVERYTHING, Local(id=MOON_ID), (), A.RSA_ENCRYPTION, Fingerprint("sha1", digest))


def test_what_peers_ask_for_is_not_remembered() -> None:
    made = store(KEYS["rsa-2048"])
    kept = {isakmp.choose(made, Local(id=MOON_ID), (bytes((n,)),), A.RSA_SIGNATURE).key_id for n in range(9)}
    assert len(kept) == 1 and len(made._signers) == 1


def test_a_key_that_was_unloaded_neither_signs_nor_decrypts() -> None:
    with pytest.raises(CredentialError, match="was unloaded"):
        isakmp.sign_hash(store(), "00", A.RSA_SIGNATURE, bytes(20))
    with pytest.raises(CredentialError, match="was unloaded"):
        isakmp.decrypt(store(), "00", bytes(256), bytes)
    made = store(KEYS["ecdsa-256"])
    with pytest.raises(CredentialError, match="RSA"):
        isakmp.decrypt(made, made.key_ids[0], bytes(256), bytes)


# -- CAs by name ---------------------------------------------------------------------


@pytest.mark.conformance("v1-40")
def test_authorities_by_name() -> None:
    """RFC 2408 §3.10: the DER of the subject of a CA; those that are pinned replace the others."""
    names = [Certificate.read(ca.der).subject.data for ca in (ROOT, NETWORK)]
    made = store()

    assert list(made.authority_names([Remote()])) == names
    assert list(made.authority_names([Remote(cacerts=(NETWORK.der,))])) == names[1:]
    assert list(made.authority_names([Remote(cacerts=(NETWORK.der,)), Remote()])) == [names[1], names[0]]
    assert Store().authority_names([Remote()]) == ()
    for number in range(MAX_AUTHORITIES):
        made.add_certificate(Authority.root(f"v1 many {number}", "ed25519").der, ca=True)
    assert len(made.authority_names()) == MAX_AUTHORITIES


# -- peers known beforehand --------------------------------------------------------------


def test_a_peer_is_known_by_what_is_pinned_or_loaded() -> None:
    leaf, made = KEYS["rsa-2048"], store()

    with pytest.raises(CredentialError, match=r"no certificate of moon\.example\.org is known"):
        made.known(Remote(), MOON_ID, NOW)
    with pytest.raises(CredentialError, match="no certificate of the peer is known"):
        made.known(Remote(), None, NOW)
    pinned = Remote(certs=(leaf.der,))
    assert made.known(pinned, MOON_ID, NOW) == made.known(pinned, None, NOW)
    assert made.known(pinned, None, NOW).path[0] == leaf.der
    with pytest.raises(CredentialError, match=r"does not speak for sun\.example\.org"):
        made.known(pinned, Identity.parse("sun.example.org"), NOW)
    made.add_certificate(leaf.der)
    assert made.known(Remote(), MOON_ID, NOW).path[0] == leaf.der


def test_a_known_peer_is_judged_like_any_other() -> None:
    made = store()
    stranger = Authority.root("v1 stranger").leaf("moon", names=("moon.example.org",))
    made.add_certificate(stranger.der)
    with pytest.raises(NoTrustPath):
        made.known(Remote(), MOON_ID, NOW)
    with pytest.raises(Expired):
        made.known(Remote(certs=(KEYS["rsa-2048"].der,)), MOON_ID, NOW + timedelta(days=40))
