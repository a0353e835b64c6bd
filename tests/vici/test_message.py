"""The vici codec: octet-exact examples, round trips, and any octets at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vici.protocol import FiniteStream
from vici.protocol import Message as TheirMessage

from ikectl.vici.message import (
    MAX_DEPTH,
    MAX_FRAME,
    Frames,
    MessageError,
    Packet,
    PacketType,
    Tree,
    decode,
    encode,
    section,
    text,
    texts,
)

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
values = st.binary(max_size=300)
trees = st.recursive(
    st.dictionaries(names, values | st.lists(values, max_size=5), max_size=5),
    lambda inner: st.dictionaries(names, values | st.lists(values, max_size=3) | inner, max_size=4),
    max_leaves=20,
)


def test_a_key_and_its_value() -> None:
    octets = bytes.fromhex("03046b657931000676616c756531")
    assert encode({"key1": "value1"}) == octets
    assert decode(octets) == {"key1": b"value1"}


def test_the_elements_of_a_message_in_their_order() -> None:
    tree: Tree = {"a": {"b": [b"1", b""], "c": {}}, "d": b""}
    assert encode(tree) == bytes.fromhex(
        "010161"        # section a
        "040162"        # list b
        "05000131"      # "1"
        "050000"        # ""
        "06"
        "010163" "02"   # section c, empty
        "02"
        "0301640000"    # d, empty
    )  # fmt: skip
    assert list(decode(encode(tree))) == ["a", "d"]


@given(trees)
def test_what_is_written_is_read_again(tree: Tree) -> None:
    assert decode(encode(tree)) == tree
    assert list(decode(encode(tree))) == list(tree)


@given(trees)
def test_strongswans_client_reads_what_we_write(tree: Tree) -> None:
    assert TheirMessage.deserialize(FiniteStream(encode(tree))) == tree
    assert TheirMessage.serialize(tree) == encode(tree)


@given(st.binary(max_size=200))
def test_any_octets_give_a_message_or_the_typed_error(octets: bytes) -> None:
    try:
        tree = decode(octets)
    except MessageError:
        return
    assert encode(tree) == octets


@given(trees, st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_message_gives_a_message_or_the_typed_error(tree: Tree, at: int, octet: int) -> None:
    octets = bytearray(encode(tree))
    if octets:
        octets[at % len(octets)] = octet
    try:
        decode(bytes(octets))
    except MessageError:
        pass


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("03", "where a name"),
        ("0305ff", "name is cut"),
        ("030161", "where a value"),
        ("03016100", "where a value"),
        ("0301610002aa", "value is cut"),
        ("0301ff0000", "UTF-8"),
        ("0301000000", "NUL"),
        ("010161", "inside a section"),
        ("040161", "inside a section or list"),
        ("02", "section ends that never began"),
        ("06", "list ends that never began"),
        ("050000", "outside a list"),
        ("0401610301620000", "no list item"),
        ("0401610101620206", "no list item"),
        ("03016100000301610000", "twice"),
        ("07", "element type 7"),
        ("00", "element type 0"),
    ],
)
def test_malformed_messages_say_what_is_wrong(octets: str, why: str) -> None:
    with pytest.raises(MessageError, match=why):
        decode(bytes.fromhex(octets))


def test_nesting_is_bounded_both_ways() -> None:
    deep: Tree = {}
    for _ in range(MAX_DEPTH):
        deep = {"s": deep}
    assert decode(encode(deep)) == deep
    with pytest.raises(MessageError, match="deeper"):
        encode({"s": deep})
    with pytest.raises(MessageError, match="deeper"):
        decode(b"\x01\x01s" * (MAX_DEPTH + 1) + b"\x02" * (MAX_DEPTH + 1))
    with pytest.raises(MessageError, match="deeper"):
        decode(b"\x01\x01s" * 100_000)


@pytest.mark.parametrize(
    "tree",
    [
        {"n" * 256: "v"},
        {"n\0": "v"},
        {"n": b"v" * 65536},
        {"n": ["v" * 65536]},
        {"n": 1},
        {"n": [1]},
        {"n": None},
    ],
)
def test_what_vici_cannot_say_is_refused(tree: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        encode(tree)  # type: ignore[arg-type]


packets = st.one_of(
    st.builds(Packet, st.sampled_from([PacketType.CMD_REQUEST, PacketType.EVENT]), names, values),
    st.builds(Packet, st.sampled_from([PacketType.EVENT_REGISTER, PacketType.EVENT_UNREGISTER]), names),
    st.builds(Packet, st.just(PacketType.CMD_RESPONSE), st.just(""), values),
    st.builds(Packet, st.sampled_from([PacketType.CMD_UNKNOWN, PacketType.EVENT_CONFIRM])),
)


@given(packets)
def test_packets_round_trip(packet: Packet) -> None:
    assert Packet.read(packet.write()) == packet


@given(st.binary(max_size=64))
def test_any_octets_give_a_packet_or_the_typed_error(octets: bytes) -> None:
    try:
        packet = Packet.read(octets)
    except MessageError:
        return
    assert packet.write() == octets


@given(st.lists(packets, max_size=5), st.integers(1, 7))
def test_frames_come_out_whole_however_the_stream_is_cut(sent: list[Packet], cut: int) -> None:
    stream = b"".join(packet.frame() for packet in sent)
    frames, got = Frames(), []
    for at in range(0, len(stream), cut):
        frames.feed(stream[at : at + cut])
        got += [Packet.read(octets) for octets in frames]
    assert got == sent
    assert len(frames) == 0


def test_frames_are_bounded() -> None:
    largest = Packet(PacketType.CMD_RESPONSE, "", bytes(MAX_FRAME - 1))
    frames = Frames()
    frames.feed(largest.frame())
    assert frames.next() == largest.write()
    with pytest.raises(MessageError, match="fit"):
        Packet(PacketType.CMD_RESPONSE, "", bytes(MAX_FRAME)).frame()
    frames.feed((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(MessageError, match="fit"):
        frames.next()


def test_values_are_read_kindly() -> None:
    tree = decode(encode({"v": "x", "l": ["a", "b"], "s": {"k": "1"}}))
    assert text(tree["v"]) == "x"
    assert text(tree.get("none"), "-") == "-"
    assert text(b"\xff") == "�"
    assert texts(tree["l"]) == ["a", "b"]
    assert texts(tree.get("none")) == []
    assert section(tree["s"]) == {"k": b"1"}
    assert section(tree["v"]) == {}
