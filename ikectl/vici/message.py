"""The vici codec: message trees, packets and frames; no IO.

A message is a tree: sections (dicts) of values (octets), lists of values and
further sections, in order. A packet is one octet of type, then by type a name
and a message. A frame is a packet behind its length in four octets.

Whatever octets come in, the outcome is a value or `MessageError`. All sizes
are bounded: a frame by MAX_FRAME, nesting by MAX_DEPTH, everything else by
the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

MAX_FRAME = 512 * 1024  # octets behind the length field; every vici peer keeps this limit
MAX_DEPTH = 16  # nested sections; a connection needs four
MAX_NAME = 255
MAX_VALUE = 65535

Node: TypeAlias = "bytes | list[bytes] | dict[str, Node]"
Tree: TypeAlias = dict[str, Node]
"""A message as read: values and list items are octets."""

Text: TypeAlias = "str | bytes"
Branch: TypeAlias = "Text | Sequence[Text] | Mapping[str, Branch]"
Draft: TypeAlias = Mapping[str, Branch]
"""A message to be written: text may stand for its UTF-8 octets."""


class MessageError(Exception):
    """The octets are no vici, or the value cannot be said in vici."""


class _Element(IntEnum):
    SECTION_START = 1
    SECTION_END = 2
    KEY_VALUE = 3
    LIST_START = 4
    LIST_ITEM = 5
    LIST_END = 6


_SECTION_START, _SECTION_END, _KEY_VALUE, _LIST_START, _LIST_ITEM, _LIST_END = (int(e) for e in _Element)

_LENGTH16 = Struct("!H")
_LENGTH32 = Struct("!I")
_LIST_ITEM_OCTET = bytes((_LIST_ITEM,))
_SECTION_END_OCTET = bytes((_SECTION_END,))
_LIST_END_OCTET = bytes((_LIST_END,))


# ------------------------------------------------------------------ messages


def encode(tree: Draft) -> bytes:
    """The octets of a message.

    Raises:
        MessageError: a name over 255 octets or with a NUL, a value over 65535
            octets, sections nested deeper than MAX_DEPTH, or a type that is
            no text, octets, list or section.
    """
    parts: list[bytes] = []
    _encode_section(tree, parts, 0)
    return b"".join(parts)


def _encode_section(tree: Draft, parts: list[bytes], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MessageError(f"sections nested deeper than {MAX_DEPTH}")
    for key, node in tree.items():
        name = _name(key)
        if isinstance(node, (str, bytes)):
            parts.append(bytes((_KEY_VALUE, len(name))) + name + _value(node))
        elif isinstance(node, Mapping):
            parts.append(bytes((_SECTION_START, len(name))) + name)
            _encode_section(node, parts, depth + 1)
            parts.append(_SECTION_END_OCTET)
        elif isinstance(node, Sequence):
            parts.append(bytes((_LIST_START, len(name))) + name)
            parts.extend(_LIST_ITEM_OCTET + _value(item) for item in node)
            parts.append(_LIST_END_OCTET)
        else:
            raise MessageError(f"{key}: a {type(node).__name__} cannot be said in vici")


def _name(name: str) -> bytes:
    octets = name.encode()
    if len(octets) > MAX_NAME:
        raise MessageError(f"a name of {len(octets)} octets; {MAX_NAME} fit")
    if b"\0" in octets:
        raise MessageError("a name with a NUL in it")
    return octets


def _value(value: object) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise MessageError(f"a {type(value).__name__} cannot be a list item")
    octets = value.encode() if isinstance(value, str) else bytes(value)
    if len(octets) > MAX_VALUE:
        raise MessageError(f"a value of {len(octets)} octets; {MAX_VALUE} fit")
    return _LENGTH16.pack(len(octets)) + octets


def decode(octets: bytes) -> Tree:
    """The message these octets are.

    Raises:
        MessageError: an element cut short, an unknown element, sections or
            lists that do not balance, a key twice in one section, a name that
            is no UTF-8, or more than MAX_DEPTH sections inside each other.
    """
    root: Tree = {}
    section = root
    above: list[Tree] = []
    items: list[bytes] | None = None
    at, end = 0, len(octets)
    while at < end:
        element = octets[at]
        at += 1
        if element == _LIST_ITEM:
            if items is None:
                raise MessageError("a list item outside a list")
            value, at = _read_value(octets, at)
            items.append(value)
        elif element == _LIST_END:
            if items is None:
                raise MessageError("a list ends that never began")
            items = None
        elif items is not None:
            raise MessageError("a list holds something that is no list item")
        elif element == _KEY_VALUE:
            name, at = _read_name(octets, at, section)
            section[name], at = _read_value(octets, at)
        elif element == _SECTION_START:
            name, at = _read_name(octets, at, section)
            if len(above) == MAX_DEPTH:
                raise MessageError(f"sections nested deeper than {MAX_DEPTH}")
            inner: Tree = {}
            section[name] = inner
            above.append(section)
            section = inner
        elif element == _SECTION_END:
            if not above:
                raise MessageError("a section ends that never began")
            section = above.pop()
        elif element == _LIST_START:
            name, at = _read_name(octets, at, section)
            items = []
            section[name] = items
        else:
            raise MessageError(f"element type {element} is unknown")
    if above or items is not None:
        raise MessageError("the message ends inside a section or list")
    return root


def _read_name(octets: bytes, at: int, section: Tree) -> tuple[str, int]:
    if at >= len(octets):
        raise MessageError("the message ends where a name belongs")
    start = at + 1
    end = start + octets[at]
    if end > len(octets):
        raise MessageError("a name is cut short")
    name = _text(octets[start:end])
    if name in section:
        raise MessageError(f"{name!r} occurs twice in one section")
    return name, end


def _read_value(octets: bytes, at: int) -> tuple[bytes, int]:
    start = at + 2
    if start > len(octets):
        raise MessageError("the message ends where a value belongs")
    end = start + int.from_bytes(octets[at:start], "big")
    if end > len(octets):
        raise MessageError("a value is cut short")
    return octets[start:end], end


def _text(octets: bytes) -> str:
    if b"\0" in octets:
        raise MessageError("a name with a NUL in it")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise MessageError("a name is not UTF-8") from None


# ------------------------------------------------------------------- packets


class PacketType(IntEnum):
    """The first octet of a packet."""

    CMD_REQUEST = 0  # name, message
    CMD_RESPONSE = 1  # message
    CMD_UNKNOWN = 2
    EVENT_REGISTER = 3  # name
    EVENT_UNREGISTER = 4  # name
    EVENT_CONFIRM = 5
    EVENT_UNKNOWN = 6
    EVENT = 7  # name, message


_NAMED = frozenset((PacketType.CMD_REQUEST, PacketType.EVENT_REGISTER, PacketType.EVENT_UNREGISTER, PacketType.EVENT))
_PACKET_TYPES = {int(member): member for member in PacketType}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `body` holds the message's octets, not yet decoded."""

    type: PacketType
    name: str = ""
    body: bytes = b""

    @classmethod
    def read(cls, octets: bytes) -> Packet:
        """Raises MessageError: empty, of an unknown type, or its name cut short."""
        if not octets:
            raise MessageError("an empty packet")
        kind = _PACKET_TYPES.get(octets[0])
        if kind is None:
            raise MessageError(f"packet type {octets[0]} is unknown")
        if kind not in _NAMED:
            return cls(kind, "", octets[1:])
        if len(octets) < 2 or len(octets) < 2 + octets[1]:
            raise MessageError("a packet's name is cut short")
        end = 2 + octets[1]
        return cls(kind, _text(octets[2:end]), octets[end:])

    def write(self) -> bytes:
        """Raises MessageError: the name is too long."""
        if self.type not in _NAMED:
            return bytes((self.type,)) + self.body
        name = _name(self.name)
        return bytes((self.type, len(name))) + name + self.body

    def frame(self) -> bytes:
        """The packet behind its length, ready for the stream. Raises MessageError: over MAX_FRAME."""
        packet = self.write()
        if len(packet) > MAX_FRAME:
            raise MessageError(f"a packet of {len(packet)} octets; {MAX_FRAME} fit")
        return _LENGTH32.pack(len(packet)) + packet


class Frames:
    """Cuts a stream of octets into frames. Holds at most what was fed and not yet taken."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, octets: bytes) -> None:
        self._held += octets

    def __len__(self) -> int:
        """Octets held."""
        return len(self._held)

    def next(self) -> bytes | None:
        """The next whole packet, or None. Raises MessageError: a frame over MAX_FRAME is announced."""
        if len(self._held) < 4:
            return None
        length = int.from_bytes(self._held[:4], "big")
        if length > MAX_FRAME:
            raise MessageError(f"a frame of {length} octets; {MAX_FRAME} fit")
        end = 4 + length
        if len(self._held) < end:
            return None
        packet = bytes(self._held[4:end])
        del self._held[:end]
        return packet

    def __iter__(self) -> Iterator[bytes]:
        while (packet := self.next()) is not None:
            yield packet


# ----------------------------------------------------- reading values kindly


def text(node: Node | None, default: str = "") -> str:
    """A value as text; `default` where there is none. Octets that are no UTF-8 show as U+FFFD."""
    return node.decode(errors="replace") if isinstance(node, bytes) else default


def texts(node: Node | None) -> list[str]:
    """The items of a list as text; none where there is no list."""
    return [text(item) for item in node] if isinstance(node, list) else []


def section(node: Node | None) -> Tree:
    """A section; an empty one where there is none."""
    return node if isinstance(node, dict) else {}
