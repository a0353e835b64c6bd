"""Authentication with a pre-shared key."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from ikectl.auth.base import AuthContext
from ikectl.auth.psk import psk_auth
from ikectl.auth.table import prove, verify
from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.errors import AuthenticationFailed
from ikectl.iana.v2 import AuthMethod, IdType, PrfId
from ikectl.pki.store import Store
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint, Path
from ikectl.wire.v2.identity import AUTH
from tests.auth.answers import run

MOON, SUN = Identity.parse("moon.example.org"), Identity.parse("sun.example.org")
SECRET = b"a secret of two gateways"
LOCAL, REMOTE = Local(auth=Auth(AuthKind.PSK)), Remote(auth=Auth(AuthKind.PSK))


def store(secret: bytes = SECRET, *owners: Identity) -> Store:
    made = Store()
    made.add_secret("ike", owners or (MOON, SUN), secret)
    return made


def context(us: Identity = MOON, them: Identity = SUN) -> AuthContext:
    """Moon signs "moon's octets", sun "sun's octets"."""
    return AuthContext(
        prf=PRF_BY_ID[PrfId.HMAC_SHA2_256].prf,
        octets_local=f"{us}'s octets".encode(),
        octets_remote=f"{them}'s octets".encode(),
        local_id=us,
        remote_id=them,
        path=Path(Endpoint.parse("192.0.2.1", 500), Endpoint.parse("192.0.2.2", 500)),
    )


def auth_of(store: Store, us: Identity, them: Identity) -> AUTH:
    return run(prove(LOCAL, context(us, them)), store).auth


@pytest.mark.conformance("v2-61")
@pytest.mark.parametrize("number", [PrfId.HMAC_SHA1, PrfId.HMAC_SHA2_256, PrfId.HMAC_SHA2_512])
def test_auth_is_the_prf_of_the_padded_key(number: PrfId) -> None:
    digest = {PrfId.HMAC_SHA1: hashlib.sha1, PrfId.HMAC_SHA2_256: hashlib.sha256}.get(number, hashlib.sha512)

    auth = psk_auth(PRF_BY_ID[number].prf, SECRET, b"octets")

    assert auth == hmac.digest(hmac.digest(SECRET, b"Key Pad for IKEv2", digest), b"octets", digest)


def test_each_end_verifies_the_other() -> None:
    proof = run(prove(LOCAL, context()), store())

    assert proof.auth.method is AuthMethod.SHARED_KEY_MIC
    assert proof.certs == []
    assert run(verify(REMOTE, context(SUN, MOON), proof.auth, proof.certs), store()) == "pre-shared key"


@pytest.mark.conformance("v2-61")
def test_another_secret_is_refused() -> None:
    with pytest.raises(AuthenticationFailed, match="differ"):
        run(verify(REMOTE, context(SUN, MOON), auth_of(store(b"other"), MOON, SUN), ()), store())


def test_octets_identity_and_length_all_count() -> None:
    good = auth_of(store(), MOON, SUN)
    reflected = auth_of(store(), SUN, MOON)

    for bad in (reflected.data, good.data[:-1], b"", good.data + b"\0", bytes(32)):
        with pytest.raises(AuthenticationFailed):
            run(verify(REMOTE, context(SUN, MOON), AUTH(good.method, bad), ()), store())


def test_a_peer_without_a_secret_is_refused_like_one_with_a_wrong_secret() -> None:
    venus = Identity.parse("venus.example.org")

    with pytest.raises(AuthenticationFailed, match="no shared secret") as failure:
        run(verify(REMOTE, context(SUN, venus), AUTH(AuthMethod.SHARED_KEY_MIC, bytes(32)), ()), store())
    assert failure.value.data == b""


def test_nobody_is_anybody() -> None:
    anybody = Identity(IdType.ANY, b"")
    proof = auth_of(store(), anybody, SUN)

    with pytest.raises(AuthenticationFailed, match="reserved type 0"):
        run(verify(REMOTE, context(SUN, anybody), proof, ()), store())


def test_a_signature_where_a_secret_is_due_is_refused() -> None:
    with pytest.raises(AuthenticationFailed, match="the peer used RSA_SIGNATURE"):
        run(verify(REMOTE, context(), AUTH(AuthMethod.RSA_SIGNATURE, bytes(256)), ()), store())


def test_we_cannot_prove_what_we_have_no_secret_for() -> None:
    with pytest.raises(AuthenticationFailed, match="no shared secret"):
        run(prove(LOCAL, context()), Store())


def test_no_text_holds_the_secret() -> None:
    proof = run(prove(LOCAL, context()), store())

    assert SECRET.decode() not in repr(proof) + repr(store()) + proof.note
