"""Phase 1 by signatures (RFC 2409 §5.1, RFC 4754), and in hybrid mode, from one store to another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import pkcs7

from ikectl.auth.methods_v1 import METHODS, Phase1Kind
from ikectl.auth.v1.psk import Psk
from ikectl.auth.v1.signature import Signature
from ikectl.auth.v1.table import authentication
from ikectl.config.model import Auth, AuthKind, Connection, KeyConstraint, Local, Remote, SendCert
from ikectl.errors import AuthenticationFailed, CredentialError, NoProposalChosen
from ikectl.iana.v1 import AuthMethod, CertEncoding
from ikectl.iana.v2 import HashAlgorithm
from ikectl.pki.certificate import Certificate
from ikectl.pki.store import Store
from ikectl.values.identity import Identity
from ikectl.wire.v1.identity import CERT
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.keying import Signature as Sig
from tests.auth.answers import run
from tests.auth.v1.ends import HASH, MOON_ID, NETWORK, ROOT, SUN_ID, End, connection, leaf, store
from tests.pki.certs import Authority, Identified

RSA = AuthMethod.RSA_SIGNATURE
KINDS = {
    "rsa-2048": RSA,
    "ecdsa-256": AuthMethod.ECDSA_256,
    "ecdsa-384": AuthMethod.ECDSA_384,
    "ecdsa-521": AuthMethod.ECDSA_521,
}
LENGTHS = {RSA: 32, AuthMethod.ECDSA_256: 32, AuthMethod.ECDSA_384: 48, AuthMethod.ECDSA_521: 64}


def hash_for(method: AuthMethod) -> bytes:
    return bytes(range(LENGTHS.get(method, 32)))


def moon(method: AuthMethod = RSA, own: Identified | None = None, made: Store | None = None, **more: Any) -> End:
    own = own or leaf("moon")
    more.setdefault("send_cert", SendCert.ALWAYS)
    about = connection(AuthKind.PUBKEY, Identity.parse(MOON_ID), (own.der,), **more)
    return End.of(method, True, made or store(own), about)


def sun(method: AuthMethod = RSA, remote: Remote | None = None, made: Store | None = None) -> End:
    about = connection(AuthKind.PUBKEY, Identity.parse(SUN_ID), (), remote)
    return End.of(method, False, made or store(), about)


# -- signatures ------------------------------------------------------------------


@pytest.mark.conformance("v1-15")
@pytest.mark.parametrize(("kind", "method"), KINDS.items())
def test_every_kind_of_key(kind: str, method: AuthMethod) -> None:
    hash = hash_for(method)
    proof = moon(method, leaf("moon", kind)).prove(hash)

    assert [type(payload) for payload in proof] == [CERT, CERT, Sig]
    assert str(method) in sun(method).verify(proof, hash)


@pytest.mark.conformance("v1-15")
def test_rsa_signs_the_bare_hash() -> None:
    """RFC 2409 §5.1: PKCS #1 private key encryption of the hash, with no identifier of a hash before it."""
    own = leaf("moon")
    *_, proof = moon(own=own).prove()
    key = own.key
    assert isinstance(proof, Sig) and isinstance(key, rsa.RSAPrivateKey)

    key.public_key().verify(proof.data, HASH, padding.PKCS1v15(), NoDigestInfo())  # type: ignore[arg-type]
    numbers = key.public_key().public_numbers()
    opened = pow(int.from_bytes(proof.data, "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert opened == b"\0\1" + b"\xff" * (256 - 3 - len(HASH)) + b"\0" + HASH


@pytest.mark.parametrize("method", KINDS.values())
def test_a_signature_over_another_hash_or_a_damaged_one(method: AuthMethod) -> None:
    kind = next(kind for kind, known in KINDS.items() if known is method)
    hash = hash_for(method)
    *certs, proof = moon(method, leaf("moon", kind)).prove(hash)
    assert isinstance(proof, Sig)

    with pytest.raises(AuthenticationFailed, match="does not verify"):
        sun(method).verify([*certs, proof], bytes(len(hash)))
    for bad in (proof.data[:-1], b"", bytes(len(proof.data)), proof.data + b"\0", proof.data[:-1] + b"\x55"):
        with pytest.raises(AuthenticationFailed):
            sun(method).verify([*certs, Sig(bad)], hash)


def test_the_key_of_another_method_is_refused() -> None:
    """A method's number names one kind of key."""
    with pytest.raises(CredentialError, match="does not suit"):
        moon(AuthMethod.ECDSA_384, leaf("moon", "ecdsa-256")).prove()
    proof = moon(own=leaf("moon")).prove()
    with pytest.raises(AuthenticationFailed, match="not of the kind"):
        sun(AuthMethod.ECDSA_256).verify(proof)


def test_a_wrong_ca() -> None:
    stranger = Authority.root("stranger").leaf("moon", "rsa-2048", names=(MOON_ID,))
    made = Store()
    made.add_key(stranger.key_pem)

    with pytest.raises(AuthenticationFailed, match="no trusted CA issued"):
        sun().verify(moon(own=stranger, made=made).prove())


def test_a_wrong_identity() -> None:
    proof = moon(own=leaf("venus")).prove()

    with pytest.raises(AuthenticationFailed, match=r"does not speak for moon\.example\.org"):
        sun().verify(proof)


def test_certificates_are_sent_when_asked_for_or_always() -> None:
    """RFC 4945 §3.3.6: without a CERTREQ none, unless the operator wants it."""

    def certificates(sending: SendCert, asked: bool) -> int:
        end = moon(send_cert=sending)
        assert end.sa.handshake is not None
        end.sa.handshake.asked = asked
        return sum(isinstance(payload, CERT) for payload in end.prove())

    assert [certificates(sending, asked) for sending in SendCert for asked in (False, True)] == [2, 2, 0, 0, 0, 2]


def test_a_missing_certificate_may_be_known() -> None:
    own = leaf("moon")
    *_, proof = moon(own=own).prove()

    with pytest.raises(AuthenticationFailed, match="sent no certificate"):
        sun().verify([proof])
    assert sun(remote=Remote(certs=(own.der,))).verify([proof])
    assert sun(made=store(known=[own])).verify([proof])


def test_the_certificate_of_a_ca_the_peer_asks_for_goes_first_of_several() -> None:
    other = Authority.root("another root")
    first, second = other.leaf("moon", "rsa-2048", names=(MOON_ID,)), leaf("moon")
    made = store(second, fresh=True)
    about = connection(AuthKind.PUBKEY, Identity.parse(MOON_ID), (first.der, second.der), send_cert=SendCert.ALWAYS)
    made.add_key(first.key_pem)

    def sent(*authorities: bytes) -> bytes:
        end = End.of(RSA, True, made, about)
        assert end.sa.handshake is not None
        end.sa.handshake.authorities = authorities
        cert = end.prove()[0]
        assert isinstance(cert, CERT)
        return cert.data

    def name(ca: Authority) -> bytes:
        return Certificate.read(ca.der).subject.data

    assert sent() == first.der
    assert sent(name(other)) == first.der
    assert sent(b"\x30\x00", name(NETWORK)) == second.der
    assert sent(b"nobody's") == first.der


def test_a_certificate_asked_for_too_late_does_not_part_from_the_identity() -> None:
    """In aggressive mode the initiator names itself, by its certificate, before it hears what the peer asks for."""
    first, second = Authority.root("another root").leaf("moon-1", "rsa-2048"), leaf("moon-2")
    made = store(second, fresh=True)
    made.add_key(first.key_pem)
    about = connection(AuthKind.PUBKEY, None, (first.der, second.der), send_cert=SendCert.ALWAYS)
    end = End.of(RSA, True, made, about)
    assert end.sa.handshake is not None
    end.sa.local_id = run(end.method.own_identity(end.sa, end.local), made)
    end.sa.handshake.authorities = (Certificate.read(NETWORK.der).subject.data,)

    cert = end.prove()[0]
    assert isinstance(cert, CERT) and Certificate.read(cert.data).subject == end.sa.local_id


def test_remote_auth_constrains_key_and_hash() -> None:
    proof = moon().prove()

    def judged(*rules: KeyConstraint) -> str:
        return sun(remote=Remote(auth=Auth(ike=rules))).verify(proof)

    for good in (KeyConstraint("rsa", 2048), KeyConstraint(hashes=(HashAlgorithm.SHA2_256,))):
        assert judged(KeyConstraint("ecdsa"), good)
    for bad in (
        KeyConstraint("rsa", 3072),
        KeyConstraint("ecdsa"),
        KeyConstraint("rsa", pss=True),
        KeyConstraint(hashes=(HashAlgorithm.SHA2_384,)),
    ):
        with pytest.raises(AuthenticationFailed, match=r"remote\.auth does not accept"):
            judged(bad)


def test_our_identity_is_the_certificates_where_none_is_configured() -> None:
    own = leaf("moon")
    end = End.of(RSA, True, store(own), connection(AuthKind.PUBKEY, None, (own.der,)))

    found = run(end.method.own_identity(end.sa, end.local), end.store)

    assert str(found) == "C=CH, O=ikectl, CN=moon"


# -- certificates on their way ------------------------------------------------------


def wrapped(*members: Identified) -> bytes:
    return pkcs7.serialize_certificates([each.certificate for each in members], serialization.Encoding.DER)


@pytest.mark.conformance("v1-40")
def test_certificates_come_in_any_order_and_company() -> None:
    """RFC 4945 §3.3.10: unknown encodings, CRLs, junk, duplicates and order do no harm."""
    own = leaf("moon")
    own_cert, ca, proof = moon(own=own).prove()
    noise = [
        CERT(CertEncoding.CRL, b"no crl"),
        CERT(CertEncoding.PGP, b"?"),
        CERT(CertEncoding.X509_SIGNATURE, b""),
        CERT(CertEncoding.X509_SIGNATURE, b"junk"),
        CERT(CertEncoding.PKCS7_X509, b"junk"),
    ]

    assert sun().verify([*noise, ca, ca, own_cert, own_cert, proof])


@pytest.mark.conformance("v1-40")
def test_a_chain_in_pkcs7() -> None:
    """RFC 4945 §3.3.4: not to be sent, but accepted; there it has no order."""
    own = leaf("moon")
    *_, proof = moon(own=own).prove()
    sun_ = sun(made=_root_only())

    assert sun_.verify([CERT(CertEncoding.PKCS7_X509, wrapped(NETWORK, own)), proof])
    with pytest.raises(AuthenticationFailed, match="no trusted CA issued"):
        sun(made=_root_only()).verify([CERT(CertEncoding.PKCS7_X509, wrapped(own)), proof])


def _root_only() -> Store:
    made = Store()
    made.add_certificate(ROOT.der, ca=True)
    return made


def test_far_too_many_certificates_are_not_looked_at() -> None:
    own = leaf("moon")
    own_cert, ca, proof = moon(own=own).prove()
    junk = [CERT(CertEncoding.X509_SIGNATURE, bytes((number,))) for number in range(60)]

    with pytest.raises(AuthenticationFailed, match="cannot be read"):
        sun().verify([*junk, own_cert, ca, proof])


# -- hybrid ---------------------------------------------------------------------------


def hybrid(method: AuthMethod, own: Identified) -> tuple[End, End]:
    """Whoever proves itself by a certificate, and whose user logs in."""
    gateway_begins = method is AuthMethod.HYBRID_RESP_RSA
    sun_proves = Connection(
        "gateway",
        (),
        version=1,
        local=(Local(auth=Auth(AuthKind.PUBKEY), id=Identity.parse(SUN_ID), certs=(own.der,)),),
        remote=(Remote(auth=Auth(AuthKind.XAUTH)),),
        send_cert=SendCert.ALWAYS,
    )
    client = replace(
        sun_proves,
        local=(Local(auth=Auth(AuthKind.XAUTH), xauth_id="joe"),),
        remote=(Remote(auth=Auth(AuthKind.PUBKEY)),),
    )
    gateway = End.of(method, gateway_begins, store(own), sun_proves)
    user = End.of(method, not gateway_begins, store(), client)
    user.sa.remote_id = Identity.parse(SUN_ID)
    gateway.sa.remote_id = Identity.parse("joe")
    return gateway, user


@pytest.mark.conformance("v1-36")
@pytest.mark.parametrize("method", [AuthMethod.HYBRID_INIT_RSA, AuthMethod.HYBRID_RESP_RSA])
def test_hybrid_mode(method: AuthMethod) -> None:
    """One end signs; the other, whose user logs in by XAUTH, sends the bare HASH. SKEYID is that of signatures."""
    gateway, user = hybrid(method, leaf("sun"))

    proof, hash = gateway.prove(), user.prove()

    assert [type(payload) for payload in proof] == [CERT, CERT, Sig] and hash == [Hash(HASH)]
    assert user.verify(proof) and "log in" in gateway.verify(hash)
    assert gateway.skeyid() == user.skeyid() == End.of(RSA, True, store(), moon().sa.connection).skeyid()  # type: ignore[arg-type]
    assert str(run(user.method.own_identity(user.sa, user.local), user.store)) in ("192.0.2.1", "198.51.100.1")


@pytest.mark.conformance("v1-36")
def test_a_user_that_is_asked_for_a_certificate_sends_an_empty_one() -> None:
    """§4.2 of the draft: a CERT whose data has zero length."""
    gateway, user = hybrid(AuthMethod.HYBRID_INIT_RSA, leaf("sun"))
    assert user.sa.handshake is not None
    user.sa.handshake.asked = True

    proof = user.prove()

    assert proof == [CERT(CertEncoding.X509_SIGNATURE, b""), Hash(HASH)]
    assert "log in" in gateway.verify(proof)


@pytest.mark.conformance("v1-36")
def test_hybrid_mode_refuses_what_is_not_due() -> None:
    gateway, user = hybrid(AuthMethod.HYBRID_INIT_RSA, leaf("sun"))

    with pytest.raises(AuthenticationFailed, match="HASH of joe is wrong"):
        gateway.verify([Hash(bytes(32))])
    with pytest.raises(Exception, match="without Signature"):
        user.verify([Hash(HASH)])  # a gateway that proves nothing
    with pytest.raises(Exception, match="without Hash"):
        gateway.verify(gateway.prove())


# -- the table -------------------------------------------------------------------------


def test_the_table_has_every_method_that_is_spoken() -> None:
    kinds = {Phase1Kind.PSK: Psk, Phase1Kind.SIGNATURE: Signature}
    for method, row in METHODS.items():
        for initiator in (True, False):
            made = authentication(method, initiator)
            assert made is not authentication(method, initiator)
            assert type(made) is kinds.get(row.phase1, type(made))
    with pytest.raises(NoProposalChosen):
        authentication(AuthMethod.DSS, True)
