"""Forge: messages as a peer could craft them, honest or not, octet by octet.

`seal` wraps any octets, well-formed or not, in a good encryption, and `Impostor`
speaks with the keys of one end of a live SA to the other end of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import shake_128
from itertools import count
from struct import Struct
from typing import Any

from ikectl.crypto import ke
from ikectl.crypto.proposal import parse_proposal
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, PayloadType, Protocol, exchange_type, payload_type
from ikectl.values.path import Endpoint, Path
from ikectl.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, HEADER, HEADER_OCTETS, NO_SPI, VERSION_2
from ikectl.wire.payload import Payload, write_chain
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.sealed import SkCipher, seal_fragments
from tests.sim.host import Host
from tests.sim.site import IKE
from tests.sim.tape import Tape
from tests.sim.wiretap import Seen, Wiretap

GENERIC = Struct("!BBH")
RESERVED_FLAGS = 0xC7
"""The X bits of the header's flags (RFC 7296 §3.1)."""
RESERVED_IN = {
    PayloadType.KE: (2, 3),
    PayloadType.IDI: (1, 2, 3),
    PayloadType.IDR: (1, 2, 3),
    PayloadType.AUTH: (1, 2, 3),
    PayloadType.TSI: (1, 2, 3),
    PayloadType.TSR: (1, 2, 3),
    PayloadType.SA: (1,),
}
"""Reserved octets in the bodies of payloads, by offset (of the first proposal alone in SA)."""

_ivs = count(1)

Chain = tuple[int, bytes]
"""The type of the first payload and the octets of all."""


def chain_of(payloads: Sequence[Payload]) -> Chain:
    """Well-formed octets of payloads."""
    first, octets = write_chain(payloads)
    return int(first), octets


def with_flags(chain: Chain, flags: int, *, bodies: bool = False) -> Chain:
    """Set bits in the flags octet of every generic header; with `bodies` all reserved octets too."""
    octets, number, start = bytearray(chain[1]), chain[0], 0
    while number:
        following, _, length = GENERIC.unpack_from(octets, start)
        octets[start + 1] |= flags
        for offset in RESERVED_IN.get(payload_type(number), ()) if bodies else ():
            octets[start + 4 + offset] = 0xA5
        number, start = following, start + length
    return chain[0], bytes(octets)


def clear(
    chain: Chain,
    *,
    spi_i: bytes,
    spi_r: bytes = NO_SPI,
    exchange: int = ExchangeType.IKE_SA_INIT,
    message_id: int = 0,
    response: bool = False,
    initiator: bool = True,
    version: int = VERSION_2,
    flags: int = 0,
    length: int | None = None,
) -> bytes:
    """A message without protection; `flags` are added, `length` is a lie if given."""
    flags |= (FLAG_INITIATOR if initiator else 0) | (FLAG_RESPONSE if response else 0)
    octets = HEADER_OCTETS + len(chain[1]) if length is None else length
    return HEADER.pack(spi_i, spi_r, chain[0], version, exchange, flags, message_id, octets) + chain[1]


def seal(
    like: Message,
    cipher: SkCipher,
    chain: Chain,
    *,
    padding: bytes | None = None,
    pad_length: int | None = None,
    version: int = VERSION_2,
    flags: int = 0,
    before: Chain = (0, b""),
    critical: bool = False,
) -> bytes:
    """A protected message with the header of `like` around any chain.

    `padding` and `pad_length` are the least that fits if not given; `before`
    are payloads in clear in front of SK; `critical` is SK's own critical bit.
    """
    flags |= (FLAG_INITIATOR if like.initiator else 0) | (FLAG_RESPONSE if like.response else 0)
    if padding is None:
        padding = bytes(-(len(chain[1]) + 1) % cipher.block_octets)
    plain = chain[1] + padding + bytes((len(padding) if pad_length is None else pad_length,))
    iv = shake_128(b"forged" + next(_ivs).to_bytes(8, "big")).digest(cipher.iv_octets)
    sk_octets = GENERIC.size + len(iv) + len(plain) + cipher.icv_octets
    ahead, first = b"", int(PayloadType.SK)
    if before[0]:
        ahead, first = _leading_to_sk(before), before[0]
    length = HEADER_OCTETS + len(ahead) + sk_octets
    head = HEADER.pack(like.spi_i, like.spi_r, first, version, like.exchange, flags, like.message_id, length)
    associated = head + ahead + GENERIC.pack(chain[0], 0x80 if critical else 0, sk_octets)
    return associated + iv + cipher.seal(iv, associated, plain)


def _leading_to_sk(chain: Chain) -> bytes:
    """The chain with its last payload naming SK as the next."""
    octets, start = bytearray(chain[1]), 0
    while True:
        following, _, length = GENERIC.unpack_from(octets, start)
        if not following:
            octets[start] = PayloadType.SK
            return bytes(octets)
        start += length


class Impostor:
    """Speaks for `host` to the peer of its only IKE SA, with its keys and numbers."""

    def __init__(self, wire: Wiretap, host: Host) -> None:
        self.wire = wire
        self.world = wire.world
        self.host = host
        (self.machine,) = host.machines
        self.sa = self.machine.sa
        self.path: Path = self.sa.path
        """Where it speaks from; a test may set another."""
        self.cipher = wire.cipher(self.sa.spi_i, self.sa.spi_r, self.sa.initiator)

    def seal(
        self,
        exchange: int,
        payloads: Sequence[Payload] | Chain,
        *,
        message_id: int,
        response: bool = False,
        **odd: object,
    ) -> bytes:
        """A protected message of the host; `odd` as in the function of that name."""
        like = Message(
            self.sa.spi_i,
            self.sa.spi_r,
            exchange_type(exchange),
            message_id,
            response,
            self.sa.initiator,
            [],
        )
        chain = payloads if isinstance(payloads, tuple) else chain_of(payloads)
        return seal(like, self.cipher, chain, **odd)  # type: ignore[arg-type]

    def deliver(self, octets: bytes) -> list[Seen]:
        """Let octets arrive at the peer; what is sent at once because of it."""
        mark = len(self.wire.seen)
        self.world.flush()
        if self.path.local.port != 500:
            octets = bytes(4) + octets
        self.world.deliver(octets, self.path.local, self.path.remote)
        self.world.flush()
        self.world.check()
        return self.wire.seen[mark:]

    def request(
        self,
        exchange: int,
        payloads: Sequence[Payload] | Chain,
        *,
        message_id: int | None = None,
        change: Callable[[bytes], bytes] = lambda octets: octets,
        **odd: Any,
    ) -> Message | None:
        """Send a request, of the next number if none is given; the peer's response, if it gives one."""
        number = self.machine.window.next_request if message_id is None else message_id
        seen = self.deliver(change(self.seal(exchange, payloads, message_id=number, **odd)))
        answers = [each.message for each in seen if each.message.response and each.message.message_id == number]
        if message_id is None and answers:
            self.machine.window.next_request += 1
        return answers[0] if answers else None

    def fragments(self, chain: Chain, limit: int) -> list[Seen]:
        """Send an INFORMATIONAL request in fragments of at most `limit` octets; what the peer sends at once."""
        number = self.machine.window.next_request
        ends = self.sa.spi_i, self.sa.spi_r
        like = Message(*ends, ExchangeType.INFORMATIONAL, number, False, self.sa.initiator, [])

        def iv() -> bytes:
            return shake_128(b"forged" + next(_ivs).to_bytes(8, "big")).digest(self.cipher.iv_octets)

        mark = len(self.wire.seen)
        for octets in seal_fragments(like.write_header, payload_type(chain[0]), chain[1], self.cipher, iv, limit):
            self.deliver(octets)
        return self.wire.seen[mark:]

    def respond(self, to: Seen, payloads: Sequence[Payload] | Chain, **odd: Any) -> list[Seen]:
        """Answer a request of the peer that the host never saw; what the peer sends at once."""
        self.machine.window.expected = to.message.message_id + 1
        octets = self.seal(to.message.exchange, payloads, message_id=to.message.message_id, response=True, **odd)
        return self.deliver(octets)


class Stranger:
    """Somebody at an address who sends what they like to `target`, and sees what comes of it."""

    def __init__(self, wire: Wiretap, target: Host, address: str, port: int = 500, seed: int = 7) -> None:
        self.wire = wire
        self.world = wire.world
        self.here = Endpoint.parse(address, port)
        self.there = Endpoint.parse(target.address, 500)
        self.random = Tape(seed, f"{address}/{port}")
        self.spi = self.random(8)

    def send(self, octets: bytes) -> list[Seen]:
        """What is sent at once because of it."""
        self.world.flush()
        mark = len(self.wire.seen)
        self.world.deliver(octets, self.here, self.there)
        self.world.flush()
        self.world.check()
        return self.wire.seen[mark:]

    def initial(self, ike: str = IKE, group: KeyExchangeMethod = KeyExchangeMethod.CURVE_25519) -> list[Payload]:
        """SA, KE, Ni as an honest initiator would send."""
        offered = tuple(
            parse_proposal(word, Protocol.IKE)._replace(number=number) for number, word in enumerate(ike.split(","), 1)
        )
        return [SA(offered), KE(group, ke.generate(group, self.random).public), Nonce(self.random(32))]

    def ask(self, payloads: Sequence[Payload] | Chain | None = None, **header: object) -> list[Seen]:
        """An IKE_SA_INIT request, honest if nothing is given."""
        if payloads is None:
            payloads = self.initial()
        chain = payloads if isinstance(payloads, tuple) else chain_of(payloads)
        header.setdefault("spi_i", self.spi)
        return self.send(clear(chain, **header))  # type: ignore[arg-type]
