"""SUPPORTED_AUTH_METHODS (RFC 9593 §3.2): announcements of two, three and more octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.crypto.signature import OLD_SCHEMES, SCHEMES
from ikectl.errors import WireError
from ikectl.iana.v2 import AuthMethod, NotifyType
from ikectl.wire.v2.auth_methods import MAX_METHODS, auth_methods, auth_methods_notify
from ikectl.wire.v2.notify import Notify

KNOWN = [
    (AuthMethod.SHARED_KEY_MIC, b""),
    (AuthMethod.NULL, b""),
    *((scheme.method, scheme.identifier) for scheme in (*SCHEMES, *OLD_SCHEMES.values())),
]


def told(octets: bytes) -> Notify:
    return Notify(NotifyType.SUPPORTED_AUTH_METHODS, octets)


def test_the_three_forms() -> None:
    """A pre-shared key; ECDSA with P-256; Ed25519 as RFC 8420 names it."""
    ed25519 = bytes.fromhex("300506032b6570")
    methods = [(AuthMethod.SHARED_KEY_MIC, b""), (AuthMethod.ECDSA_256, b""), (AuthMethod.DIGITAL_SIGNATURE, ed25519)]
    notify = auth_methods_notify(methods)
    assert notify.type == 16443
    assert notify.data == bytes.fromhex("0202 030900 0a0e00") + ed25519
    assert auth_methods(notify) == set(methods)


def test_links_to_single_authorities_do_not_matter() -> None:
    assert auth_methods(told(bytes.fromhex("030903"))) == {(AuthMethod.ECDSA_256, b"")}


@given(st.lists(st.sampled_from(KNOWN), max_size=20))
def test_what_is_written_is_read(methods: list[tuple[AuthMethod, bytes]]) -> None:
    assert auth_methods(auth_methods_notify(methods)) == set(methods)


@given(st.binary(max_size=300))
def test_anything_is_a_list_or_malformed(octets: bytes) -> None:
    try:
        assert len(auth_methods(told(octets))) <= MAX_METHODS
    except WireError:
        pass


@pytest.mark.parametrize("octets", ["00", "01", "0102", "03", "0309", "02020a0e00"])
def test_impossible_lengths_are_refused(octets: str) -> None:
    with pytest.raises(WireError):
        auth_methods(told(bytes.fromhex(octets)))
