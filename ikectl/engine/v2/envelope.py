"""Envelope: between payloads and the octets of a protected message, with the keys an SA has just now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ikectl.crypto.cipher import SkCipher
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.errors import IntegrityFailure
from ikectl.exchange.v2.ike_intermediate import cover
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.header import HEADER_OCTETS, Header, write_header
from ikectl.wire.payload import Payload, write_chain
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.puzzle import PuzzleSolution
from ikectl.wire.v2.sealed import (
    Piece,
    WriteHeader,
    clear_form,
    join_fragments,
    open_fragment,
    open_sealed,
    seal_chain,
    seal_fragments,
    sealed_octets,
)

ALWAYS_WHOLE = 400
"""Octets of payloads that fit into every path's datagram, whatever seals them: most messages are asked no more."""

Limit = Callable[[IkeSa], int]

_IN_CLEAR = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME
_INTERMEDIATE = ExchangeType.IKE_INTERMEDIATE


def write(
    sa: IkeSa, exchange: ExchangeType, message_id: int, response: bool, payloads: list[Payload], limit: Limit
) -> tuple[bytes, ...]:
    """A message of ours, sealed unless it is of IKE_SA_INIT or IKE_SESSION_RESUME (RFC 7296 §3.14).

    One longer than the octets `limit` tells, unless that is 0, is cut into fragments (RFC 7383 §2.5).
    """
    header = partial(write_header, sa.spi_i, sa.spi_r, exchange, message_id, response, sa.initiator)
    if exchange in _IN_CLEAR:
        first, chain = write_chain(payloads)
        return (header(first, HEADER_OCTETS + len(chain)) + chain,)
    datagrams, chain = _sealed(sa, header, payloads, limit)
    if exchange is _INTERMEDIATE and sa.handshake is not None:
        cover(sa, clear_form(datagrams[0], chain), sa.initiator)
    return datagrams


def cut_anew(
    sa: IkeSa, exchange: ExchangeType, message_id: int, payloads: list[Payload], limit: int
) -> tuple[bytes, ...]:
    """A request that was sent already, in fragments of another size (RFC 7383 §2.5.2)."""
    header = partial(write_header, sa.spi_i, sa.spi_r, exchange, message_id, False, sa.initiator)
    return _sealed(sa, header, payloads, lambda sa: limit)[0]


def cut_reply_anew(sa: IkeSa, datagrams: tuple[bytes, ...], keys: IkeKeys, limit: int) -> tuple[bytes, ...]:
    """A reply that was sent already, sealed with `keys`, in fragments of another size. It says the very same.

    It is opened again, because a reply that is kept by its content as well would double what an SA takes. The IVs
    are fresh ones, so no number is used twice with these keys.
    """
    cipher = _own_cipher(sa, keys)
    if len(datagrams) == 1:
        message = open_sealed(Header.read(datagrams[0]), datagrams[0], cipher)
    else:
        message = join_fragments([open_fragment(Header.read(each), each, cipher) for each in datagrams])
    first, chain = write_chain(message.payloads)
    fresh = partial(sa.iv, cipher.iv_octets, cipher.counter_iv)
    return seal_fragments(message.write_header, first, chain, cipher, fresh, limit, None)


def _own_cipher(sa: IkeSa, keys: IkeKeys) -> SkCipher:
    """What seals our messages."""
    assert sa.suite is not None
    if sa.initiator:
        return sa.suite.ike_cipher(keys.sk_ei, keys.sk_ai)
    return sa.suite.ike_cipher(keys.sk_er, keys.sk_ar)


def _sealed(sa: IkeSa, header: WriteHeader, payloads: list[Payload], limit: Limit) -> tuple[tuple[bytes, ...], bytes]:
    """The datagrams of a protected message, and its chain of payloads."""
    assert sa.keys is not None
    cipher = _own_cipher(sa, sa.keys)
    ahead = None
    if payloads and isinstance(payloads[0], PuzzleSolution):
        # It stands in clear, so that it can be checked before anything is (RFC 8019 §7.2.2).
        ahead, *payloads = payloads
    first, chain = write_chain(payloads)
    if len(chain) > ALWAYS_WHOLE and 0 < (most := limit(sa)) < sealed_octets(chain, cipher):
        fresh = partial(sa.iv, cipher.iv_octets, cipher.counter_iv)
        return seal_fragments(header, first, chain, cipher, fresh, most, ahead), chain
    return (seal_chain(header, first, chain, cipher, sa.iv(cipher.iv_octets, cipher.counter_iv), ahead),), chain


def open_message(sa: IkeSa, header: Header, datagram: bytes) -> Message:
    """The peer's message, verified and decrypted.

    Raises:
        IntegrityFailure: it did not verify, or comes from no peer of this SA.
        WireError: it is authentic and malformed.
    """
    opened = open_sealed(header, datagram, _peer_cipher(sa, header, sa.keys))
    take_cover(sa, opened)
    return opened


def open_piece(sa: IkeSa, header: Header, datagram: bytes, keys: IkeKeys | None) -> Piece:
    """A fragment of the peer, verified and decrypted with `keys`.

    Raises:
        IntegrityFailure: it did not verify, or comes from no peer of this SA.
        WireError: it is authentic and malformed.
    """
    return open_fragment(header, datagram, _peer_cipher(sa, header, keys))


def take_cover(sa: IkeSa, opened: Message) -> None:
    """A message of the peer proved itself: IntAuth covers it, if it is one of IKE_INTERMEDIATE (RFC 9242 §3.3.2)."""
    if opened.clear_form and sa.handshake is not None:
        cover(sa, opened.clear_form, not sa.initiator)


def _peer_cipher(sa: IkeSa, header: Header, keys: IkeKeys | None) -> SkCipher:
    """What opens the peer's message of that header. Raises IntegrityFailure if the peer cannot have sent it."""
    suite = sa.suite
    if suite is None or keys is None:
        raise IntegrityFailure("there are no keys yet")
    if header.from_initiator == sa.initiator:
        raise IntegrityFailure("it claims to come from our own role")
    if sa.initiator:
        return suite.ike_cipher(keys.sk_er, keys.sk_ar)
    return suite.ike_cipher(keys.sk_ei, keys.sk_ai)
