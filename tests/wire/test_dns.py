"""Encrypted resolvers and trust anchors octet by octet (RFC 9464 §3.1, RFC 8598 §4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.wire.v2.dns import EncryptedDns, TrustAnchor

DOT = EncryptedDns(1, (bytes((10, 0, 0, 53)),), "dns.example", ("dot",), 8853)
OCTETS = bytes.fromhex("0001 01 0b 0a000035") + b"dns.example" + bytes.fromhex("0001 0004 03") + b"dot"
OCTETS += bytes.fromhex("0003 0002 2295")


@pytest.mark.conformance("v2-82")
def test_a_resolver_octet_by_octet() -> None:
    assert DOT.write() == OCTETS
    assert EncryptedDns.read(OCTETS, 4) == DOT


def test_the_dot_at_the_end_of_a_name_means_nothing() -> None:
    assert EncryptedDns.read(DOT._replace(name="dns.example.").write(), 4) == DOT


def test_every_cut_is_refused() -> None:
    whole = {4 + 4 + 11, 4 + 4 + 11 + 8, len(OCTETS)}
    for end in set(range(len(OCTETS))) - whole:
        with pytest.raises(ValueError, match=r"octets|cut short|protocols"):
            EncryptedDns.read(OCTETS[:end], 4)


def test_parameters_ascend() -> None:
    twice = OCTETS + bytes.fromhex("0003 0002 2295")
    with pytest.raises(ValueError, match="out of order"):
        EncryptedDns.read(twice, 4)


@pytest.mark.parametrize(("keys", "good"), [("0001", True), ("0001 0003", True), ("0007", False), ("0002", False)])
def test_what_a_resolver_cannot_be_used_without(keys: str, good: bool) -> None:
    """RFC 9460 §8: key 7 is not understood, and key 2 is not there."""
    octets = bytes.fromhex(keys)
    head, parameters = OCTETS[:19], OCTETS[19:]
    whole = head + b"\0\0" + len(octets).to_bytes(2, "big") + octets + parameters
    if good:
        assert EncryptedDns.read(whole, 4) == DOT
    else:
        with pytest.raises(ValueError, match="needs the service parameters"):
            EncryptedDns.read(whole, 4)


@given(st.binary(max_size=80), st.sampled_from([4, 16]))
def test_anything_is_a_resolver_or_a_value_error(octets: bytes, width: int) -> None:
    try:
        found = EncryptedDns.read(octets, width)
    except ValueError:
        return
    assert all(len(address) == width for address in found.addresses)


@pytest.mark.conformance("v2-82")
def test_a_trust_anchor_octet_by_octet() -> None:
    anchor = TrustAnchor(20326, 8, 2, bytes.fromhex("e06d44b8"))
    assert anchor.write() == bytes.fromhex("4f66 08 02 e06d44b8")
    assert TrustAnchor.read(anchor.write()) == anchor
    assert str(anchor) == "20326 8 2 e06d44b8"
    with pytest.raises(ValueError, match="no trust anchor"):
        TrustAnchor.read(anchor.write()[:4])
