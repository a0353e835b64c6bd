"""Fragments of IKEv1 messages: Cisco's, and Microsoft's after them (MS-IKEE §2.2.3.1, §3.3.6.1).

The octets of a whole message, its header first and encrypted as it is, are
cut into pieces. Each travels in clear as the only payload of a message whose
header is the whole one's, the encryption bit left out.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.v1 import PayloadType
from ikectl.iana.v2 import payload_type
from ikectl.values.record import record
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.octets import GENERIC_OCTETS
from ikectl.wire.v1.message import FLAG_ENCRYPTION
from ikectl.wire.v1.payload import Payload, payload, write_chain

MAX_FRAGMENTS = 255
"""The number of a fragment is one octet."""

_LAST = 0x01


@payload(PayloadType.FRAGMENT)
@record
class Fragment(Payload):
    """A piece of a message. Numbers begin at 1; the last piece says that it is (other flags mean nothing)."""

    LAYOUT: ClassVar = Struct("!HBB")  # fragment id, number, flags

    id: int
    number: int
    last: bool
    data: bytes

    @property
    def short(self) -> str:
        return f"FRAG({self.number}{'.' if self.last else ''})"

    @classmethod
    def read(cls, body: bytes) -> Self:
        identifier, number, flags = cls.LAYOUT.unpack_from(body)
        data = body[cls.LAYOUT.size :]
        if not number or not data:
            raise WireError(f"fragment {number} of {len(data)} octets")
        return cls(identifier, number, flags & _LAST != 0, data)

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.id, self.number, _LAST if self.last else 0) + self.data


OVERHEAD = HEADER_OCTETS + GENERIC_OCTETS + Fragment.LAYOUT.size
"""What a datagram of a fragment holds besides the piece."""


def split(datagram: bytes, limit: int, fragment_id: int) -> list[bytes]:
    """The datagrams that carry this one in pieces, none longer than `limit` octets.

    `datagram` is a whole message, `fragment_id` of 16 bits is another one for
    each. Retransmissions repeat the fragments: do not split again.

    Raises:
        ValueError: it takes more pieces than can be numbered.
    """
    header = Header.read(datagram)
    size = limit - OVERHEAD
    if size < 1 or len(datagram) > size * MAX_FRAGMENTS:
        raise ValueError(f"{len(datagram)} octets do not fit into {MAX_FRAGMENTS} datagrams of {limit}")
    header.next_payload = payload_type(PayloadType.FRAGMENT)  # unnamed in the header both versions share
    header.flags &= ~FLAG_ENCRYPTION
    pieces = [datagram[start : start + size] for start in range(0, len(datagram), size)]
    found = []
    for number, piece in enumerate(pieces, 1):
        _, chain = write_chain([Fragment(fragment_id, number, number == len(pieces), piece)])
        header.length = HEADER_OCTETS + len(chain)
        found.append(header.write() + chain)
    return found
