"""EAP carrier (RFC 7296 §3.16)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.wire.v2.eap import EAP


def test_an_identity_response_and_a_success_octet_by_octet() -> None:
    response = EAP(2, 7, b"\x01joe")
    assert response.body() == bytes.fromhex("02 07 0008 01 6a6f65")
    assert EAP.read(response.body()) == response
    assert EAP(3, 7).body() == bytes.fromhex("03 07 0004")
    assert EAP.read(bytes.fromhex("03 07 0004")) == EAP(3, 7)


@pytest.mark.parametrize("octets", ["02 07 0007 01 6a6f65", "02 07 0009 01 6a6f65", "03 07 0000", "03 07 0004 00"])
def test_a_length_that_is_not_the_payloads_is_refused(octets: str) -> None:
    with pytest.raises(WireError):
        EAP.read(bytes.fromhex(octets))


def test_what_may_be_a_password_is_not_printed() -> None:
    assert "hunter2" not in repr(EAP(2, 1, b"\x06hunter2"))
