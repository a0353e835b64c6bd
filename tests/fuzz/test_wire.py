"""Whatever the octets: a value or WireError, and what is written is read again."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ikectl.errors import IntegrityFailure, WireError
from ikectl.iana.v2 import NotifyType, PayloadType, payload_type
from ikectl.wire.contents import Contents
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload, read_chain, write_chain
from ikectl.wire.v2 import KE, SA, SK, Message, Nonce, Notify, open_sealed, seal
from ikectl.wire.v2 import notify as views
from tests.fuzz.strategies import ENCLOSING, PAYLOADS, chains, messages, of, payload_lists
from tests.wire.captured import MESSAGES, cipher

EVERY = {**PAYLOADS, **ENCLOSING}
VIEWS = (
    views.invalid_ke_group,
    views.signature_hashes,
    views.window_size,
    views.auth_lifetime,
    views.message_id,
    views.child_spi,
    views.rekey_spi,
    views.invalid_spi,
    views.critical_payload,
    views.nat_hash,
    views.cookie,
    views.cookie2,
    views.additional_address,
    views.ppk_identity_key,
)


class Plain:
    """A cipher that leaves everything as it is, so that what is inside can be anything."""

    iv_octets = 8
    icv_octets = 16
    block_octets = 4

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        return plain + bytes(16)

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        return sealed[:-16]


def generic(body: bytes, following: int = 0) -> bytes:
    return bytes((following, 0)) + (len(body) + 4).to_bytes(2, "big") + body


def look_at_everything(message: Message) -> None:
    """No look-up may stumble over what was read either."""
    repr(message)
    for payload in message.payloads:
        repr(payload)
        payload.body()
    for notify in message.all(Notify):
        for view in VIEWS:
            try:
                view(notify)
            except WireError:
                continue
    assert message.critical_unknown is None or message.payloads
    message.errors  # noqa: B018
    message.notify(NotifyType.COOKIE)
    Contents().check(message)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_payload_writes_it_reads_again(cls: type[Payload], data: st.DataObject) -> None:
    payload = data.draw(EVERY[cls])
    first, octets = write_chain([payload])
    assert first == payload.TYPE
    assert read_chain(first, octets) == [payload]
    assert pickle.loads(pickle.dumps(payload)) == payload


@given(chains)
@settings(max_examples=150, deadline=None)
def test_what_a_chain_writes_it_reads_again(payloads: list[Payload]) -> None:
    first, octets = write_chain(payloads)
    assert read_chain(first, octets) == payloads
    assert write_chain(read_chain(first, octets)) == (first, octets)


@given(messages())
@settings(max_examples=150, deadline=None)
def test_what_a_message_writes_it_reads_again(message: Message) -> None:
    datagram = message.write()
    assert Message.read(datagram) == message
    assert Message.read(datagram, Header.read(datagram)) == message
    assert Header.read(datagram).write() == datagram[:28]


@given(messages(payload_lists), st.binary(min_size=8, max_size=8))
@settings(max_examples=100, deadline=None)
def test_what_is_sealed_is_opened_again(message: Message, iv: bytes) -> None:
    datagram = seal(message, Plain(), iv)
    assert open_sealed(Header.read(datagram), datagram, Plain()) == message


@pytest.mark.conformance("v2-14")
@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
@given(body=st.binary(max_size=120))
@example(body=b"")
@settings(max_examples=150, deadline=None)
def test_any_body_gives_a_payload_or_a_wire_error(cls: type[Any], body: bytes) -> None:
    number = getattr(cls, "TYPE", None)
    first = number if isinstance(number, PayloadType) else payload_type(200)
    try:
        (payload,) = read_chain(first, generic(body))
    except WireError:
        return
    first, octets = write_chain([payload])
    assert read_chain(first, octets) == [payload]


@given(of(PayloadType), st.binary(max_size=300))
@settings(max_examples=400, deadline=None)
def test_any_octets_give_a_chain_or_a_wire_error(first: PayloadType, octets: bytes) -> None:
    try:
        payloads = read_chain(first, octets)
    except WireError:
        return
    first, octets = write_chain(payloads)
    assert read_chain(first, octets) == payloads


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_datagram_gives_a_message_or_a_wire_error(datagram: bytes) -> None:
    for octets in (datagram, datagram[:24] + len(datagram).to_bytes(4, "big") + datagram[28:]):
        try:
            message = Message.read(octets)
        except WireError:
            continue
        look_at_everything(message)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("set", "flip", "insert", "remove", "repeat", "cut")),
        st.integers(0, 2**16 - 1),
        st.integers(0, 0xFF),
    ),
    min_size=1,
    max_size=6,
)


def changed(octets: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    result = bytearray(octets)
    for how, place, value in changes:
        at = place % (len(result) + 1)
        if how == "set" and at < len(result):
            result[at] = value
        elif how == "flip" and at < len(result):
            result[at] ^= 1 << value % 8
        elif how == "insert":
            result[at:at] = bytes((value,)) * (1 + value % 9)
        elif how == "remove":
            del result[at : at + 1 + value % 9]
        elif how == "repeat":
            result[at:at] = result[at : at + value]
        elif how == "cut":
            del result[at:]
    return bytes(result)


@pytest.mark.conformance("v2-13")
@pytest.mark.conformance("v2-14")
@given(st.sampled_from(MESSAGES), CHANGES, st.booleans())
@settings(max_examples=500, deadline=None)
def test_a_changed_real_message_gives_a_message_or_an_error_of_ours(
    datagram: bytes, changes: list[tuple[str, int, int]], mend: bool
) -> None:
    octets = changed(datagram, changes)
    if mend:  # the length of the header is set right, so that the change is met further inside
        octets = octets[:24] + len(octets).to_bytes(4, "big") + octets[28:]
    try:
        message = Message.read(octets)
        look_at_everything(message)
        if octets != datagram:
            open_sealed(Header.read(octets), octets, cipher(datagram))
    except (WireError, IntegrityFailure):
        return
    assert octets == datagram or message.get(SK) is None


@given(st.sampled_from(MESSAGES[2:]), CHANGES)
@settings(max_examples=500, deadline=None)
def test_a_changed_content_of_a_real_message_gives_a_message_or_a_wire_error(
    datagram: bytes, changes: list[tuple[str, int, int]]
) -> None:
    """A peer that holds the keys may send nonsense as well."""
    outer = Message.read(datagram)
    inner = open_sealed(Header.read(datagram), datagram, cipher(datagram))
    first, chain = write_chain(inner.payloads)
    plain = changed(chain, changes)
    outer.payloads = [SK(first, bytes(8) + plain + bytes(-(len(plain) + 1) % 4 + 1) + bytes(16))]
    forged = outer.write()
    try:
        look_at_everything(open_sealed(Header.read(forged), forged, Plain()))
    except WireError:
        return


@given(st.binary(max_size=64))
@settings(max_examples=150, deadline=None)
def test_any_content_of_an_sk_payload_gives_a_message_or_an_error_of_ours(data: bytes) -> None:
    message = Message(
        bytes(8), bytes(8), Message.read(MESSAGES[2]).exchange, 1, False, True, [SK(PayloadType.SA, data)]
    )
    datagram = message.write()
    try:
        look_at_everything(open_sealed(Header.read(datagram), datagram, Plain()))
    except (WireError, IntegrityFailure):
        return


def test_the_look_ups_of_a_real_message() -> None:
    message = Message.read(MESSAGES[0])
    assert message.one(SA).proposals
    assert message.one(KE).public
    assert message.one(Nonce).value
    look_at_everything(message)
