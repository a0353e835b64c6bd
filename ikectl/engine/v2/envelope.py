"""Envelope: between payloads and the octets of a protected message, with the keys an SA has just now."""

from __future__ import annotations

from ikectl.errors import IntegrityFailure, WireError
from ikectl.exchange.v2.ike_intermediate import cover
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload, write_chain
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sealed import clear_form, open_sealed, seal


def write(sa: IkeSa, exchange: ExchangeType, message_id: int, response: bool, payloads: list[Payload]) -> bytes:
    """A message of ours, sealed unless it is of IKE_SA_INIT (RFC 7296 §3.14)."""
    message = Message(sa.spi_i, sa.spi_r, exchange, message_id, response, sa.initiator, payloads)
    if exchange is ExchangeType.IKE_SA_INIT:
        return message.write()
    suite, keys = sa.suite, sa.keys
    assert suite is not None and keys is not None
    if sa.initiator:
        cipher = suite.ike_cipher(keys.sk_ei, keys.sk_ai)
    else:
        cipher = suite.ike_cipher(keys.sk_er, keys.sk_ar)
    octets = seal(message, cipher, sa.iv(cipher.iv_octets, suite.encryption.counter_iv))
    if exchange is ExchangeType.IKE_INTERMEDIATE and sa.handshake is not None:
        cover(sa, clear_form(octets, write_chain(payloads)[1]), sa.initiator)
    return octets


def open_message(sa: IkeSa, header: Header, datagram: bytes) -> Message:
    """The peer's message, verified and decrypted.

    Raises:
        IntegrityFailure: it did not verify, or comes from no peer of this SA.
        WireError: it is authentic and malformed.
    """
    suite, keys = sa.suite, sa.keys
    if suite is None or keys is None:
        raise IntegrityFailure("there are no keys yet")
    try:
        message = Message.read(datagram, header)
    except WireError as failure:
        raise IntegrityFailure(f"malformed outside of its protection: {failure}") from failure
    if message.initiator == sa.initiator:
        raise IntegrityFailure("it claims to come from our own role")
    if sa.initiator:
        cipher = suite.ike_cipher(keys.sk_er, keys.sk_ar)
    else:
        cipher = suite.ike_cipher(keys.sk_ei, keys.sk_ai)
    opened = open_sealed(message, datagram, cipher)
    if opened.clear_form and sa.handshake is not None:
        cover(sa, opened.clear_form, not sa.initiator)
    return opened
