"""Phase 1 by public key encryption, both modes (RFC 2409 §5.2, §5.3), from one store to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ikectl.config.model import AuthKind, Connection, Remote, SendCert
from ikectl.crypto.encryption_v1 import EphemeralCipher, ephemeral_key
from ikectl.errors import AuthenticationFailed, CredentialError, PeerMisbehaved
from ikectl.iana.v1 import AuthMethod, CertEncoding
from ikectl.pki.store import Store
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.v1.identity import CERT, ID
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.payload import Payload
from tests.auth.answers import run
from tests.auth.v1.ends import COOKIE_I, HASH, MOON_ID, NETWORK, SUN_ID, End, connection, leaf, pattern, store
from tests.pki.certs import Authority, Identified

PLAIN, REVISED = AuthMethod.RSA_ENCRYPTION, AuthMethod.RSA_ENCRYPTION_REVISED
KINDS = {PLAIN: AuthKind.RSA_ENCRYPTION, REVISED: AuthKind.RSA_ENCRYPTION_REVISED}
BOTH = pytest.mark.parametrize("method", [PLAIN, REVISED])
MOON, SUN = leaf("moon"), leaf("sun")


def about(method: AuthMethod, own: Identified, name: str, remote: Remote, **more: Any) -> Connection:
    return connection(KINDS[method], Identity.parse(name), (own.der,), remote, **more)


def moon(
    method: AuthMethod,
    own: Identified = MOON,
    remote: Remote | None = None,
    known: tuple[Identified, ...] = (SUN,),
    **more: Any,
) -> End:
    remote = remote or Remote(id=pattern(SUN_ID))
    return End.of(method, True, store(own, known=known), about(method, own, MOON_ID, remote, **more))


def sun(
    method: AuthMethod,
    own: Identified = SUN,
    remote: Remote | None = None,
    known: tuple[Identified, ...] = (MOON,),
    made: Store | None = None,
) -> End:
    remote = remote or Remote(id=pattern(MOON_ID))
    return End.of(method, False, made or store(own, known=known), about(method, own, SUN_ID, remote))


def exchange(
    one: End, other: End, change: Callable[[list[Payload]], list[Payload]] = lambda said: said
) -> tuple[list[Payload], list[Payload]]:
    """Messages 3 and 4 of main mode, both heard; `change` happens to the first on its way."""
    said, _ = one.say()
    said = change(said)
    heard = other.hear(said)
    assert heard.identity is not None
    other.sa.remote_id = heard.identity.identity
    answer, _ = other.say()
    one.hear(answer)
    return said, answer


def proven(one: End, other: End) -> bool:
    """Both make the same SKEYID, and take each other's HASH."""
    assert one.skeyid() == other.skeyid()
    return bool(other.verify(one.prove()) and one.verify(other.prove()))


@BOTH
def test_both_ends_prove_themselves(method: AuthMethod) -> None:
    one, other = moon(method), sun(method)
    said, answer = exchange(one, other)

    order: tuple[type[Payload], ...] = (KE, Hash, ID, Nonce) if method is PLAIN else (Hash, Nonce, KE, ID)
    assert tuple(map(type, said)) == order
    assert tuple(map(type, answer)) == tuple(kind for kind in order if kind is not Hash)
    assert other.sa.remote_id == Identity.parse(MOON_ID)
    assert proven(one, other)


@BOTH
@pytest.mark.parametrize("variant", [AuthMethod.XAUTH_INIT_RSA_ENCRYPTION, AuthMethod.XAUTH_RESP_RSA_REVISED])
def test_the_numbers_with_xauth_do_the_same(method: AuthMethod, variant: AuthMethod) -> None:
    one = End.of(variant, True, store(MOON, known=(SUN,)), about(method, MOON, MOON_ID, Remote(id=pattern(SUN_ID))))
    other = End.of(variant, False, store(SUN, known=(MOON,)), about(method, SUN, SUN_ID, Remote(id=pattern(MOON_ID))))
    exchange(one, other)
    assert proven(one, other)


def test_what_is_encrypted_by_hand() -> None:
    """§5.2: identity and nonce under the peer's key in PKCS #1 format, generic headers and KE in clear."""
    one = moon(PLAIN)
    (public, named, identity, sealed), nonce = one.say()
    key, suite = SUN.key, one.sa.suite
    assert isinstance(key, rsa.RSAPrivateKey) and suite is not None and one.sa.handshake is not None

    assert public == KE(one.sa.handshake.public_i) and named == Hash(suite.digest(SUN.der))
    assert key.decrypt(identity.body(), padding.PKCS1v15()) == ID.of(Identity.parse(MOON_ID)).body()
    assert key.decrypt(sealed.body(), padding.PKCS1v15()) == nonce


def test_what_is_encrypted_by_hand_in_the_revised_mode() -> None:
    """§5.3: the nonce under the peer's key, KE and ID under Ke_i with one chain of blocks."""
    one = moon(REVISED)
    (_, sealed, public, identity), nonce = one.say()
    key, suite = SUN.key, one.sa.suite
    assert isinstance(key, rsa.RSAPrivateKey) and suite is not None and one.sa.handshake is not None

    assert key.decrypt(sealed.body(), padding.PKCS1v15()) == nonce
    cipher = EphemeralCipher(suite, ephemeral_key(suite, nonce, COOKIE_I))
    assert cipher.decrypt(public.body()) == one.sa.handshake.public_i
    assert cipher.decrypt(identity.body()) == ID.of(Identity.parse(MOON_ID)).body()


def test_the_initiator_may_bring_its_certificate() -> None:
    """§5.3: <<Cert-I_b>Ke_i, for a responder that does not know it; a CA still has to vouch for it."""
    one, other = moon(REVISED, send_cert=SendCert.ALWAYS), sun(REVISED, known=())
    said, _ = exchange(one, other)
    assert type(said[-1]) is CERT and said[-1].body() != CERT(CertEncoding.X509_SIGNATURE, MOON.der).body()
    assert proven(one, other)

    forged = Authority.root("stranger").leaf("moon", "rsa-2048", names=(MOON_ID,))
    one, other = moon(REVISED, own=forged, send_cert=SendCert.ALWAYS), sun(REVISED, known=())
    exchange(one, other)
    with pytest.raises(AuthenticationFailed, match="no trusted CA issued"):
        other.verify([Hash(HASH)])


@BOTH
def test_hash_1_tells_which_of_the_responders_keys_is_meant(method: AuthMethod) -> None:
    second = NETWORK.leaf("sun-2", "rsa-2048", names=(SUN_ID,))
    made = store(SUN, second, known=(MOON,))
    about_sun = connection(KINDS[method], Identity.parse(SUN_ID), (SUN.der, second.der), Remote(id=pattern(MOON_ID)))
    one, other = moon(method, known=(second,)), End.of(method, False, made, about_sun)
    exchange(one, other)
    assert proven(one, other)

    nameless = connection(KINDS[method], None, (SUN.der, second.der), Remote(id=pattern(MOON_ID)))
    one, other = moon(method, remote=Remote(certs=(second.der,)), known=()), End.of(method, False, made, nameless)
    exchange(one, other)
    one.sa.remote_id = run(other.method.own_identity(other.sa, other.local), made)
    assert str(one.sa.remote_id).endswith("CN=sun-2") and proven(one, other)

    one, other = moon(method, known=(second,)), sun(method)
    with pytest.raises(AuthenticationFailed, match="none of ours"):
        exchange(one, other)


@BOTH
def test_a_responder_whose_certificate_is_not_known(method: AuthMethod) -> None:
    with pytest.raises(CredentialError, match=r"no certificate of sun\.example\.org is known"):
        moon(method, known=()).say()
    with pytest.raises(CredentialError, match="does not suit"):
        moon(method, own=leaf("moon", "ecdsa-256")).say()
    stranger = Authority.root("stranger").leaf("sun", "rsa-2048", names=(SUN_ID,))
    with pytest.raises(CredentialError, match="no trusted CA issued"):
        moon(method, known=(stranger,)).say()


@BOTH
def test_a_pinned_certificate_vouches_for_its_names_alone(method: AuthMethod) -> None:
    """Whoever the configuration lets the responder be, it must be named in the certificate we encrypted to."""
    one, other = moon(method, remote=Remote(certs=(SUN.der,)), known=()), sun(method)
    exchange(one, other)
    one.sa.remote_id = Identity.parse("venus.example.org")
    with pytest.raises(AuthenticationFailed, match=r"does not speak for venus\.example\.org"):
        one.verify(other.prove())
    one.sa.remote_id = Identity.parse(SUN_ID)
    assert one.verify(other.prove())


# -- no oracle -------------------------------------------------------------------


def wrong(name: type[Payload], how: Callable[[bytes], bytes]) -> Callable[[list[Payload]], list[Payload]]:
    def change(said: list[Payload]) -> list[Payload]:
        return [each.read(how(each.body())) if isinstance(each, name) else each for each in said]

    return change


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "other padding": lambda body: bytes((body[0] >> 1,)) + body[1:],
    "beyond the modulus": lambda body: b"\xff" * len(body),
    "nothing": lambda body: bytes(len(body)),
}


@BOTH
@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("payload", [Nonce, ID, KE])
def test_what_was_wrongly_encrypted_only_shows_as_a_wrong_hash(
    method: AuthMethod, how: Callable[[bytes], bytes], payload: type[Payload]
) -> None:
    """Message 4 goes out as ever, as long as ever; the HASH at the end is wrong."""
    if method is PLAIN and payload is KE:
        return  # in clear there
    one, other = moon(method), sun(method)
    _, answer = exchange(one, other, wrong(payload, how))
    usual = exchange(moon(method), sun(method))[1]

    assert [type(each) for each in answer] == [type(each) for each in usual]
    assert all(len(mine.body()) == len(other_.body()) for mine, other_ in zip(answer, usual, strict=True))
    with pytest.raises(AuthenticationFailed):
        other.verify([Hash(bytes(32))])


@BOTH
@pytest.mark.parametrize(
    "how",
    [lambda body: body[:-1], lambda body: body + b"\0", lambda body: body[:4]],
    ids=["too short", "too long", "next to nothing"],
)
@pytest.mark.parametrize("payload", [Nonce, ID, KE])
def test_what_has_a_length_that_it_cannot_have_is_as_if_it_never_came(
    method: AuthMethod, how: Callable[[bytes], bytes], payload: type[Payload]
) -> None:
    """Everybody sees lengths, so that this tells nothing, and the private key is not used."""
    one, other = moon(method), sun(method)
    with pytest.raises(PeerMisbehaved, match="octets"):
        exchange(one, other, wrong(payload, how))


@BOTH
def test_a_nonce_of_an_illegal_length_shows_as_little(method: AuthMethod) -> None:
    key = SUN.key
    assert isinstance(key, rsa.RSAPrivateKey)
    for length in (0, 7, 200):
        sealed = key.public_key().encrypt(bytes(length), padding.PKCS1v15())
        one, other = moon(method), sun(method)
        exchange(one, other, wrong(Nonce, lambda _, sealed=sealed: sealed))  # type: ignore[misc]
        assert one.sa.handshake is not None and other.sa.handshake is not None
        assert len(other.sa.handshake.nonce_i) in range(8, 257)


@BOTH
def test_an_unknown_initiator_gets_an_answer_that_nobody_can_read(method: AuthMethod) -> None:
    """Who is known here does not show either; the log has the reason."""
    venus = leaf("venus")
    for remote in (None, Remote()):
        one, other = moon(method, own=venus), sun(method, remote=remote, known=())
        assert one.sa.connection is not None
        _, answer = exchange(one, other)
        assert [len(each.body()) for each in answer][-1] > 0
        with pytest.raises(AuthenticationFailed, match=r"moon\.example\.org"):
            other.verify([Hash(HASH)])
        assert one.skeyid() != other.skeyid()


@BOTH
def test_the_answer_cannot_be_read_without_the_key_of_the_initiator(method: AuthMethod) -> None:
    """Somebody who claims to be moon and has only its certificate."""
    one, other = moon(method), sun(method)
    one.store = store(MOON, known=(SUN,), fresh=True)
    assert one.store.remove_key(one.store.key_ids[0])
    said, nonce = moon(method).say()
    assert one.sa.handshake is not None
    one.sa.handshake.nonce_i = nonce
    other.hear(said)
    answer, _ = other.say()
    with pytest.raises(AuthenticationFailed, match=r"private key of .*moon is not loaded"):
        one.hear(answer)


def test_nothing_stays_of_a_message_that_came_to_nothing() -> None:
    """Somebody is faster than the initiator, with a certificate of his own."""
    venus = leaf("venus")
    one, other = moon(REVISED), sun(REVISED)
    faster = moon(REVISED, own=venus, send_cert=SendCert.ALWAYS)
    other.hear(faster.say()[0])
    exchange(one, other)
    assert proven(one, other)


@BOTH
def test_a_wrong_hash_is_refused(method: AuthMethod) -> None:
    one, other = moon(method), sun(method)
    exchange(one, other)
    for end in (one, other):
        with pytest.raises(AuthenticationFailed, match="HASH of"):
            end.verify([Hash(bytes(32))])


def test_our_identity_is_the_certificates_where_none_is_configured() -> None:
    one = End.of(PLAIN, True, store(MOON), connection(AuthKind.RSA_ENCRYPTION, None, (MOON.der,)))
    assert str(run(one.method.own_identity(one.sa, one.local), one.store)) == "C=CH, O=ikectl, CN=moon"


def test_no_secret_in_what_prints() -> None:
    one = moon(REVISED)
    one.say()
    assert one.sa.handshake is not None
    assert isinstance(one.skeyid(), Secret)
