"""DhcpMessage: a DHCPv4 message and its octets (RFC 2131 §2, RFC 2132, RFC 3396).

pyroute2's codec serves a client that reads what it asked for. A relay agent
has to pass on what it does not know: that codec drops options without a name
when it writes, keeps the last of several equal ones, reorders them, and takes
six octets of hardware address whatever the length says. Here options stay
octets in the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from ikectl.errors import WireError
from ikectl.iana.dhcp import MessageType, Option, message_type

REQUEST, REPLY = 1, 2
"""`op`: from clients, from servers."""

BROADCAST_FLAG = 0x8000
"""The client cannot yet receive what is sent to its future address (RFC 2131 §4.1)."""

UNSPECIFIED = bytes(4)

FIXED = Struct("!BBBBIHH4s4s4s4s16s64s128s")
COOKIE = b"\x63\x82\x53\x63"
"""RFC 2131 §3."""

MIN_OCTETS = 300
"""BOOTP's messages have a fixed size, and some of its relay agents and servers drop shorter ones (RFC 1542 §2.1)."""

MAX_OCTETS = 1400
"""Of a message that is read: leaves room for IP, UDP, ESP and a relay agent's option in one packet of 1500 octets."""

Options = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """One message. Addresses are packed, `chaddr` always has 16 octets of which `hlen` count.

    `options` are those of the options field, without padding and end, in the
    order of the octets; an option longer than 255 octets is there in parts
    (RFC 3396). `option()` puts it together.
    """

    op: int
    xid: int
    options: Options
    htype: int = 0
    hlen: int = 0
    chaddr: bytes = bytes(16)
    hops: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: bytes = UNSPECIFIED
    yiaddr: bytes = UNSPECIFIED
    siaddr: bytes = UNSPECIFIED
    giaddr: bytes = UNSPECIFIED
    sname: bytes = bytes(64)
    file: bytes = bytes(128)

    @classmethod
    def read(cls, octets: bytes) -> DhcpMessage:
        """Raises WireError for what is no DHCP message, or a longer one than MAX_OCTETS."""
        start = FIXED.size + len(COOKIE)
        if not start <= len(octets) <= MAX_OCTETS:
            raise WireError(f"a DHCP message has {start} to {MAX_OCTETS} octets, not {len(octets)}")
        op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file = (
            FIXED.unpack_from(octets)
        )
        if octets[FIXED.size : start] != COOKIE:
            raise WireError("BOOTP without DHCP's magic cookie")
        if op not in (REQUEST, REPLY):
            raise WireError(f"op {op} is neither request nor reply")
        if hlen > len(chaddr):
            raise WireError(f"a hardware address of {hlen} octets in a field of 16")
        message = cls(
            op,
            xid,
            tuple(_walk(octets[start:])),
            htype,
            hlen,
            chaddr,
            hops,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            sname,
            file,
        )
        for _ in message._everywhere():
            pass  # the overloaded fields are sound, too
        return message

    def write(self) -> bytes:
        """The octets. Raises ValueError when an option is too long."""
        fixed = FIXED.pack(
            self.op,
            self.htype,
            self.hlen,
            self.hops,
            self.xid,
            self.secs,
            self.flags,
            self.ciaddr,
            self.yiaddr,
            self.siaddr,
            self.giaddr,
            self.chaddr,
            self.sname,
            self.file,
        )
        options = b"".join(bytes((code, len(data))) + data for code, data in self.options)
        return (fixed + COOKIE + options + bytes((Option.END,))).ljust(MIN_OCTETS, b"\0")

    def option(self, code: int) -> bytes | None:
        """The option's octets, its parts put together (RFC 3396 §7); None when it is not there."""
        parts = [data for found, data in self._everywhere() if found == code]
        return b"".join(parts) if parts else None

    def address(self, code: int) -> bytes | None:
        """An option that is one address; None when it is not there or no address."""
        data = self.option(code)
        return data if data is not None and len(data) == 4 else None

    def addresses(self, code: int) -> tuple[bytes, ...]:
        """An option that is a list of addresses; an incomplete last one is left out."""
        data = self.option(code) or b""
        return tuple(data[at : at + 4] for at in range(0, len(data) - 3, 4))

    def number(self, code: int) -> int | None:
        """An option that is a number of four octets; None when it is not there or none."""
        data = self.option(code)
        return int.from_bytes(data, "big") if data is not None and len(data) == 4 else None

    @property
    def type(self) -> MessageType | None:
        """What kind of message; None for BOOTP's, which do not say."""
        data = self.option(Option.MESSAGE_TYPE)
        return message_type(data[0]) if data is not None and len(data) == 1 else None

    @property
    def hardware(self) -> bytes:
        """The octets of `chaddr` that count."""
        return self.chaddr[: self.hlen]

    @property
    def client(self) -> bytes:
        """By what the server knows the client: its identifier, else type and hardware address (RFC 2131 §4.2).

        An octet in front keeps the two apart.
        """
        identifier = self.option(Option.CLIENT_ID)
        return b"i" + identifier if identifier else b"h" + bytes((self.htype,)) + self.hardware

    def _everywhere(self) -> Iterator[tuple[int, bytes]]:
        """The options of all fields, in the order of RFC 3396 §5. Raises WireError."""
        yield from self.options
        overload = next((data for code, data in self.options if code == Option.OVERLOAD), b"")
        fields = overload[0] if len(overload) == 1 else 0
        if fields & 1:
            yield from _walk(self.file)
        if fields & 2:
            yield from _walk(self.sname)

    def __str__(self) -> str:
        return f"DHCP{self.type or ' without a type'} {self.xid:08x}"


def _walk(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The options of one field, up to its end option. Raises WireError."""
    at = 0
    while at < len(octets) and octets[at] != Option.END:
        code = octets[at]
        if code == Option.PAD:
            at += 1
            continue
        if at + 2 > len(octets) or at + 2 + octets[at + 1] > len(octets):
            raise WireError(f"DHCP option {code} is longer than its field")
        yield code, octets[at + 2 : at + 2 + octets[at + 1]]
        at += 2 + octets[at + 1]
    if at >= len(octets):
        raise WireError("DHCP options without an end")
