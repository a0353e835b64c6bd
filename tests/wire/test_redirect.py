"""Data of REDIRECT and REDIRECTED_FROM (RFC 5685 §8)."""

from __future__ import annotations

import pytest

from ikectl.errors import WireError
from ikectl.iana.v2 import NotifyType
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.redirect import redirect, redirect_notify, redirected_from_notify


def test_octet_by_octet() -> None:
    assert redirect_notify("192.0.2.1", b"nonce").data == bytes((1, 4, 192, 0, 2, 1)) + b"nonce"
    assert redirect_notify("2001:db8::1").data == bytes((2, 16, 0x20, 1, 0x0D, 0xB8, *bytes(11), 1))
    assert redirect_notify("gw.example.org").data == b"\x03\x0egw.example.org"
    assert redirected_from_notify(bytes((192, 0, 2, 1))).data == bytes((1, 4, 192, 0, 2, 1))
    assert redirected_from_notify(bytes(16)).type is NotifyType.REDIRECTED_FROM


@pytest.mark.parametrize("gateway", ["192.0.2.1", "2001:db8::1", "gw.example.org"])
@pytest.mark.parametrize("nonce", [b"", b"n" * 32])
def test_what_is_written_is_read(gateway: str, nonce: bytes) -> None:
    assert redirect(redirect_notify(gateway, nonce)) == (gateway, nonce)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x01\x04\xc0", b"\x01\x05" + bytes(5), b"\x02\x04" + bytes(4), b"\x04\x04" + bytes(4), b"\x03\x00",
     b"\x03\x03a b", b"\x03\x04a\x00bc", b"\x03\x02\xc3\xa4", b"\x03\x05;ls a",
     b"\x01\x04\x7f\x00\x00\x01", b"\x01\x04\xe0\x00\x00\x01", b"\x02\x10" + bytes(15) + b"\x01"],
)  # fmt: skip
def test_what_is_no_gateway_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="REDIRECT"):
        redirect(Notify(NotifyType.REDIRECT, data))
