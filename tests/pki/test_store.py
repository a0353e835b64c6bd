"""The store of credentials: what goes in, what comes out, and what never does."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ikectl.config.model import Auth, KeyConstraint, Local, Remote
from ikectl.errors import CredentialError, Expired, NoTrustPath
from ikectl.iana.v2 import AuthMethod, HashAlgorithm
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import MAX_AUTHORITIES, Store
from ikectl.values.identity import Identity
from tests.pki.certs import NOW, SIGNING, Authority, Identified, key, self_signed

ROOT = Authority.root()
NETWORK = ROOT.authority("network")
OTHER = Authority.root("other")
MOON_ID = Identity.parse("moon.example.org")
MOON = NETWORK.leaf("moon", names=("moon.example.org",))
ALL = (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512, HashAlgorithm.IDENTITY)
DAY = timedelta(days=1)
ANY_KEY = Auth()


def store(*cas: Authority, own: tuple[Identified, ...] = ()) -> Store:
    made = Store()
    for ca in cas:
        made.add_certificate(ca.der, ca=True)
    for identified in own:
        made.add_certificate(identified.der)
        made.add_key(identified.key_pem)
    return made


def authority(ca: Identified) -> bytes:
    return Certificate.read(ca.der).authority


def own(*leafs: Identified, auth: Auth = ANY_KEY, identity: Identity | None = None) -> Local:
    return Local(auth=auth, id=identity, certs=tuple(leaf.der for leaf in leafs))


# -- certificates


def test_what_is_no_ca_is_not_taken_for_one() -> None:
    with pytest.raises(CredentialError, match="CN=moon is not a CA's"):
        Store().add_certificate(MOON.der, ca=True)


def test_a_certificate_goes_with_the_last_who_loaded_it() -> None:
    made = store(ROOT)
    made.add_certificate(ROOT.der, ca=True, owner="authority root")
    made.add_certificate(MOON.der)

    assert made.remove_certificates() == 1
    assert [(str(c), ca) for c, ca, _ in made.certificates()] == [("C=CH, O=ikectl, CN=root", True)]
    assert made.remove_certificates("authority root") == 1
    assert list(made.certificates()) == []


def test_certificates_tell_whether_their_key_is_here() -> None:
    made = store(ROOT, own=(MOON,))

    assert [(c.der, ca, ours) for c, ca, ours in made.certificates()] == [
        (ROOT.der, True, False),
        (MOON.der, False, True),
    ]


@pytest.mark.conformance("v2-66")
def test_certreq_names_the_cas_peers_may_come_from() -> None:
    made = store(ROOT, OTHER)

    assert made.authorities() == (authority(ROOT), authority(OTHER))
    assert made.authorities([Remote()]) == (authority(ROOT), authority(OTHER))
    assert made.authorities([Remote(cacerts=(NETWORK.der,))]) == (authority(NETWORK),)
    assert made.authorities([Remote(cacerts=(OTHER.der,)), Remote()]) == (authority(OTHER), authority(ROOT))
    public = ROOT.key.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert authority(ROOT) == hashlib.sha1(spki).digest()


def test_certreq_has_a_bound() -> None:
    roots = [Authority.root(f"root {number}", key_identifiers=False) for number in range(MAX_AUTHORITIES + 1)]

    assert len(store(*roots).authorities()) == MAX_AUTHORITIES


# -- keys


@pytest.mark.parametrize("kind", SIGNING)
def test_a_key_is_named_by_the_sha1_of_its_public_bits(kind: str) -> None:
    leaf = ROOT.leaf("moon", kind)
    made = Store()

    assert made.add_key(leaf.key_pem) == Certificate.read(leaf.der).key_id.hex()
    assert made.key_ids == (Certificate.read(leaf.der).key_id.hex(),)


def test_keys_come_in_every_usual_form() -> None:
    for kind in ("rsa-2048", "ecdsa-256"):
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
            for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
                octets = key(kind).private_bytes(encoding, form, serialization.NoEncryption())
                assert Store().add_key(octets)


def test_encrypted_keys_need_their_passphrase() -> None:
    octets = key("ecdsa-256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"right"),
    )

    assert Store().add_key(octets, b"right")
    with pytest.raises(CredentialError, match="needs a passphrase"):
        Store().add_key(octets)
    with pytest.raises(CredentialError, match="wrong passphrase"):
        Store().add_key(octets, b"wrong")


def test_junk_and_keys_that_do_not_sign_are_refused() -> None:
    for octets in (b"", b"junk", b"-----BEGIN PRIVATE KEY-----\n"):
        with pytest.raises(CredentialError, match="cannot be read"):
            Store().add_key(octets)
    with pytest.raises(CredentialError, match="X25519 do not sign"):
        Store().add_key(ROOT.leaf("moon", "x25519").key_pem)


def test_a_key_may_go() -> None:
    made = store(ROOT, own=(MOON,))
    signer = made.choose(own(MOON), (), ALL)

    assert made.remove_key(signer.key_id) and not made.remove_key(signer.key_id)
    with pytest.raises(CredentialError, match="was unloaded"):
        made.sign(signer.key_id, signer.scheme, b"octets")
    with pytest.raises(CredentialError, match="private key of C=CH, O=ikectl, CN=moon is not loaded"):
        made.choose(own(MOON), (), ALL)


def test_signing_is_by_handle() -> None:
    made = store(ROOT, own=(MOON,))
    signer = made.choose(own(MOON), (), (HashAlgorithm.SHA2_256,))
    public = MOON.key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)

    octets = made.sign(signer.key_id, signer.scheme, b"octets")

    assert signer.key_id == Certificate.read(MOON.der).key_id.hex()
    assert len(octets) > 60


# -- choosing


def test_the_chain_sent_is_the_leaf_and_the_intermediates() -> None:
    signer = store(ROOT, NETWORK, own=(MOON,)).choose(own(MOON), (), ALL)

    assert signer.certificates == (MOON.der, NETWORK.der)
    assert signer.identity == Certificate.read(MOON.der).subject


def test_the_chain_goes_as_far_as_it_is_known() -> None:
    deep = NETWORK.authority("deep")
    leaf = deep.leaf("moon")

    assert store(deep, NETWORK, own=(leaf,)).choose(own(leaf), (), ALL).certificates == (
        leaf.der,
        deep.der,
        NETWORK.der,
    )
    assert store(own=(leaf,)).choose(own(leaf), (), ALL).certificates == (leaf.der,)


def test_an_expired_certificate_of_ours_is_still_sent_with_its_chain() -> None:
    old = NETWORK.leaf("moon", ends=-DAY)

    assert store(ROOT, NETWORK, own=(old,)).choose(own(old), (), ALL).certificates == (old.der, NETWORK.der)


@pytest.mark.conformance("v2-66")
def test_certreq_chooses_among_certificates_and_unknown_hashes_do_not_matter() -> None:
    theirs = OTHER.leaf("moon", "ecdsa-384")
    made = store(ROOT, NETWORK, OTHER, own=(MOON, theirs))
    local = own(MOON, theirs)

    def chosen(*authorities: bytes) -> bytes:
        return made.choose(local, authorities, ALL).certificates[0]

    assert chosen() == MOON.der
    assert chosen(authority(OTHER)) == theirs.der
    assert chosen(authority(ROOT)) == MOON.der
    assert chosen(authority(NETWORK)) == MOON.der
    assert chosen(bytes(20), authority(OTHER)) == theirs.der
    assert chosen(bytes(20)) == MOON.der


def test_without_configured_certificates_one_that_speaks_for_the_identity_serves() -> None:
    sun = ROOT.leaf("sun", names=("sun.example.org",))
    made = store(ROOT, NETWORK, own=(sun, MOON))

    assert made.choose(own(identity=MOON_ID), (), ALL).certificates[0] == MOON.der
    assert made.choose(own(), (), ALL).certificates[0] == sun.der
    with pytest.raises(CredentialError, match=r"certificates names venus.* key here are of .*sun\.example\.org; "):
        made.choose(own(identity=Identity.parse("venus.example.org")), (), ALL)


@pytest.mark.conformance("v2-62")
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("rsa-2048", AuthMethod.RSA_SIGNATURE),
        ("ecdsa-256", AuthMethod.ECDSA_256),
        ("ecdsa-384", AuthMethod.ECDSA_384),
        ("ecdsa-521", AuthMethod.ECDSA_521),
    ],
)
def test_a_peer_without_rfc_7427_gets_the_older_methods(kind: str, method: AuthMethod) -> None:
    leaf = ROOT.leaf("moon", kind)
    made = store(ROOT, own=(leaf,))

    assert made.choose(own(leaf), (), None).scheme.method is method
    assert made.choose(own(leaf), (), ALL).scheme.method is AuthMethod.DIGITAL_SIGNATURE


def test_a_key_no_scheme_fits_is_not_chosen() -> None:
    edwards, plain = ROOT.leaf("moon", "ed25519"), ROOT.leaf("moon", "ecdsa-256")
    made = store(ROOT, own=(edwards, plain))

    assert made.choose(own(edwards, plain), (), ALL).certificates[0] == edwards.der
    assert made.choose(own(edwards, plain), (), None).certificates[0] == plain.der
    with pytest.raises(CredentialError, match=r"no signature scheme of .*CN=moon suits"):
        made.choose(own(edwards), (), None)


def test_local_auth_constrains_the_scheme() -> None:
    leaf = ROOT.leaf("moon", "rsa-2048")
    made = store(ROOT, own=(leaf,))

    def scheme(*ike: KeyConstraint) -> str:
        return str(made.choose(own(leaf, auth=Auth(ike=ike)), (), ALL).scheme)

    assert "PSS" in scheme(KeyConstraint("rsa", pss=True))
    assert "PKCS1" in scheme(KeyConstraint("rsa"))
    assert "512" in scheme(KeyConstraint("rsa", hashes=(HashAlgorithm.SHA2_512,)))
    with pytest.raises(CredentialError, match=r"suits the peer and local.auth"):
        scheme(KeyConstraint("ecdsa"))


# -- peers


def test_a_peer_is_judged_by_the_cas_of_the_store() -> None:
    assert store(ROOT).check((MOON.der, NETWORK.der), Remote(), MOON_ID, NOW).spki == Certificate.read(MOON.der).spki
    assert store(ROOT, NETWORK).check((MOON.der,), Remote(), MOON_ID, NOW)
    with pytest.raises(NoTrustPath):
        store(OTHER).check((MOON.der, NETWORK.der), Remote(), MOON_ID, NOW)


def test_an_intermediate_in_the_store_is_no_trust_anchor_but_may_be_named_as_one() -> None:
    with pytest.raises(NoTrustPath):
        store(NETWORK).check((MOON.der,), Remote(), MOON_ID, NOW)
    assert store().check((MOON.der,), Remote(cacerts=(NETWORK.der,)), MOON_ID, NOW)


def test_a_peer_that_sends_no_certificate_may_be_known_by_one() -> None:
    made = store(ROOT, NETWORK)
    pinned = self_signed("moon", names=("moon.example.org",))

    assert made.check((), Remote(certs=(pinned.der,)), MOON_ID, NOW).spki == Certificate.read(pinned.der).spki
    with pytest.raises(CredentialError, match="sent no certificate"):
        made.check((), Remote(), MOON_ID, NOW)
    made.add_certificate(MOON.der)
    assert made.check((), Remote(), MOON_ID, NOW).spki == Certificate.read(MOON.der).spki


def test_a_good_chain_is_good_until_it_expires_or_the_store_changes() -> None:
    made = store(ROOT)
    chain = (MOON.der, NETWORK.der)

    for _ in range(2):
        assert made.check(chain, Remote(), MOON_ID, NOW)
    with pytest.raises(Expired):
        made.check(chain, Remote(), MOON_ID, NOW + 31 * DAY)
    with pytest.raises(Expired):
        made.check(chain, Remote(), MOON_ID, NOW - 31 * DAY)
    made.remove_certificates()
    with pytest.raises(NoTrustPath):
        made.check(chain, Remote(), MOON_ID, NOW)


def test_what_was_good_for_one_configuration_or_identity_is_judged_again_for_another() -> None:
    made = store(ROOT)
    chain = (MOON.der, NETWORK.der)
    assert made.check(chain, Remote(), MOON_ID, NOW)

    for trust in (
        Remote(cacerts=(OTHER.der,)),
        Remote(certs=(OTHER.der,)),
        Remote(auth=Auth(chain=(KeyConstraint("rsa"),))),
    ):
        with pytest.raises(CredentialError):
            made.check(chain, trust, MOON_ID, NOW)
    with pytest.raises(CredentialError, match="does not speak for"):
        made.check(chain, Remote(), Identity.parse("sun.example.org"), NOW)


# -- secrets


def test_secrets_are_found_by_owner() -> None:
    made = Store()
    made.add_secret("ike", [MOON_ID], b"secret")

    assert made.shared_secret(MOON_ID, MOON_ID, b"", b"") == b"secret"
    assert made.remove_secret("ike") and not made.remove_secret("ike")


def test_clearing_forgets_everything() -> None:
    made = store(ROOT, NETWORK, own=(MOON,))
    made.add_secret("ike", [], b"secret")
    made.choose(own(MOON), (), ALL)

    made.clear()

    assert (made.key_ids, made.secrets.names, list(made.certificates())) == ((), (), [])
    with pytest.raises(CredentialError):
        made.choose(own(MOON), (), ALL)
