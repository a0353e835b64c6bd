"""Authentication with certificates, from one store to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ikectl.auth.base import ANNOUNCED_HASHES, AuthContext, CertPolicy, Proof
from ikectl.auth.table import prove, verify
from ikectl.config.model import Auth, KeyConstraint, Local, Remote
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.errors import AuthenticationFailed
from ikectl.iana.v2 import AuthMethod, CertEncoding, HashAlgorithm, PrfId
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint, Path
from ikectl.wire.v2.identity import AUTH, CERT
from tests.auth.answers import run
from tests.pki.certs import Authority, Identified, self_signed

ROOT = Authority.root()
NETWORK = ROOT.authority("network")
MOON, SUN = Identity.parse("moon.example.org"), Identity.parse("sun.example.org")
REMOTE = Remote()
OLD = {
    "rsa-2048": AuthMethod.RSA_SIGNATURE,
    "ecdsa-256": AuthMethod.ECDSA_256,
    "ecdsa-384": AuthMethod.ECDSA_384,
    "ecdsa-521": AuthMethod.ECDSA_521,
}
NEW = (*OLD, "brainpool-256", "ed25519", "ed448")


def gateway(leaf: Identified) -> tuple[Store, Local]:
    """Moon's store: its key, its certificate, the intermediate above it."""
    store = Store()
    store.add_certificate(ROOT.der, ca=True)
    store.add_certificate(NETWORK.der, ca=True)
    store.add_key(leaf.key_pem)
    return store, Local(certs=(leaf.der,))


def peer() -> Store:
    """Sun's store: it knows the root and nothing else."""
    store = Store()
    store.add_certificate(ROOT.der, ca=True)
    return store


def moon(kind: str = "ecdsa-256") -> Identified:
    return NETWORK.leaf("moon", kind, names=("moon.example.org",))


def context(
    us: Identity = MOON,
    them: Identity = SUN,
    hashes: tuple[HashAlgorithm, ...] | None = ANNOUNCED_HASHES,
) -> AuthContext:
    return AuthContext(
        prf=PRF_BY_ID[PrfId.HMAC_SHA2_256].prf,
        octets_local=f"{us}'s octets".encode(),
        octets_remote=f"{them}'s octets".encode(),
        local_id=us,
        remote_id=them,
        path=Path(Endpoint.parse("192.0.2.1", 500), Endpoint.parse("192.0.2.2", 500)),
        peer_hashes=hashes,
    )


def proof_of(leaf: Identified, about: AuthContext | None = None) -> Proof:
    store, local = gateway(leaf)
    return run(prove(local, about or context()), store)


def judge(
    auth: AUTH,
    certs: Sequence[CERT],
    remote: Remote = REMOTE,
    hashes: tuple[HashAlgorithm, ...] | None = ANNOUNCED_HASHES,
    store: Store | None = None,
) -> str:
    return run(verify(remote, context(SUN, MOON, hashes), auth, certs), store or peer())


@pytest.mark.conformance("v2-62")
@pytest.mark.parametrize("kind", NEW)
def test_every_kind_of_key_proves_us_by_the_digital_signature_method(kind: str) -> None:
    proof = proof_of(moon(kind))

    assert proof.auth.method is AuthMethod.DIGITAL_SIGNATURE
    assert judge(proof.auth, proof.certs)


@pytest.mark.conformance("v2-62")
@pytest.mark.parametrize(("kind", "method"), OLD.items())
def test_older_peers_get_the_older_methods(kind: str, method: AuthMethod) -> None:
    proof = proof_of(moon(kind), context(hashes=None))

    assert proof.auth.method is method
    assert judge(proof.auth, proof.certs, hashes=None)


@pytest.mark.conformance("v2-62")
def test_the_digital_signature_method_needs_both_announcements() -> None:
    proof = proof_of(moon())

    with pytest.raises(AuthenticationFailed, match="SIGNATURE_HASH_ALGORITHMS"):
        judge(proof.auth, proof.certs, hashes=None)


@pytest.mark.conformance("v2-62")
def test_a_hash_we_did_not_announce_is_refused() -> None:
    proof = proof_of(moon("rsa-2048"), context(hashes=(HashAlgorithm.SHA2_512,)))
    about = replace(context(SUN, MOON), our_hashes=(HashAlgorithm.SHA2_256,))

    with pytest.raises(AuthenticationFailed):
        run(verify(REMOTE, about, proof.auth, proof.certs), peer())


@pytest.mark.conformance("v2-62")
def test_the_older_rsa_method_is_no_way_around_the_announced_hashes() -> None:
    proof = proof_of(moon("rsa-2048"), context(hashes=None))

    with pytest.raises(AuthenticationFailed, match="RSA_SHA1, whose hash we did not announce"):
        judge(proof.auth, proof.certs)


@pytest.mark.conformance("v2-66")
def test_certificates_travel_leaf_first_without_the_root() -> None:
    leaf = moon()
    proof = proof_of(leaf)

    assert [cert.encoding for cert in proof.certs] == [CertEncoding.X509_SIGNATURE] * 2
    assert [cert.data for cert in proof.certs] == [leaf.der, NETWORK.der]


def test_certificates_stay_here_when_nobody_wants_them() -> None:
    leaf = moon()
    proof = proof_of(leaf, replace(context(), certs=CertPolicy(send=False)))

    assert proof.certs == []
    with pytest.raises(AuthenticationFailed, match="sent no certificate"):
        judge(proof.auth, proof.certs)
    pinned = Remote(certs=(leaf.der,))
    assert judge(proof.auth, proof.certs, pinned)


def test_a_signature_over_other_octets_is_refused() -> None:
    leaf = moon()
    other = proof_of(leaf, context(us=Identity.parse("fqdn:MOON.example.org")))

    with pytest.raises(AuthenticationFailed):
        judge(other.auth, other.certs)


@pytest.mark.parametrize("kind", NEW)
def test_a_damaged_signature_is_refused(kind: str) -> None:
    proof = proof_of(moon(kind))
    data = proof.auth.data

    for bad in (data[:-1], data[:-1] + bytes((data[-1] ^ 1,)), b"", bytes(len(data)), data + b"\0"):
        with pytest.raises(AuthenticationFailed):
            judge(AUTH(proof.auth.method, bad), proof.certs)


def test_the_certificate_of_another_key_is_refused() -> None:
    proof, other = proof_of(moon()), NETWORK.leaf("impostor", names=("moon.example.org",))

    with pytest.raises(AuthenticationFailed):
        judge(proof.auth, [CERT(CertEncoding.X509_SIGNATURE, other.der), *proof.certs[1:]])


@pytest.mark.conformance("v2-68")
def test_a_bad_chain_is_a_failed_authentication_and_tells_why_only_here() -> None:
    stranger = Authority.root("stranger").leaf("moon", names=("moon.example.org",))
    proof = proof_of(stranger)

    with pytest.raises(AuthenticationFailed, match="no trusted CA issued") as failure:
        judge(proof.auth, proof.certs)
    assert (failure.value.notify, failure.value.data) == (AuthenticationFailed.notify, b"")


@pytest.mark.conformance("v2-64")
def test_the_identity_must_be_the_certificates() -> None:
    venus = NETWORK.leaf("venus", names=("venus.example.org",))
    proof = proof_of(venus)

    with pytest.raises(AuthenticationFailed, match=r"does not speak for moon\.example\.org"):
        judge(proof.auth, proof.certs)


def test_a_self_signed_certificate_counts_where_it_is_configured() -> None:
    leaf = self_signed("moon", names=("moon.example.org",))
    proof = proof_of(leaf)

    with pytest.raises(AuthenticationFailed, match="self-signed"):
        judge(proof.auth, proof.certs)
    assert judge(proof.auth, proof.certs, Remote(certs=(leaf.der,)))


def test_a_secret_where_a_signature_is_due_is_refused() -> None:
    with pytest.raises(AuthenticationFailed, match="the peer used SHARED_KEY_MIC"):
        judge(AUTH(AuthMethod.SHARED_KEY_MIC, bytes(32)), ())


@pytest.mark.conformance("v2-67")
def test_certificates_by_hash_and_url_are_not_fetched() -> None:
    proof = proof_of(moon())
    by_url = CERT(CertEncoding.HASH_AND_URL_X509, bytes(20) + b"http://ca.example.org/moon")

    with pytest.raises(AuthenticationFailed, match="cert_uris of this connection does not allow"):
        judge(proof.auth, [by_url])
    assert judge(proof.auth, [by_url, *proof.certs])


def test_remote_auth_constrains_the_signature() -> None:
    proof = proof_of(moon("rsa-2048"), context(hashes=(HashAlgorithm.SHA2_384,)))

    for good in (
        KeyConstraint("rsa"),
        KeyConstraint("rsa", 2048),
        KeyConstraint(hashes=(HashAlgorithm.SHA2_384,)),
    ):
        assert judge(proof.auth, proof.certs, Remote(auth=Auth(ike=(good,))))
    for bad in (
        KeyConstraint("ecdsa"),
        KeyConstraint("rsa", 3072),
        KeyConstraint(hashes=(HashAlgorithm.SHA2_256,)),
    ):
        with pytest.raises(AuthenticationFailed, match=r"remote\.auth does not accept"):
            judge(proof.auth, proof.certs, Remote(auth=Auth(ike=(bad,))))


def test_remote_auth_may_demand_rsa_pss() -> None:
    store, local = gateway(moon("rsa-2048"))
    pss_wanted = Remote(auth=Auth(ike=(KeyConstraint("rsa", pss=True),)))
    plain = run(prove(replace(local, auth=Auth(ike=(KeyConstraint("rsa"),))), context()), store)
    pss = run(prove(local, context()), store)

    assert (plain.note, pss.note) == ("RSA_EMSA_PKCS1_SHA2_256", "RSA_EMSA_PSS_SHA2_256")
    assert judge(pss.auth, pss.certs, pss_wanted) == pss.note
    with pytest.raises(AuthenticationFailed, match="does not accept RSA_EMSA_PKCS1_SHA2_256"):
        judge(plain.auth, plain.certs, pss_wanted)


def test_we_cannot_prove_what_we_have_no_key_for() -> None:
    with pytest.raises(AuthenticationFailed, match=r"private key of .*CN=moon is not loaded"):
        run(prove(Local(certs=(moon().der,)), context()), Store())


def test_a_key_unloaded_between_choosing_and_signing_is_a_failure_not_a_crash() -> None:
    leaf = moon()
    store, local = gateway(leaf)
    proving = prove(local, context())

    ask = proving.send(None)
    signer = store.choose(ask.local, (), ANNOUNCED_HASHES)
    assert store.remove_key(Certificate.read(leaf.der).key_id.hex())
    signing = proving.send(signer)
    with pytest.raises(Exception, match="was unloaded") as gone:
        store.sign(signing.key_id, signing.scheme, signing.octets)
    with pytest.raises(AuthenticationFailed, match="was unloaded"):
        proving.throw(gone.value)
