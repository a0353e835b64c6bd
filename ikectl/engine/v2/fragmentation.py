"""Fragmentation: long messages of one IKE SA in pieces, out and in (RFC 7383).

Only protected messages are cut, and only if both ends announced in
IKE_SA_INIT that they take fragments (§2.3). What waits to be put together is
in `sa/reassembly.py`.
"""

from __future__ import annotations

from ikectl.config.model import Fragmentation as Wish
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.engine.v2.envelope import ALWAYS_WHOLE, open_piece, take_cover
from ikectl.errors import IkectlError, IntegrityFailure
from ikectl.iana.v2 import NotifyType, PayloadType
from ikectl.sa.association import IkeState
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.reassembly import MAX_OCTETS, MAX_OCTETS_UNPROVEN, Reassembly
from ikectl.wire.header import HEADER_OCTETS, NON_ESP_MARKER, Header
from ikectl.wire.octets import GENERIC_OCTETS
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sealed import SKF, join_fragments

SMALLEST = {4: 576, 16: 1280}
"""Octets of a datagram, IP header and all, that every path takes, by the length of an address (RFC 791, RFC 8200 §5):
what is sent when larger ones seem not to arrive (RFC 7383 §2.5.2)."""
HEADERS = {4: 20 + 8, 16: 40 + 8}
"""Octets of the IP and UDP headers."""
REPEATS = 2
"""A request that was repeated so often without an answer is cut smaller: loss alone explains less."""


def room(sa: IkeSa, octets: int) -> int:
    """What is left for IKE in a datagram of `octets` on the path of the SA; 0 stands for what every path takes."""
    family = len(sa.path.remote.address)
    marker = len(NON_ESP_MARKER) if sa.path.local.port != sa.env.settings.ike_port else 0
    return (octets or SMALLEST[family]) - HEADERS[family] - marker


def is_fragment(header: Header, datagram: bytes) -> bool:
    """Whether a message is a fragment; the solution of a puzzle may stand before that (RFC 8019 §7.2.2)."""
    if header.next_payload is PayloadType.PS:
        return datagram[HEADER_OCTETS : HEADER_OCTETS + 1] == bytes((PayloadType.SKF,))
    return header.next_payload is PayloadType.SKF


def is_large(sa: IkeSa, datagrams: tuple[bytes, ...]) -> bool:
    """Whether a message can be cut smaller than it was, should the path not take these."""
    octets = len(datagrams[0])
    return octets > ALWAYS_WHOLE and octets > room(sa, 0) and _sends(sa)


class Fragmentation:
    """Of one SA."""

    __slots__ = ("_lowered", "_repeated", "_waiting")

    def __init__(self) -> None:
        self._lowered = 0
        """Octets of IKE in a datagram, where the path or the peer showed that it takes fewer; 0: it did not."""
        self._repeated = (0, 0)
        """The number of a request that fetched a long reply again, and how often."""
        self._waiting: Reassembly | None = None

    # -- out ---------------------------------------------------------------------

    def limit(self, sa: IkeSa) -> int:
        """The octets of the longest message that goes out whole; 0: any."""
        if not _sends(sa):
            return 0
        octets = room(sa, sa.env.settings.fragment_size)
        return min(octets, self._lowered) if self._lowered else octets

    def smaller(self, sa: IkeSa, datagrams: tuple[bytes, ...]) -> int:
        """The limit for a request that is not answered, if it can be cut smaller than these; else 0.

        It holds for what follows as well.
        """
        if not is_large(sa, datagrams):
            return 0
        self._lowered = room(sa, 0)
        return self._lowered

    def for_repeat(self, sa: IkeSa, number: int, cut: int) -> int:
        """The limit for the reply that request `number` fetches again, if it is to be cut smaller than it was; else 0.

        `cut` are the octets of a fragment that the peer made smaller than before, for it had no answer; 0: its
        request comes as it was. That may be loss for a while; and it holds for this reply alone, as anybody who has
        seen the request can repeat it.
        """
        if cut:
            return max(cut, room(sa, 0))
        last, times = self._repeated
        self._repeated = number, times + 1 if last == number else 1
        return room(sa, 0) if self._repeated[1] > REPEATS else 0

    def inherit(self, old: Fragmentation) -> None:
        """Another SA with the same peer, on the same path."""
        self._lowered = old._lowered

    # -- in ----------------------------------------------------------------------

    def join(self, sa: IkeSa, header: Header, datagram: bytes) -> tuple[Message, bytes] | None:
        """The whole message and its first fragment, once its last missing piece came.

        Raises:
            IntegrityFailure: the fragment did not verify, or none is to be expected.
            WireError: the message is authentic and malformed.
        """
        if NotifyType.IKEV2_FRAGMENTATION_SUPPORTED not in sa.extensions:
            raise IntegrityFailure("a fragment, and fragmentation was not agreed on")
        name = header.is_response, header.message_id
        number, total = _place(header, datagram)
        if self._waiting is None:
            self._waiting = Reassembly()
        elif self._waiting.has(name, number, total):
            return None
        piece = open_piece(sa, header, datagram, sa.keys)
        proven = sa.state is not IkeState.CONNECTING
        pieces = self._waiting.add(name, piece, MAX_OCTETS if proven else MAX_OCTETS_UNPROVEN)
        if pieces is None:
            return None
        self._learn(sa, len(pieces[0].datagram), len(pieces))
        message = join_fragments(pieces)
        take_cover(sa, message)
        return message, pieces[0].datagram

    def _learn(self, sa: IkeSa, octets: int, total: int) -> None:
        """The peer cuts as small as this, so the path may want it: so do we (RFC 7383 §2.5.2)."""
        if total > 1:
            self._lowered = min(self._lowered or octets, max(octets, room(sa, 0)))


def repeats(sa: IkeSa, header: Header, datagram: bytes, keys: IkeKeys | None) -> bool:
    """Whether this is the first fragment of a request that was answered already, cut anew by the peer.

    `keys` are those that the request was sealed with. Only the first one may fetch the reply again, or each
    request would fetch it as often as it has fragments (RFC 7383 §2.6.1).
    """
    if not is_fragment(header, datagram) or NotifyType.IKEV2_FRAGMENTATION_SUPPORTED not in sa.extensions:
        return False
    try:
        return _place(header, datagram)[0] == 1 and open_piece(sa, header, datagram, keys).number == 1
    except IkectlError:
        return False


def _sends(sa: IkeSa) -> bool:
    connection = sa.connection
    return (
        NotifyType.IKEV2_FRAGMENTATION_SUPPORTED in sa.extensions
        and connection is not None
        and connection.fragmentation in (Wish.YES, Wish.FORCE)
        and not sa.path.tcp  # a stream takes any length (RFC 9329 §7.5)
    )


def _place(header: Header, datagram: bytes) -> tuple[int, int]:
    """Number and total of a fragment, as it claims. Raises IntegrityFailure if it is too short to say so."""
    at = HEADER_OCTETS + GENERIC_OCTETS
    if header.next_payload is PayloadType.PS:
        at += int.from_bytes(datagram[HEADER_OCTETS + 2 : at], "big")
    if len(datagram) < at + SKF.LAYOUT.size:
        raise IntegrityFailure("too short for a fragment")
    number, total = SKF.LAYOUT.unpack_from(datagram, at)
    return number, total
