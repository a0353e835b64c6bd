"""Fragmentation: long messages of an ISAKMP SA in pieces, out and in (Cisco's, and Microsoft's after it).

Pieces travel unprotected; limits are in `sa/fragments.py`.
"""

from __future__ import annotations

from ikectl.config.model import Fragmentation as Wish
from ikectl.errors import WireError
from ikectl.iana.v1 import PayloadType, VendorId
from ikectl.sa.fragments import Fragments
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.header import Header
from ikectl.wire.v1.fragment import Fragment, split
from ikectl.wire.v1.message import Message

FRAGMENT_OCTETS = 1280
"""A datagram of ours is not longer than this with the IP and UDP headers, when it is cut (RFC 8200 §5)."""
IP_UDP_OCTETS = 48
"""Of IPv6, the longer ones."""


class Fragmentation:
    """Of one SA."""

    __slots__ = ("_last_id", "_waiting")

    def __init__(self) -> None:
        self._last_id = 0
        self._waiting: Fragments | None = None

    def cut(self, sa: IsakmpSa, octets: bytes) -> tuple[bytes, ...]:
        """The datagrams that carry a message: fragments where both ends like them and it is too long."""
        connection, limit = sa.connection, FRAGMENT_OCTETS - IP_UDP_OCTETS
        if connection is None or len(octets) <= limit:
            return (octets,)
        wish = connection.fragmentation
        if wish is Wish.FORCE or (wish is Wish.YES and VendorId.FRAGMENTATION in sa.peer):
            self._last_id = self._last_id % 0xFFFF + 1
            return tuple(split(octets, limit, self._last_id))
        return (octets,)

    def join(self, sa: IsakmpSa, header: Header, datagram: bytes) -> tuple[Header, bytes] | None:
        """The whole message and its header, once its last missing piece came.

        Raises WireError for a malformed piece, one that is not wanted, or pieces of what is no message of this SA.
        """
        if sa.connection is not None and sa.connection.fragmentation is Wish.NO:
            raise WireError("a fragment, and fragmentation is switched off")
        payloads = Message.read(datagram, header).payloads
        if len(payloads) != 1 or not isinstance(payloads[0], Fragment):
            raise WireError("a fragment among other payloads")
        if self._waiting is None:
            self._waiting = Fragments()
        whole = self._waiting.add(payloads[0])
        if whole is None:
            return None
        inner = Header.read(whole)
        nested = int(inner.next_payload) == PayloadType.FRAGMENT
        if nested or (inner.spi_i, inner.spi_r) != (header.spi_i, header.spi_r):
            raise WireError("fragments of a message that is not of this SA")
        return inner, whole
