"""Forge of IKEv1: messages as a peer could craft them, honest or not, octet by octet.

A `Voice` speaks with cookies and keys, well or badly. An `Impostor` has those
of one end of a live SA; a `Peer` makes its own by following the RFC step by
step, and each step can be bent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from ikectl.crypto import ke
from ikectl.crypto.kdf_v1 import IsakmpKeys, derive, hash_i, hash_r, phase1_iv, skeyid_psk
from ikectl.crypto.ke import KePair
from ikectl.crypto.proposal_v1 import accepted_phase1
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.iana.v1 import KEY_IKE, AuthMethod, ExchangeType, Phase1Attribute, ProtocolId
from ikectl.iana.v2 import KeyExchangeMethod
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.header import HEADER, HEADER_OCTETS, NO_SPI, NON_ESP_MARKER
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import FLAG_ENCRYPTION, VERSION_1, Message
from ikectl.wire.v1.payload import Payload, write_chain
from ikectl.wire.v1.sa import SA, Proposal, Transform
from tests.sim.host import Host
from tests.sim.tape import Tape
from tests.sim.wiretap_v1 import AGGRESSIVE, MAIN, QUICK, Facts, Seen, Wiretap, quick_hash

Chain = tuple[int, bytes]
"""The type of the first payload and the octets of all."""

Change = Callable[[list[Payload]], list[Payload] | Chain]
"""Bends a step: other payloads, or any octets."""

_ids = count(0x01020304)


def honest(payloads: list[Payload]) -> list[Payload]:
    """No change."""
    return payloads


def chain_of(payloads: Sequence[Payload] | Chain) -> Chain:
    """The octets of payloads; those of a chain are as they are."""
    if isinstance(payloads, tuple):
        return payloads
    first, octets = write_chain(payloads)
    return int(first), octets


def reserved(payloads: Sequence[Payload], place: int = 0, value: int = 1) -> Chain:
    """The chain with the RESERVED octet of one generic header set."""
    first, octets = chain_of(list(payloads))
    start = sum(4 + len(each.body()) for each in payloads[:place])
    return first, octets[: start + 1] + bytes((value,)) + octets[start + 2 :]


def clear(
    chain: Sequence[Payload] | Chain,
    *,
    cookie_i: bytes,
    cookie_r: bytes = NO_SPI,
    exchange: int = MAIN,
    message_id: int = 0,
    flags: int = 0,
    version: int = VERSION_1,
    length: int | None = None,
) -> bytes:
    """A message without protection; `length` is a lie if given."""
    first, octets = chain_of(chain)
    size = HEADER_OCTETS + len(octets) if length is None else length
    return HEADER.pack(cookie_i, cookie_r, first, version, exchange, flags, message_id, size) + octets


def lies(change: bytes, at: int) -> Callable[[bytes], bytes]:
    """Puts other octets at a place of a datagram."""
    return lambda octets: octets[:at] + change + octets[at + len(change) :]


class Voice:
    """Somebody at an address who speaks to `target` with cookies and, once it has them, keys."""

    def __init__(self, wire: Wiretap, target: Host, here: Endpoint, there: Endpoint) -> None:
        self.wire, self.world, self.target = wire, wire.world, target
        self.here, self.there = here, there
        self.cookie_i, self.cookie_r = NO_SPI, NO_SPI
        self.suite: IsakmpSuite | None = None
        self.keys: IsakmpKeys | None = None

    @property
    def cookies(self) -> tuple[bytes, bytes]:
        return self.cookie_i, self.cookie_r

    # -- crafting ---------------------------------------------------------------

    def clear(self, payloads: Sequence[Payload] | Chain, kind: int, **odd: object) -> bytes:
        """In clear; `odd` as in the function of that name."""
        odd = {"cookie_i": self.cookie_i, "cookie_r": self.cookie_r, "exchange": kind, **odd}
        return clear(payloads, **odd)  # type: ignore[arg-type]

    def seal(
        self,
        payloads: Sequence[Payload] | Chain,
        exchange: int,
        message_id: int,
        *,
        padding: bytes | None = None,
        flags: int = 0,
        iv: bytes | None = None,
        version: int = VERSION_1,
    ) -> bytes:
        """Encrypted as the next message of that ID; no HASH is added. `padding` is what the RFC has, if not given."""
        assert self.suite is not None and self.keys is not None
        first, octets = chain_of(payloads)
        block = self.suite.block_octets
        octets += bytes(-len(octets) % block) if padding is None else padding
        start = self.wire.iv(self.cookies, message_id, self.target) if iv is None else iv
        sealed = self.suite.encrypt(self.keys.cipher_key, start, octets)
        head = (*self.cookies, first, version, exchange, FLAG_ENCRYPTION | flags, message_id)
        return HEADER.pack(*head, HEADER_OCTETS + len(sealed)) + sealed

    def hashed(self, payloads: Sequence[Payload] | Chain, message_id: int, nonces: Sequence[bytes] = ()) -> Chain:
        """The payloads behind the HASH that proves them; `nonces` are those said before in a quick mode."""
        assert self.suite is not None and self.keys is not None
        first, rest = chain_of(payloads)
        proof = quick_hash(self.suite, self.keys, message_id, rest, list(nonces))
        return 8, bytes((first, 0)) + (4 + len(proof.data)).to_bytes(2, "big") + proof.data + rest

    # -- speaking ---------------------------------------------------------------

    def deliver(self, octets: bytes) -> list[Seen]:
        """Let octets arrive at the target; what is sent at once because of it, by anybody."""
        mark = len(self.wire.seen)
        self.world.flush()
        mark = len(self.wire.seen)
        marker = NON_ESP_MARKER if self.there.port != 500 else b""
        self.world.deliver(marker + octets, self.here, self.there)
        self.world.flush()
        self.world.check()
        return self.wire.seen[mark:]

    def say(
        self,
        payloads: Sequence[Payload] | Chain,
        exchange: int = ExchangeType.INFORMATIONAL,
        message_id: int | None = None,
        *,
        nonces: Sequence[bytes] = (),
        prove: bool = True,
        change: Callable[[bytes], bytes] = lambda octets: octets,
        **odd: object,
    ) -> list[Seen]:
        """A protected message, with its HASH unless `prove` is False; what is sent at once because of it."""
        number = self.new_id() if message_id is None else message_id
        chain = self.hashed(payloads, number, nonces) if prove else payloads
        octets = change(self.seal(chain, exchange, number, **odd))  # type: ignore[arg-type]
        self.spoke(number, octets)
        return self.deliver(octets)

    def spoke(self, message_id: int, octets: bytes) -> None:
        """The chain of IVs goes on from this message."""
        assert self.suite is not None
        self.wire.advance(self.cookies, message_id, octets[-self.suite.block_octets :])

    def unsay(self, message_id: int) -> None:
        """The target did not hear our last message of that ID: its chain does not go on from there."""
        self.wire.chains[(*self.cookies, message_id)].blocks.pop()

    def new_id(self) -> int:
        """A message ID nobody has used."""
        return next(_ids)

    # -- quick mode -------------------------------------------------------------

    def quick(self, payloads: Sequence[Payload], message_id: int | None = None, **odd: object) -> Quick:
        """Message 1 of a quick mode, and the answer."""
        return Quick(self, list(payloads), self.new_id() if message_id is None else message_id, odd)


class Quick:
    """A quick mode that a voice begins."""

    def __init__(self, voice: Voice, payloads: list[Payload], message_id: int, odd: dict[str, object]) -> None:
        self.voice, self.message_id = voice, message_id
        self.nonce = next((each.value for each in payloads if isinstance(each, Nonce)), b"")
        self.seen = voice.say(payloads, QUICK, message_id, **odd)  # type: ignore[arg-type]

    @property
    def answer(self) -> Message | None:
        """Message 2, opened; None if there was none."""
        found = [each.message for each in self.seen if each.message.message_id == self.message_id]
        return found[0] if found else None

    @property
    def told(self) -> list[Message]:
        """What the target said at once in other exchanges."""
        return [each.message for each in self.seen if each.message.message_id != self.message_id]

    def confirm(self, **odd: object) -> list[Seen]:
        """Message 3."""
        assert self.answer is not None
        nonces = self.nonce, self.answer.one(Nonce).value
        return self.voice.say((0, b""), QUICK, self.message_id, nonces=nonces, **odd)  # type: ignore[arg-type]


class Impostor(Voice):
    """Speaks for `host` to the peer of its only ISAKMP SA, with its keys."""

    def __init__(self, wire: Wiretap, host: Host) -> None:
        (machine,) = host.machines
        sa = machine.sa
        super().__init__(wire, wire.world.hosts[sa.path.remote.host], sa.path.local, sa.path.remote)
        self.host, self.machine, self.sa = host, machine, sa
        self.cookie_i, self.cookie_r = sa.spi_i, sa.spi_r
        self.suite, self.keys = wire.keys_of(self.cookies)


class Peer(Voice):
    """A peer that authenticates with a pre-shared key, step by step, as initiator or responder of phase 1."""

    def __init__(
        self,
        wire: Wiretap,
        target: Host,
        address: str,
        *,
        port: int = 500,
        secret: bytes = b"a secret between friends",
        name: str = "moon.example.org",
        group: KeyExchangeMethod = KeyExchangeMethod.MODP_2048,
        seed: int = 7,
    ) -> None:
        super().__init__(wire, target, Endpoint.parse(address, port), Endpoint.parse(target.address, 500))
        self.random = Tape(seed, f"{address}/{port}")
        self.secret, self.identity, self.group = secret, ID.of(Identity.parse(name)), group
        self.nonce = self.random(32)
        self.their_nonce = b""
        self.pair: KePair = ke.generate(group, self.random)
        self.their_public = b""
        self.shared: Secret = NO_SECRET
        self.sa_body = b""
        self.initiator = True
        self.heard: list[Message] = []
        """What the target answered, in phase 1."""

    def transform(self, number: int = 1, **other: int | bytes) -> Transform:
        """AES-128, SHA2-256, a pre-shared key; `other` attributes by their names, 0 to leave one out."""
        values: dict[str, int | bytes] = {
            "ENCRYPTION": 7,
            "KEY_LENGTH": 128,
            "HASH": 4,
            "GROUP": int(self.group),
            "AUTH_METHOD": AuthMethod.PRE_SHARED_KEY,
            **other,
        }
        kinds = [(Phase1Attribute[name], value) for name, value in values.items() if value]
        return Transform(number, KEY_IKE, tuple(Attribute(kind, value) for kind, value in kinds))

    def offer(self, *transforms: Transform) -> SA:
        return SA((Proposal(1, ProtocolId.ISAKMP, b"", transforms or (self.transform(),)),))

    # -- as initiator -------------------------------------------------------------

    def main_1(self, change: Change = honest, vendors: Sequence[Payload] = (), **odd: object) -> list[Seen]:
        """SA -->, <-- SA."""
        self.cookie_i = self.random(8)
        payloads = change([self.offer(), *vendors])
        octets = self.clear(payloads, MAIN, **odd)
        self._remember_offer(octets)
        return self._hear(self.deliver(octets), SA)

    def main_3(self, change: Change = honest, more: Sequence[Payload] = (), **odd: object) -> list[Seen]:
        """KE, Ni -->, <-- KE, Nr: then there are keys."""
        payloads = change([KE(self.pair.public), Nonce(self.nonce), *more])
        return self._hear(self.deliver(self.clear(payloads, MAIN, **odd)), KE)

    def main_5(self, change: Change = honest, **odd: object) -> list[Seen]:
        """IDii, HASH_I -->, <-- IDir, HASH_R, encrypted both."""
        payloads = change([self.identity, self.proof()])
        octets = self.seal(payloads, MAIN, 0, **odd)  # type: ignore[arg-type]
        self.spoke(0, octets)
        return self._hear(self.deliver(octets), ID)

    def main(self, **odd: object) -> Peer:
        """All of main mode."""
        self.main_1(**odd)  # type: ignore[arg-type]
        self.main_3()
        self.main_5()
        return self

    def aggressive_1(self, change: Change = honest, **odd: object) -> list[Seen]:
        """SA, KE, Ni, IDii -->, <-- SA, KE, Nr, IDir, HASH_R."""
        self.cookie_i = self.random(8)
        payloads = change([self.offer(), KE(self.pair.public), Nonce(self.nonce), self.identity])
        octets = self.clear(payloads, AGGRESSIVE, **odd)
        self._remember_offer(octets)
        return self._hear(self.deliver(octets), KE)

    def aggressive_3(self, change: Change = honest, *, encrypted: bool = True) -> list[Seen]:
        """HASH_I -->."""
        payloads = change([self.proof()])
        if not encrypted:
            return self.deliver(self.clear(payloads, AGGRESSIVE))
        octets = self.seal(payloads, AGGRESSIVE, 0)
        self.spoke(0, octets)
        return self.deliver(octets)

    # -- as responder -------------------------------------------------------------

    def main_2(self, first: Seen, change: Change = honest) -> list[Seen]:
        """SA -->, after the target's message 1; its message 3."""
        self.initiator = False
        self.cookie_i, self.cookie_r = first.message.cookie_i, self.random(8)
        offer = first.message.one(SA)
        self.sa_body = first.message.body_of(offer)
        (proposal,) = offer.proposals
        answer = SA((proposal._replace(transforms=proposal.transforms[:1]),))
        self.suite = accepted_phase1(offer, answer).suite
        self._note()
        return self._hear(self.deliver(self.clear(change([answer]), MAIN)), KE)

    def main_4(self, change: Change = honest) -> list[Seen]:
        """KE, Nr -->; the target's message 5."""
        payloads = change([KE(self.pair.public), Nonce(self.nonce)])
        return self._hear(self.deliver(self.clear(payloads, MAIN)), ID)

    def main_6(self, change: Change = honest) -> list[Seen]:
        """IDir, HASH_R -->."""
        octets = self.seal(change([self.identity, self.proof()]), MAIN, 0)
        self.spoke(0, octets)
        return self.deliver(octets)

    # -- inside ---------------------------------------------------------------------

    def proof(self, id_body: bytes | None = None, *, theirs: bool = False) -> Hash:
        """Our HASH, or what the target's has to be over its ID."""
        assert self.suite is not None and self.keys is not None
        by_initiator = self.initiator is not theirs
        compute = hash_i if by_initiator else hash_r
        publics = self.pair.public, self.their_public
        ends = publics if self.initiator else publics[::-1]
        body = self.identity.body() if id_body is None else id_body
        return Hash(compute(self.suite.prf, self.keys.skeyid, *ends, *self.cookies, self.sa_body, body))

    def _remember_offer(self, octets: bytes) -> None:
        length = int.from_bytes(octets[HEADER_OCTETS + 2 : HEADER_OCTETS + 4], "big")
        self.sa_body = octets[HEADER_OCTETS + 4 : HEADER_OCTETS + length]
        self._note()

    def _hear(self, seen: list[Seen], wanted: type[Payload]) -> list[Seen]:
        """Take what the target answered, if it is what was due."""
        for each in seen:
            message = each.message
            if each.host is not self.target or not message.all(wanted) or message.cookie_i != self.cookie_i:
                continue
            self.heard.append(message)
            if self.initiator:
                self.cookie_r = message.cookie_r
            if self.initiator and message.all(SA):
                answer = message.one(SA)
                offered = SA.read(self.sa_body)
                self.suite = accepted_phase1(offered, answer).suite
            if message.all(KE):
                self.their_public, self.their_nonce = message.one(KE).public, message.one(Nonce).value
                self.make_keys()
        return seen

    def make_keys(self) -> None:
        """Out of what was said so far, and our secret."""
        assert self.suite is not None
        self.shared = ke.combine(self.pair, self.their_public)
        nonces = (self.nonce, self.their_nonce)[:: 1 if self.initiator else -1]
        self.keys = derive(self.suite, skeyid_psk(self.suite.prf, self.secret, *nonces), self.shared, *self.cookies)
        self._note()

    def _note(self) -> None:
        """What the wiretap cannot see, because we are no host."""
        facts = self.wire.facts.setdefault(self.cookie_i, Facts())
        if self.initiator:
            facts.public_i, facts.nonce_i, facts.sa_body = self.pair.public, self.nonce, self.sa_body
        else:
            facts.public_r, facts.nonce_r = self.pair.public, self.nonce

    def first_iv(self) -> bytes:
        """Of the first encrypted message of phase 1."""
        assert self.suite is not None
        ends = (self.pair.public, self.their_public)[:: 1 if self.initiator else -1]
        return phase1_iv(self.suite, *ends)
