"""Envelope: between payloads and the octets of an IKEv1 message, with the keys an SA has just now.

Encryption is CBC over a chain: each message's IV is the last ciphertext block
before it, and the first one of an exchange after phase 1 comes from the last
block of phase 1 and the message ID (RFC 2409 App. B).
"""

from __future__ import annotations

from hmac import compare_digest

from ikectl.crypto.kdf_v1 import phase2_iv
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.engine.v1.conversation import Conversation
from ikectl.errors import IntegrityFailure, WireError
from ikectl.exchange.v1.base import Guard
from ikectl.iana.v1 import ExchangeType
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.message import FLAG_ENCRYPTION, Message, frame
from ikectl.wire.v1.payload import Payload, write_chain


def write(
    sa: IsakmpSa, conversation: Conversation, payloads: list[Payload], *, clear: bool = False, commit: bool = False
) -> tuple[bytes, list[Payload]]:
    """The octets and payloads of a message of ours: with its HASH where it has one, encrypted once there are keys."""
    exchange = conversation.exchange
    if exchange.PROTECTED and not clear:
        payloads = [Hash(_hash(sa, exchange.outgoing(), conversation.message_id, write_chain(payloads)[1])), *payloads]
    encrypted = sa.keys is not None and not clear
    message = Message(
        sa.spi_i, sa.spi_r, exchange.type, conversation.message_id, payloads, encrypted=encrypted, commit=commit
    )
    if not encrypted:
        return message.write(), payloads
    suite, keys = sa.suite, sa.keys
    assert suite is not None and keys is not None
    iv = first_iv(sa, conversation)
    octets = frame(message, lambda plain: suite.encrypt(keys.cipher_key, iv, plain), suite.block_octets)
    advance(sa, conversation, octets[-suite.block_octets :])
    return octets, payloads


def open_message(sa: IsakmpSa, conversation: Conversation, header: Header, datagram: bytes) -> tuple[Message, bytes]:
    """The peer's message and the IV of the one after it; nothing is changed.

    What an exchange after phase 1 says is verified; phase 1 proves itself in
    its own payloads, and comes in clear as long as there are no keys.

    Raises:
        IntegrityFailure: it does not decrypt or verify, or is in clear where it must not be.
        WireError: malformed, in clear.
    """
    protected = conversation.exchange.PROTECTED
    if not header.flags & FLAG_ENCRYPTION:
        if protected:
            raise IntegrityFailure("it is not encrypted")
        return _known(Message.read(datagram, header)), b""
    suite, keys = sa.suite, sa.keys
    if suite is None or keys is None:
        raise IntegrityFailure("it is encrypted, and there are no keys yet")
    iv, sealed = first_iv(sa, conversation), datagram[HEADER_OCTETS:]
    try:
        message = Message.open(header, suite.decrypt(keys.cipher_key, iv, sealed))
    except WireError as failure:
        other = None if protected else _open_otherwise(sa, suite, header, iv, sealed)
        if other is None:
            raise IntegrityFailure(f"it does not decrypt to anything sensible ({failure})") from failure
        message = other
    if protected:
        _verify(sa, conversation.exchange.incoming(), message)
    return _known(message), datagram[-suite.block_octets :]


def _known(message: Message) -> Message:
    """The message. Raises WireError if there is a payload of a reserved type (RFC 2408 §5.3)."""
    if message.unknown is not None:
        raise WireError(f"a payload of the unknown type {message.unknown}")
    return message


def _open_otherwise(sa: IsakmpSa, suite: IsakmpSuite, header: Header, iv: bytes, sealed: bytes) -> Message | None:
    """Main mode's message 5 with the other pre-shared keys that may be the peer's; the one that fits is in use then."""
    shake = sa.handshake
    for place, (secret, keys) in enumerate(shake.others if shake is not None else ()):
        try:
            message = Message.open(header, suite.decrypt(keys.cipher_key, iv, sealed))
        except WireError:
            continue
        assert shake is not None and sa.keys is not None
        others = [*shake.others]
        others[place] = shake.psk, sa.keys  # this one was not proven either
        shake.others, shake.psk, sa.keys = tuple(others), secret, keys
        return message
    return None


def first_iv(sa: IsakmpSa, conversation: Conversation) -> bytes:
    """The IV of the next message of the conversation."""
    if conversation.iv:
        return conversation.iv
    if conversation.exchange.type in PHASE_1:
        return sa.last_block
    assert sa.suite is not None
    return phase2_iv(sa.suite, sa.last_block, conversation.message_id)


def advance(sa: IsakmpSa, conversation: Conversation, block: bytes) -> None:
    """`block` was the last one of a message of the conversation."""
    conversation.iv = block
    if conversation.exchange.type in PHASE_1:
        sa.last_block = block


PHASE_1 = frozenset({ExchangeType.IDENTITY_PROTECTION, ExchangeType.AGGRESSIVE})


def _verify(sa: IsakmpSa, guard: Guard, message: Message) -> None:
    """Raises IntegrityFailure unless the message begins with the right HASH."""
    first = message.payloads[0] if message.payloads else None
    if not isinstance(first, Hash):
        raise IntegrityFailure("it does not begin with a HASH")
    if not compare_digest(first.data, _hash(sa, guard, message.message_id, message.after_first)):
        raise IntegrityFailure("its HASH is wrong")
    if guard.alone:
        del message.payloads[1:]  # not covered, so as good as not there


def _hash(sa: IsakmpSa, guard: Guard, message_id: int, following: bytes) -> bytes:
    """RFC 2409 §5.5 and §5.7; for transactions draft-dukes-ike-mode-cfg-02 §3.1."""
    assert sa.suite is not None and sa.keys is not None
    covered = b"" if guard.alone else following
    octets = b"".join((guard.lead, message_id.to_bytes(4, "big"), guard.binding, covered))
    return sa.suite.prf.compute(sa.keys.skeyid_a, octets)
