"""Phase 1 of IKEv1: whatever a stranger encrypts, signs or sends as certificates, a judgement and never a crash."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.auth.v1.certificates import peer_chain
from ikectl.errors import AuthenticationFailed, PeerMisbehaved
from ikectl.iana.v1 import AuthMethod, CertEncoding, cert_encoding
from ikectl.values.identity import Identity
from ikectl.wire.v1.identity import CERT, ID
from ikectl.wire.v1.keying import KE, Hash, Nonce, Signature
from ikectl.wire.v1.payload import Payload
from tests.auth.v1.ends import MOON_ID, NETWORK, leaf, message
from tests.auth.v1.test_encryption import BOTH, sun
from tests.auth.v1.test_signature import sun as verifier
from tests.auth.v1.test_signature import wrapped
from tests.fuzz.test_wire import CHANGES, changed

CHAIN = wrapped(NETWORK, leaf("moon"))
BODIES = st.binary(min_size=4, max_size=300) | st.binary(min_size=256, max_size=256)


@given(CHANGES)
def test_chains_in_pkcs7(changes: list[tuple[str, int, int]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = peer_chain(message([CERT(CertEncoding.PKCS7_X509, changed(CHAIN, changes))]), Identity.parse(MOON_ID))
    assert len(found) in (0, 1, 2)


@BOTH
@given(ke=BODIES, identity=BODIES, nonce=BODIES, hash=st.none() | st.binary(max_size=40), cert=st.none() | BODIES)
def test_keys_that_nobody_encrypted(
    method: AuthMethod, ke: bytes, identity: bytes, nonce: bytes, hash: bytes | None, cert: bytes | None
) -> None:
    said: list[Payload] = [KE(ke), ID.read(identity), Nonce(nonce)]
    said += [] if hash is None else [Hash(hash)]
    said += [] if cert is None else [CERT.read(cert)]
    end = sun(method)
    try:
        heard = end.hear(said)
    except AuthenticationFailed as failure:
        assert hash is not None and "none of ours" in str(failure)
        return
    except PeerMisbehaved:
        return  # what cannot be right costs no private key
    assert 8 <= len(heard.nonce) <= 256
    answer, _ = end.say()
    assert len(answer) == 3
    with pytest.raises(AuthenticationFailed):
        end.verify([Hash(bytes(32))])


@given(
    certs=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=12), data=st.binary(max_size=300)
)
def test_signatures_of_nobody(certs: list[tuple[int, bytes]], data: bytes) -> None:
    said: list[Payload] = [CERT(cert_encoding(number), octets) for number, octets in certs]
    with pytest.raises((AuthenticationFailed, PeerMisbehaved)):
        verifier().verify([*said, Signature(data)])
