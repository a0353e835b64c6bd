"""Contents: what a message must and may hold."""

from __future__ import annotations

import pytest

from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import CertEncoding, ExchangeType, IdType, KeyExchangeMethod, NotifyType, payload_type
from ikectl.wire.contents import Contents
from ikectl.wire.payload import Payload, Unknown
from ikectl.wire.v2 import CERT, KE, IDi, IDr, Message, Nonce, Notify, VendorId

IDI = IDi(IdType.FQDN, b"a")
IDR = IDr(IdType.FQDN, b"b")
NONCE = Nonce(bytes(16))
CONTENTS = Contents(required=(IDi, CERT), optional=(IDr, Notify))
LEAF = CERT(CertEncoding.X509_SIGNATURE, b"")


def message(*payloads: Payload) -> Message:
    return Message(bytes(8), bytes(8), ExchangeType.IKE_AUTH, 1, False, True, list(payloads))


@pytest.mark.conformance("v2-4")
@pytest.mark.parametrize(
    "payloads",
    [
        (IDI, LEAF),
        (LEAF, IDI),
        (LEAF, LEAF, IDR, IDI),  # CERT may stand several times
        (Notify(NotifyType.COOKIE), IDI, Notify(NotifyType.COOKIE), LEAF),
        (
            IDI,
            LEAF,
            NONCE,
            NONCE,
            VendorId(b""),
            Unknown(payload_type(200), False, b""),
        ),  # none of our business
    ],
)
def test_what_is_in_order(payloads: tuple[Payload, ...]) -> None:
    CONTENTS.check(message(*payloads))


@pytest.mark.parametrize(
    ("payloads", "why"),
    [
        ((), "lacks IDi"),
        ((IDI,), "lacks CERT"),
        ((IDI, IDI, LEAF), "has 2 IDi"),
        ((IDI, LEAF, IDR, IDR, IDR), "has 3 IDr"),
    ],
)
def test_what_is_not(payloads: tuple[Payload, ...], why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why) as caught:
        CONTENTS.check(message(*payloads))
    assert caught.value.notify == NotifyType.INVALID_SYNTAX


def test_nothing_is_required_of_a_liveness_check() -> None:
    Contents().check(message(KE(KeyExchangeMethod.CURVE_25519, b""), NONCE))
