"""IKEv1: whatever the octets, a value or WireError, and what is written is read again."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v1 import NotifyType, PayloadType, payload_type
from ikectl.sa.fragments import Fragments
from ikectl.values.selector import TrafficSelector
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.v1 import ID, SA, Attributes, Fragment, Message, Notify, frame, number, split
from ikectl.wire.v1.fragment import OVERHEAD
from ikectl.wire.v1.notify import dpd_sequence, responder_lifetime
from ikectl.wire.v1.payload import Payload, read_chain, write_chain
from tests.fuzz.strategies import of, selectors
from tests.fuzz.strategies_v1 import PAYLOADS, chains, messages
from tests.fuzz.test_wire import CHANGES, changed, generic
from tests.wire.v1.captured import STORIES
from tests.wire.v1.test_message import FIRST_OCTETS, reverse


def look_at_everything(message: Message) -> None:
    """No look-up may stumble over what was read either."""
    repr(message)
    for payload in message.payloads:
        repr(payload)
        payload.body()
        message.body_of(payload)
    assert len(message.kinds) == len(message.payloads)
    assert message.unknown is None or message.payloads
    message.after_first  # noqa: B018
    message.errors  # noqa: B018
    message.vendors  # noqa: B018
    message.notify(NotifyType.INITIAL_CONTACT)
    for notify in message.all(Notify):
        for view in (dpd_sequence, responder_lifetime):
            try:
                view(notify)
            except WireError:
                continue
    look_at_values(message)


def look_at_values(message: Message) -> None:
    for identity in message.all(ID):
        for view in (lambda each: each.identity, ID.selector):
            try:
                str(view(identity))
            except PeerMisbehaved:
                continue
    found = [each for payload in message.all(Attributes) for each in payload.attributes]
    for sa in message.all(SA):
        found += [
            each for proposal in sa.proposals for transform in proposal.transforms for each in transform.attributes
        ]
    for attribute in found:
        try:
            assert number(attribute) >= 0
        except WireError:
            continue


@pytest.mark.parametrize("cls", PAYLOADS, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_payload_writes_it_reads_again(cls: type[Payload], data: st.DataObject) -> None:
    payload = data.draw(PAYLOADS[cls])
    first, octets = write_chain([payload])
    assert first == payload.TYPE
    assert read_chain(first, octets) == ([payload], [payload.body()], len(octets))
    assert pickle.loads(pickle.dumps(payload)) == payload


@given(chains, st.binary(max_size=20))
@settings(max_examples=150, deadline=None)
def test_what_a_chain_writes_it_reads_again(payloads: list[Payload], padding: bytes) -> None:
    first, octets = write_chain(payloads)
    found, bodies, end = read_chain(first, octets)
    assert (found, end) == (payloads, len(octets))
    assert bodies == [each.body() for each in payloads]
    assert read_chain(first, octets + padding, padded=True) == (found, bodies, end)


@given(messages())
@settings(max_examples=150, deadline=None)
def test_what_a_message_writes_it_reads_again(message: Message) -> None:
    datagram = message.write()
    assert Message.read(datagram) == message
    assert Message.read(datagram).after_first == message.after_first
    assert Header.read(datagram).write() == datagram[:28]
    look_at_everything(message)


@given(messages(encrypted=True), st.sampled_from((1, 8, 16)))
@settings(max_examples=150, deadline=None)
def test_what_is_framed_is_opened_again(message: Message, block: int) -> None:
    datagram = frame(message, reverse, block)
    header = Header.read(datagram)
    assert (header.length - 28) % block == 0
    opened = Message.open(header, reverse(datagram[28:]))
    assert opened == message
    assert opened.after_first == message.after_first
    look_at_everything(opened)


@pytest.mark.conformance("v1-37")
@given(messages(encrypted=True), st.integers(1, 60), st.integers(0, 0xFFFF), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_what_is_split_is_put_together_again(message: Message, size: int, identifier: int, order: Any) -> None:
    datagram = frame(message, reverse, 8)
    size = max(size, len(datagram) // 255 + 1)
    pieces = split(datagram, OVERHEAD + size, identifier)
    order.shuffle(pieces)
    fragments = Fragments()
    found = [fragments.add(Message.read(piece).one(Fragment)) for piece in pieces]
    assert found == [None] * (len(pieces) - 1) + [datagram]


@given(selectors())
@settings(max_examples=200, deadline=None)
def test_what_an_identity_says_of_traffic_it_means(selector: TrafficSelector) -> None:
    try:
        identity = ID.of_selector(selector)
    except ValueError:
        assert selector.start_port != selector.end_port or not selector.start_port
        return
    assert identity.selector() == selector
    assert read_chain(PayloadType.ID, generic(identity.body()))[0] == [identity]


@pytest.mark.conformance("v1-5")
@pytest.mark.parametrize("cls", PAYLOADS, ids=lambda cls: cls.__name__)
@given(body=st.binary(max_size=120))
@example(body=b"")
@settings(max_examples=150, deadline=None)
def test_any_body_gives_a_payload_or_a_wire_error(cls: type[Any], body: bytes) -> None:
    kind = getattr(cls, "TYPE", None)
    first = kind if isinstance(kind, PayloadType) else payload_type(200)
    try:
        payloads, bodies, _ = read_chain(first, generic(body))
    except WireError:
        return
    assert bodies == [body]
    first, octets = write_chain(payloads)
    assert read_chain(first, octets)[0] == payloads


@pytest.mark.conformance("v1-4")
@given(of(PayloadType), st.binary(max_size=300), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_octets_give_a_chain_or_a_wire_error(first: PayloadType, octets: bytes, padded: bool) -> None:
    try:
        payloads, bodies, end = read_chain(first, octets, padded=padded)
    except WireError:
        return
    assert end <= len(octets) and (padded or end == len(octets))
    assert len(payloads) == len(bodies)
    first, octets = write_chain(payloads)
    assert read_chain(first, octets)[0] == payloads


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_datagram_gives_a_message_or_a_wire_error(datagram: bytes) -> None:
    mended = datagram[:17] + b"\x10" + datagram[18:19] + b"\0" + datagram[20:24] + len(datagram).to_bytes(4, "big")
    for octets in (datagram, mended + datagram[28:]):
        try:
            message = Message.read(octets)
        except WireError:
            continue
        look_at_everything(message)


@given(of(PayloadType), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_decrypted_body_gives_a_message_or_a_wire_error(first: PayloadType, plain: bytes) -> None:
    header = Header.read(FIRST_OCTETS)
    header.next_payload = type(header.next_payload)(first)
    header.flags = 1
    try:
        look_at_everything(Message.open(header, plain))
    except WireError:
        return


@given(messages(), CHANGES, st.booleans())
@settings(max_examples=400, deadline=None)
def test_a_changed_message_gives_a_message_or_a_wire_error(
    message: Message, changes: list[tuple[str, int, int]], mend: bool
) -> None:
    octets = changed(message.write(), changes)
    if mend:  # the length of the header is set right, so that the change is met further inside
        octets = octets[:24] + len(octets).to_bytes(4, "big") + octets[28:]
    try:
        look_at_everything(Message.read(octets))
    except WireError:
        return


@given(st.sampled_from([message for story in STORIES.values() for message in story.opened()]), CHANGES)
@settings(max_examples=400, deadline=None)
def test_a_changed_real_message_gives_a_message_or_a_wire_error(
    real: tuple[bytes, Message, bytes], changes: list[tuple[str, int, int]]
) -> None:
    """A peer that holds the keys may send nonsense as well."""
    datagram, message, iv = real
    first, chain = write_chain(message.payloads)
    plain = changed(chain, changes)
    try:
        if iv:
            look_at_everything(Message.open(Header.read(datagram), plain))
        else:
            look_at_everything(Message.read(message.write_header(first, HEADER_OCTETS + len(plain)) + plain))
    except WireError:
        return
