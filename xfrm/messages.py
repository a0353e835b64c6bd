"""Framing of netlink messages, and the tables of messages and attributes.

Two tables say all that is particular to XFRM: which struct a message begins
with (``MESSAGES``) and which struct or number an attribute holds (``Fixed``
and ``Algorithm`` rows).  The rest is the framing every netlink family shares.
Everything read here is checked against the octets that are there: what does
not fit raises ``Malformed``, never struct.error.
"""

from collections.abc import Iterator
from functools import partial
from struct import Struct
from typing import Any, Final

from . import structs
from .errors import Malformed
from .structs import Layout
from .uapi import ALGORITHM_NAME_MAX, Attr, ErrorAttr, MessageFlag, SadAttr, SpdAttr, Type

_U8: Final = Layout("__u8", 1, ("value", "u8"))
_U16: Final = Layout("__u16", 2, ("value", "u16"))
_U32: Final = Layout("__u32", 4, ("value", "u32"))
_U64: Final = Layout("__u64", 8, ("value", "u64"))
_ADDRESS: Final = Layout("xfrm_address_t", 16, ("address", "addr"))
_FLAG: Final = Layout("flag", 0)

NOTHING: Final = Layout("nothing", 0)

#                    begins with
MESSAGES: Final[dict[int, Layout]] = {
    Type.NEWSA:        structs.USERSA_INFO,
    Type.UPDSA:        structs.USERSA_INFO,
    Type.DELSA:        structs.USERSA_ID,
    Type.GETSA:        structs.USERSA_ID,
    Type.ALLOCSPI:     structs.USERSPI_INFO,
    Type.NEWPOLICY:    structs.USERPOLICY_INFO,
    Type.UPDPOLICY:    structs.USERPOLICY_INFO,
    Type.DELPOLICY:    structs.USERPOLICY_ID,
    Type.GETPOLICY:    structs.USERPOLICY_ID,
    Type.ACQUIRE:      structs.USER_ACQUIRE,
    Type.EXPIRE:       structs.USER_EXPIRE,
    Type.POLEXPIRE:    structs.USER_POLEXPIRE,
    Type.FLUSHSA:      structs.USERSA_FLUSH,
    Type.FLUSHPOLICY:  NOTHING,
    Type.NEWAE:        structs.AEVENT_ID,
    Type.GETAE:        structs.AEVENT_ID,
    Type.REPORT:       structs.USER_REPORT,
    Type.MIGRATE:      structs.USERPOLICY_ID,
    Type.NEWSADINFO:   _U32,                    # flags, always zero or all ones, read by nobody
    Type.GETSADINFO:   _U32,
    Type.NEWSPDINFO:   _U32,
    Type.GETSPDINFO:   _U32,
    Type.MAPPING:      structs.USER_MAPPING,
    Type.SETDEFAULT:   structs.USERPOLICY_DEFAULT,
    Type.GETDEFAULT:   structs.USERPOLICY_DEFAULT,
}  # fmt: skip


class Fixed:
    """An attribute that holds one struct or number of fixed size.

    ``pack(*fields)`` gives the whole attribute, header and padding included, with
    one compiled Struct; ``read(payload)`` gives the fields back.  The kernel may
    append to a struct in later versions, so a longer payload is accepted.
    """

    __slots__ = ("layout", "pack", "type")

    def __init__(self, number: int, layout: Layout) -> None:
        self.type = number
        self.layout = layout
        size = structs.ATTRIBUTE.size + layout.size
        packer = Struct(f"=HH{layout.code}{-size & 3}x")
        self.pack: partial[bytes] = partial(packer.pack, size, number)

    def read(self, payload: bytes) -> tuple[Any, ...]:
        if len(payload) < self.layout.size:
            raise Malformed(f"attribute {self.type} holds {len(payload)} octets, {self.layout} wants more")
        return self.layout.unpack_from(payload, 0)


class Algorithm:
    """An attribute that holds a name, lengths in bits, and a key of any length."""

    __slots__ = ("_head", "_layout", "type")

    def __init__(self, number: int, layout: Layout) -> None:
        self.type = number
        self._layout = layout
        self._head = Struct("=HH" + layout.code).pack

    def pack(self, name: str, key: bytes, *bits: int) -> bytes:
        """The whole attribute.

        Raises:
            ValueError: the name does not fit the kernel's field; the key is not shown.
        """
        octets = name.encode("ascii")
        if len(octets) > ALGORITHM_NAME_MAX:
            raise ValueError(f"algorithm name of {len(octets)} octets, at most {ALGORITHM_NAME_MAX} fit")
        size = 4 + self._layout.size + len(key)
        return self._head(size, self.type, octets, len(key) * 8, *bits) + key + PADDING[-size & 3]

    def read(self, payload: bytes) -> tuple[str, bytes, tuple[int, ...]]:
        """Name, key and the bit counts that follow the key's length."""
        head = self._layout.size
        if len(payload) < head:
            raise Malformed(f"attribute {self.type} is shorter than {self._layout}")
        octets, key_bits, *bits = self._layout.unpack_from(payload, 0)
        end = head + (key_bits + 7) // 8
        if end > len(payload):
            raise Malformed(f"attribute {self.type} promises a key of {key_bits} bits and ends before")
        name: bytes = octets.partition(b"\0")[0]
        return name.decode("ascii", "backslashreplace"), payload[head:end], tuple(bits)


PADDING: Final = (b"", b"\0", b"\0\0", b"\0\0\0")

ALG_AUTH: Final = Algorithm(Attr.ALG_AUTH, structs.ALGO)
ALG_CRYPT: Final = Algorithm(Attr.ALG_CRYPT, structs.ALGO)
ALG_COMP: Final = Algorithm(Attr.ALG_COMP, structs.ALGO)
ALG_AEAD: Final = Algorithm(Attr.ALG_AEAD, structs.ALGO_AEAD)
ALG_AUTH_TRUNC: Final = Algorithm(Attr.ALG_AUTH_TRUNC, structs.ALGO_AUTH)

ENCAP: Final = Fixed(Attr.ENCAP, structs.ENCAP_TMPL)
SA: Final = Fixed(Attr.SA, structs.USERSA_INFO)
POLICY: Final = Fixed(Attr.POLICY, structs.USERPOLICY_INFO)
LTIME_VAL: Final = Fixed(Attr.LTIME_VAL, structs.LIFETIME_CUR)
REPLAY_VAL: Final = Fixed(Attr.REPLAY_VAL, structs.REPLAY_STATE)
REPLAY_THRESH: Final = Fixed(Attr.REPLAY_THRESH, _U32)
ETIMER_THRESH: Final = Fixed(Attr.ETIMER_THRESH, _U32)
SRCADDR: Final = Fixed(Attr.SRCADDR, _ADDRESS)
COADDR: Final = Fixed(Attr.COADDR, _ADDRESS)
LASTUSED: Final = Fixed(Attr.LASTUSED, _U64)
POLICY_TYPE: Final = Fixed(Attr.POLICY_TYPE, structs.USERPOLICY_TYPE)
KMADDRESS: Final = Fixed(Attr.KMADDRESS, structs.USER_KMADDRESS)
MARK: Final = Fixed(Attr.MARK, structs.MARK)
TFCPAD: Final = Fixed(Attr.TFCPAD, _U32)
SA_EXTRA_FLAGS: Final = Fixed(Attr.SA_EXTRA_FLAGS, _U32)
PROTO: Final = Fixed(Attr.PROTO, _U8)
ADDRESS_FILTER: Final = Fixed(Attr.ADDRESS_FILTER, structs.ADDRESS_FILTER)
OFFLOAD_DEV: Final = Fixed(Attr.OFFLOAD_DEV, structs.USER_OFFLOAD)
SET_MARK: Final = Fixed(Attr.SET_MARK, _U32)
SET_MARK_MASK: Final = Fixed(Attr.SET_MARK_MASK, _U32)
IF_ID: Final = Fixed(Attr.IF_ID, _U32)
MTIMER_THRESH: Final = Fixed(Attr.MTIMER_THRESH, _U32)
SA_DIR: Final = Fixed(Attr.SA_DIR, _U8)
NAT_KEEPALIVE_INTERVAL: Final = Fixed(Attr.NAT_KEEPALIVE_INTERVAL, _U32)
SA_PCPU: Final = Fixed(Attr.SA_PCPU, _U32)
IPTFS_DROP_TIME: Final = Fixed(Attr.IPTFS_DROP_TIME, _U32)
IPTFS_REORDER_WINDOW: Final = Fixed(Attr.IPTFS_REORDER_WINDOW, _U16)
IPTFS_DONT_FRAG: Final = Fixed(Attr.IPTFS_DONT_FRAG, _FLAG)
IPTFS_INIT_DELAY: Final = Fixed(Attr.IPTFS_INIT_DELAY, _U32)
IPTFS_MAX_QSIZE: Final = Fixed(Attr.IPTFS_MAX_QSIZE, _U32)
IPTFS_PKT_SIZE: Final = Fixed(Attr.IPTFS_PKT_SIZE, _U32)

SAD_CNT: Final = Fixed(SadAttr.CNT, _U32)
SAD_HINFO: Final = Fixed(SadAttr.HINFO, structs.SAD_HINFO)
SPD_INFO: Final = Fixed(SpdAttr.INFO, structs.SPD_INFO)
SPD_HINFO: Final = Fixed(SpdAttr.HINFO, structs.SPD_HINFO)
SPD_IPV4_HTHRESH: Final = Fixed(SpdAttr.IPV4_HTHRESH, structs.SPD_HTHRESH)
SPD_IPV6_HTHRESH: Final = Fixed(SpdAttr.IPV6_HTHRESH, structs.SPD_HTHRESH)

_ATTRIBUTE_HEAD: Final = Struct("=HH")
_NLA_TYPE_MASK: Final = 0x3FFF
_HEADER: Final = structs.HEADER
_ERROR: Final = structs.ERROR


def attribute(number: int, payload: bytes) -> bytes:
    """An attribute of any payload: header, payload, padding to four octets."""
    size = 4 + len(payload)
    return _ATTRIBUTE_HEAD.pack(size, number) + payload + PADDING[-size & 3]


def frame(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    """One message with its header, padded to four octets as several in one send need it."""
    size = 16 + len(body)
    return _HEADER.pack(size, kind, flags, seq, 0) + body + PADDING[-size & 3]


class Message:
    """One message as received: header fields and the octets after the header."""

    __slots__ = ("flags", "payload", "seq", "type")

    def __init__(self, kind: int, flags: int, seq: int, payload: bytes) -> None:
        self.type = kind
        self.flags = flags
        self.seq = seq
        self.payload = payload

    def head(self) -> tuple[Any, ...]:
        """The fields of the struct this type of message begins with."""
        layout = MESSAGES.get(self.type)
        if layout is None:
            raise Malformed(f"message type {self.type:#x} is not one of XFRM's")
        if len(self.payload) < layout.size:
            raise Malformed(f"message {self.type:#x} of {len(self.payload)} octets is shorter than {layout}")
        return layout.unpack_from(self.payload, 0)

    def attributes(self) -> "Attributes":
        """The attributes after that struct."""
        return Attributes(self.payload, MESSAGES[self.type].size)

    def error(self) -> tuple[int, str]:
        """Of an ERROR or DONE message: errno (0 for success) and the kernel's own words, or ''."""
        payload = self.payload
        if len(payload) < 4:
            raise Malformed("an acknowledgement without a code")
        code = int.from_bytes(payload[:4], _NATIVE, signed=True)
        if not self.flags & MessageFlag.ACK_TLVS:
            return -code, ""
        start = 4
        if self.type == Type.ERROR:
            if len(payload) < _ERROR.size:
                raise Malformed("an acknowledgement without the request's header")
            start = _ERROR.size
            if not self.flags & MessageFlag.CAPPED:
                start += max(_HEADER.unpack_from(payload, 4)[0] - 16, 0) + 3 & ~3
        text = Attributes(payload, start).get(ErrorAttr.MSG) or b""
        return -code, text.rstrip(b"\0").decode("utf-8", "backslashreplace")


class Attributes:
    """The attributes of one message: a look-up by number, and repeated ones in order."""

    __slots__ = ("_first", "_rest")

    def __init__(self, octets: bytes, start: int) -> None:
        first: dict[int, bytes] = {}
        rest: list[tuple[int, bytes]] = []
        at, end = start + 3 & ~3, len(octets)
        while at + 4 <= end:
            size, number = _ATTRIBUTE_HEAD.unpack_from(octets, at)
            if size < 4 or at + size > end:
                raise Malformed(f"attribute {number} of {size} octets where {end - at} are left")
            number &= _NLA_TYPE_MASK
            if number in first:
                rest.append((number, octets[at + 4 : at + size]))
            else:
                first[number] = octets[at + 4 : at + size]
            at += size + 3 & ~3
        self._first = first
        self._rest = rest

    def get(self, number: int) -> bytes | None:
        """Payload of the first attribute of this number."""
        return self._first.get(number)

    def all(self, number: int) -> list[bytes]:
        """Payloads of every attribute of this number, in order."""
        head = self._first.get(number)
        return [] if head is None else [head, *(payload for other, payload in self._rest if other == number)]

    def fields(self, attr: Fixed) -> tuple[Any, ...] | None:
        """The fields of a fixed-size attribute, or None when it is absent."""
        payload = self._first.get(attr.type)
        return None if payload is None else attr.read(payload)

    def number(self, attr: Fixed, default: int = 0) -> int:
        """The value of an attribute that holds one number."""
        payload = self._first.get(attr.type)
        if payload is None:
            return default
        value: int = attr.read(payload)[0]
        return value


def walk(datagram: bytes) -> Iterator[Message]:
    """Every message of one datagram, in order.

    Raises:
        Malformed: a length that the datagram does not hold.
    """
    at, end = 0, len(datagram)
    while at < end:
        if at + 16 > end:
            raise Malformed(f"{end - at} octets where a message header should be")
        size, kind, flags, seq, _pid = _HEADER.unpack_from(datagram, at)
        if size < 16 or at + size > end:
            raise Malformed(f"a message of {size} octets where {end - at} are left")
        yield Message(kind, flags, seq, datagram[at + 16 : at + size])
        at += size + 3 & ~3


_NATIVE: Final = "little" if Struct("=H").pack(1) == b"\1\0" else "big"
