"""Parts of messages of TLS in EAP (RFC 5216 §2.1.5, §3), and attributes inside TTLS (RFC 5281 §10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.auth.eap.avps import EAP_MESSAGE, MAX_AVPS, MS_CHAP2_SUCCESS, USER_NAME, Avp, read_avps, write_avps
from ikectl.auth.eap.tls_frames import ACKNOWLEDGEMENT, LENGTH, MAX_MESSAGE, MORE, PART, START, Frame, Frames
from ikectl.errors import AuthenticationFailed


@given(st.binary(max_size=5 * PART))
def test_what_one_end_says_the_other_hears(message: bytes) -> None:
    ours, theirs = Frames(), Frames()
    packet = ours.say(message)
    while (heard := theirs.hear(Frame.read(packet))) is None:
        assert ours.sending
        packet = ours.next(Frame.read(ACKNOWLEDGEMENT))
        assert len(packet) <= PART + 1
    assert heard == message and not ours.sending


def test_flags_octet_by_octet() -> None:
    frames = Frames()
    assert frames.say(bytes(PART + 1))[:5] == bytes((LENGTH | MORE,)) + (PART + 1).to_bytes(4, "big")
    assert frames.next(Frame.read(ACKNOWLEDGEMENT)) == b"\0\0"
    assert Frame.read(bytes((START,))) == Frame(True, False, b"")
    assert Frame.read(b"\x80\0\0\0\3abc") == Frame(False, False, b"abc")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\0\0\0", b"\x80\xff\xff\xff\xffx"])
def test_malformed_frames(data: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        Frame.read(data)


def test_parts_without_end() -> None:
    frames = Frames()
    part = Frame(False, True, bytes(8000))
    with pytest.raises(AuthenticationFailed, match=f"more than {MAX_MESSAGE}"):
        for _ in range(MAX_MESSAGE):
            frames.hear(part)
    with pytest.raises(AuthenticationFailed, match="nothing in it"):
        Frames().hear(Frame(False, True, b""))


def test_a_peer_that_does_not_wait() -> None:
    frames = Frames()
    frames.say(bytes(2 * PART))
    with pytest.raises(AuthenticationFailed, match="does not wait"):
        frames.next(Frame(False, False, b"x"))


def test_attributes_octet_by_octet() -> None:
    written = write_avps([Avp(USER_NAME, b"carol"), Avp(MS_CHAP2_SUCCESS, b"\1S=")])
    assert written == bytes.fromhex("00000001 4000000d 6361726f6c 0000000000001a c000000f 00000137 01533d 00")
    assert read_avps(written) == {USER_NAME: b"carol", MS_CHAP2_SUCCESS: b"\1S="}
    assert read_avps(write_avps([Avp(EAP_MESSAGE, b"ab"), Avp(EAP_MESSAGE, b"cd")])) == {EAP_MESSAGE: b"abcd"}


def test_unknown_attributes() -> None:
    optional = bytes.fromhex("00000063 00000009 aa000000")
    assert read_avps(optional) == {}
    with pytest.raises(AuthenticationFailed, match="attribute 99 of vendor 0"):
        read_avps(bytes.fromhex("00000063 40000009 aa000000"))
    with pytest.raises(AuthenticationFailed, match="malformed"):
        read_avps(optional * (MAX_AVPS + 1))


@given(st.binary(max_size=80))
def test_junk_of_attributes(octets: bytes) -> None:
    try:
        read_avps(octets)
    except AuthenticationFailed:
        pass
