"""What AUTH covers."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from ikectl.auth.octets import signed_octets
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.iana.v2 import IdType, PrfId
from ikectl.wire.v2.identity import IDi


@pytest.mark.conformance("v2-61")
def test_octets_are_the_message_the_other_nonce_and_the_keyed_identity() -> None:
    body = IDi(IdType.FQDN, b"moon.example.org").body()
    assert body == b"\x02\x00\x00\x00moon.example.org"

    octets = signed_octets(b"message", b"nonce", PRF_BY_ID[PrfId.HMAC_SHA2_256].prf, b"sk_pi", body)

    assert octets == b"messagenonce" + hmac.digest(b"sk_pi", body, hashlib.sha256)
