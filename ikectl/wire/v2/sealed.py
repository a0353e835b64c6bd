"""Encrypted payloads: framing of SK and SKF (RFC 7296 §3.14, RFC 7383 §2.5).

The cipher is an argument, bound to the keys of one direction. It authenticates
what it is given, whichever way it does that: as AEAD with associated data
(RFC 5282), or by encrypting and then computing a MAC over the associated data,
the IV and the ciphertext.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import ClassVar, Protocol, Self

from ikectl.errors import IntegrityFailure, WireError
from ikectl.iana.v2 import ExchangeType, PayloadType
from ikectl.values.record import record
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.octets import GENERIC, GENERIC_OCTETS
from ikectl.wire.payload import Enclosing, Payload, payload, read_chain, write_chain
from ikectl.wire.v2.message import Message

WriteHeader = Callable[[PayloadType, int], bytes]
"""Writes the header of a message, from the type of its first payload and its length, the header counted."""


class SkCipher(Protocol):
    """Encryption and integrity of one direction of an IKE SA."""

    @property
    def iv_octets(self) -> int:
        """Octets of the explicit IV in the payload."""

    @property
    def icv_octets(self) -> int:
        """Octets of the integrity check value at the end."""

    @property
    def block_octets(self) -> int:
        """The plain text is padded to a multiple of this; 1 for no padding."""

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        """Ciphertext and ICV."""

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        """The plain text. Raises IntegrityFailure."""


@payload(PayloadType.SK)
@record
class SK(Enclosing):
    """Encrypted and Authenticated payload, closed: `data` is IV, ciphertext and ICV."""

    first: PayloadType
    data: bytes

    @classmethod
    def read(cls, body: bytes, first: PayloadType = PayloadType.NONE) -> Self:
        return cls(first, body)

    def body(self) -> bytes:
        return self.data


@payload(PayloadType.SKF)
@record
class SKF(Enclosing):
    """Encrypted and Authenticated Fragment, closed (RFC 7383 §2.5).

    `first` is NONE in all fragments but number 1. A number of 0 or beyond
    `total` is malformed.
    """

    LAYOUT: ClassVar = Struct("!HH")  # fragment number, total fragments

    first: PayloadType
    number: int
    total: int
    data: bytes

    @classmethod
    def read(cls, body: bytes, first: PayloadType = PayloadType.NONE) -> Self:
        number, total = cls.LAYOUT.unpack_from(body)
        if not 0 < number <= total:
            raise WireError(f"fragment {number} of {total}")
        return cls(first, number, total, body[4:])

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.number, self.total) + self.data


def seal(message: Message, cipher: SkCipher, iv: bytes) -> bytes:
    """The octets of the message with all its payloads inside one SK payload.

    `iv` is fresh, unpredictable or a counter as the cipher wants it, and of
    its `iv_octets`. Padding is the least the cipher needs.
    """
    first, chain = write_chain(message.payloads)
    return seal_chain(message.write_header, first, chain, cipher, iv)


def seal_chain(
    header: WriteHeader, first: PayloadType, chain: bytes, cipher: SkCipher, iv: bytes, ahead: Payload | None = None
) -> bytes:
    """As `seal`, where the chain of payloads is written already. `ahead` goes in clear before the SK payload."""
    if ahead is not None:
        return _behind(ahead, header, PayloadType.SK, first, chain, cipher, iv)
    padding = -(len(chain) + 1) % cipher.block_octets
    plain = b"%b%b%c" % (chain, bytes(padding), padding)
    sk_octets = GENERIC_OCTETS + len(iv) + len(plain) + cipher.icv_octets
    associated = header(PayloadType.SK, HEADER_OCTETS + sk_octets) + GENERIC.pack(first, 0, sk_octets)
    return b"".join((associated, iv, cipher.seal(iv, associated, plain)))


def sealed_octets(chain: bytes, cipher: SkCipher) -> int:
    """How long a message with that chain of payloads will be, sealed whole."""
    padded = len(chain) + 1 + -(len(chain) + 1) % cipher.block_octets
    return CLEAR_OCTETS + cipher.iv_octets + padded + cipher.icv_octets


def seal_fragments(
    header: WriteHeader,
    first: PayloadType,
    chain: bytes,
    cipher: SkCipher,
    iv: Callable[[], bytes],
    limit: int,
    ahead: Payload | None = None,
) -> tuple[bytes, ...]:
    """The chain of payloads in fragments, none longer than `limit` octets (RFC 7383 §2.5).

    `iv` gives a fresh one for each of them. `ahead` goes in clear before the first SKF payload (§2.5.3), and
    makes all of them that much shorter. Raises ValueError if the limit leaves no room for anything.
    """
    if ahead is not None:
        limit -= GENERIC_OCTETS + len(ahead.body())
    room = limit - CLEAR_OCTETS - SKF.LAYOUT.size - cipher.iv_octets - cipher.icv_octets
    room -= room % cipher.block_octets + 1
    if room < 1:
        raise ValueError(f"fragments of {limit} octets have no room for any content")
    pieces = [chain[start : start + room] for start in range(0, len(chain), room)] or [b""]
    sealed = []
    for number, piece in enumerate(pieces, 1):
        if number == 1 and ahead is not None:
            place = SKF.LAYOUT.pack(1, len(pieces))
            sealed.append(_behind(ahead, header, PayloadType.SKF, first, piece, cipher, iv(), place))
            continue
        padding = -(len(piece) + 1) % cipher.block_octets
        plain = b"%b%b%c" % (piece, bytes(padding), padding)
        fresh = iv()
        octets = GENERIC_OCTETS + SKF.LAYOUT.size + len(fresh) + len(plain) + cipher.icv_octets
        inside = first if number == 1 else PayloadType.NONE
        associated = (
            header(PayloadType.SKF, HEADER_OCTETS + octets)
            + GENERIC.pack(inside, 0, octets)
            + SKF.LAYOUT.pack(number, len(pieces))
        )
        sealed.append(b"".join((associated, fresh, cipher.seal(fresh, associated, plain))))
    return tuple(sealed)


def _behind(
    ahead: Payload,
    header: WriteHeader,
    kind: PayloadType,
    first: PayloadType,
    chain: bytes,
    cipher: SkCipher,
    iv: bytes,
    place: bytes = b"",
) -> bytes:
    """A message whose payload `ahead` goes in clear, the chain in one of `kind` behind it, that begins with `place`.

    What goes in clear is authenticated as the header is (RFC 7296 §3.14, RFC 5282 §5.1).
    """
    padding = -(len(chain) + 1) % cipher.block_octets
    plain = b"%b%b%c" % (chain, bytes(padding), padding)
    body = ahead.body()
    octets = GENERIC_OCTETS + len(place) + len(iv) + len(plain) + cipher.icv_octets
    associated = b"".join(
        (
            header(ahead.TYPE, HEADER_OCTETS + GENERIC_OCTETS + len(body) + octets),
            GENERIC.pack(kind, ahead.FLAGS, GENERIC_OCTETS + len(body)),
            body,
            GENERIC.pack(first, 0, octets),
            place,
        )
    )
    return b"".join((associated, iv, cipher.seal(iv, associated, plain)))


CLEAR_OCTETS = HEADER_OCTETS + GENERIC_OCTETS
_NEXT_PAYLOAD = 16
"""Where the header names the first payload."""


def clear_form(sealed: bytes, chain: bytes, sk_at: int = HEADER_OCTETS) -> bytes:
    """What IntAuth covers of a sealed message: A | P of RFC 9242 §3.3.2.

    A is the IKE header, payloads in clear if there are any, and the generic
    header of the SK payload, which is at `sk_at`, lengths as if there were no
    IV, padding and ICV; P is the chain of inner payloads. Of a message in
    fragments `sealed` is the first: A is as if it had been sent whole.
    """
    octets = GENERIC_OCTETS + len(chain)
    head, names, at = bytearray(sealed[:sk_at]), _NEXT_PAYLOAD, HEADER_OCTETS
    while at < sk_at:
        names, at = at, at + GENERIC.unpack_from(sealed, at)[2]
    head[names] = PayloadType.SK
    head[HEADER_OCTETS - 4 : HEADER_OCTETS] = (sk_at + octets).to_bytes(4, "big")
    return b"".join((head, sealed[sk_at : sk_at + 2], octets.to_bytes(2, "big"), chain))


@record
class Piece:
    """The content of a fragment that verified: part `number` of `total` of a chain that begins with `first`.

    `datagram` is the fragment as it came.
    """

    first: PayloadType
    number: int
    total: int
    content: bytes
    datagram: bytes


def open_sealed(header: Header, datagram: bytes, cipher: SkCipher) -> Message:
    """The message that is inside the SK payload of a datagram with that header.

    Payloads that stood in clear before the SK payload are left out.

    Raises:
        IntegrityFailure: there is no SK payload, or it did not verify.
        WireError: it verified, and its content is malformed.
    """
    sk = _last_outside(header, datagram)
    if not isinstance(sk, SK):
        raise IntegrityFailure("the message is not protected")
    return _opened(header, sk, _plain(sk.data, datagram, cipher), datagram)


def open_fragment(header: Header, datagram: bytes, cipher: SkCipher) -> Piece:
    """What is inside the SKF payload of a datagram with that header.

    Raises:
        IntegrityFailure: there is no SKF payload, or it did not verify.
        WireError: it verified, and its padding is malformed.
    """
    skf = _last_outside(header, datagram)
    if not isinstance(skf, SKF):
        raise IntegrityFailure("the message is no fragment")
    return Piece(skf.first, skf.number, skf.total, _plain(skf.data, datagram, cipher), datagram)


def join_fragments(pieces: Sequence[Piece]) -> Message:
    """The message that came in these pieces, all of them and in their order.

    Raises WireError if its content is malformed.
    """
    datagram = pieces[0].datagram  # by its own header: others have nothing in clear before the fragment
    header = Header.read(datagram)
    skf = _last_outside(header, datagram)
    assert isinstance(skf, SKF)
    return _opened(header, skf, b"".join([piece.content for piece in pieces]), datagram)


def _last_outside(header: Header, datagram: bytes) -> Payload | None:
    """What ends the chain of payloads that nothing protects. Raises IntegrityFailure if that is malformed."""
    try:
        payloads = read_chain(header.next_payload, datagram, HEADER_OCTETS)
    except WireError as failure:
        raise IntegrityFailure(f"malformed outside of its protection: {failure}") from failure
    return payloads[-1] if payloads else None


def _plain(sealed: bytes, datagram: bytes, cipher: SkCipher) -> bytes:
    """The content of an encrypted payload at the end of the datagram, padding taken off."""
    iv_octets = cipher.iv_octets
    encrypted = len(sealed) - iv_octets - cipher.icv_octets
    if encrypted <= 0 or encrypted % cipher.block_octets:
        raise IntegrityFailure("the length of the encrypted payload is not one of this cipher")
    plain = cipher.open(sealed[:iv_octets], datagram[: -len(sealed)], sealed[iv_octets:])
    end = len(plain) - 1 - plain[-1]  # the last octet is the Pad Length; the padding may be anything
    if end < 0:
        raise WireError(f"{plain[-1]} octets of padding in {len(plain)} octets")
    return plain[:end]


def _opened(header: Header, enclosing: SK | SKF, chain: bytes, datagram: bytes) -> Message:
    """The message of a chain of payloads that proved itself."""
    payloads = read_chain(enclosing.first, chain)
    if payloads and isinstance(payloads[-1], Enclosing):
        raise WireError("an encrypted payload inside the encrypted payload")
    opened = Message.under(header, payloads)
    if header.exchange is ExchangeType.IKE_INTERMEDIATE:
        opened.clear_form = clear_form(datagram, chain, len(datagram) - GENERIC_OCTETS - len(enclosing.body()))
    return opened
