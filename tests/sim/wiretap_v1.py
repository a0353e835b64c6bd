"""Wiretap of IKEv1: reads every message on the simulated wire, and holds, loses or rewrites those a test names.

It follows the chain of IVs by itself: the first from the public values it saw
or from the last block of phase 1 and the message ID, each further one from the
message before (RFC 2409 App. B). Keys are noted as soon as an SA has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ikectl.crypto.kdf_v1 import IsakmpKeys, hash_i, hash_r, phase1_iv, phase2_iv
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.engine.outside import Transmit
from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.errors import IkectlError
from ikectl.iana.v1 import ExchangeType, NotifyType, PayloadType, exchange_type
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.v1.fragment import Fragment
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import FLAG_ENCRYPTION, Message
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload, write_chain
from ikectl.wire.v1.sa import SA
from tests.sim import tap
from tests.sim.host import Host
from tests.sim.tap import Datagram
from tests.sim.world import World

MAIN, AGGRESSIVE = ExchangeType.IDENTITY_PROTECTION, ExchangeType.AGGRESSIVE
QUICK, INFORMATIONAL = ExchangeType.QUICK_MODE, ExchangeType.INFORMATIONAL
TRANSACTION = ExchangeType.TRANSACTION
PHASE_1 = (MAIN, AGGRESSIVE)


@dataclass(eq=False)
class Seen(Datagram):
    """One datagram as it left a host."""

    message: Message
    """Opened; without payloads if it could not be."""
    iv: bytes = b""
    """That of an encrypted message."""
    repeated: bool = False
    """The same octets were seen before."""
    readable: bool = True

    def __repr__(self) -> str:
        return f"{self.at:.3f} {self.host.name} {self.message!r}"


Which = Callable[[Seen], bool]
Rule = tap.Rule[Seen]


def which(
    exchange: ExchangeType | None = None,
    *,
    by: Host | None = None,
    holds: type[Payload] | NotifyType | None = None,
    encrypted: bool | None = None,
    message_id: int | None = None,
    place: int | None = None,
) -> Which:
    """A choice of messages: all that fit what is given. `place` is that within a quick mode, 1 to 4."""

    def fits(seen: Seen) -> bool:
        message = seen.message
        return (
            (exchange is None or message.exchange is exchange)
            and (by is None or seen.host is by)
            and (encrypted is None or message.encrypted is encrypted)
            and (message_id is None or message.message_id == message_id)
            and (holds is None or bool(message.notify(holds) if isinstance(holds, NotifyType) else message.all(holds)))
            and (place is None or _place(message) == place)
        )

    return fits


def _place(message: Message) -> int:
    """Which message of a quick mode it is: 1 and 2 have an SA, 3 a HASH alone, 4 CONNECTED. 2 counts as 1."""
    if message.all(SA):
        return 1
    return 4 if message.notify(NotifyType.CONNECTED) else 3


@dataclass
class Facts:
    """What was said in clear in one phase 1, by the initiator (i) and the responder (r)."""

    sa_body: bytes = b""
    public_i: bytes = b""
    public_r: bytes = b""
    nonce_i: bytes = b""
    nonce_r: bytes = b""


@dataclass
class Chain:
    """Of one message ID of one SA."""

    first: list[Host] = field(default_factory=list)
    """Who began."""
    blocks: list[bytes] = field(default_factory=list)
    """The last ciphertext blocks of its messages."""
    nonces: list[bytes] = field(default_factory=list)


Cookies = tuple[bytes, bytes]


class Wiretap(tap.Tap[Seen]):
    """Of IKEv1. See the module."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.facts: dict[bytes, Facts] = {}
        """By the initiator's cookie."""
        self.keys: dict[tuple[str, bytes, bytes], tuple[IsakmpSuite, IsakmpKeys]] = {}
        """By host and cookies: with different secrets the ends have different keys."""
        self.chains: dict[tuple[bytes, bytes, int], Chain] = {}
        self._known: dict[bytes, Seen] = {}
        self._pieces: dict[tuple[str, bytes, int], dict[int, Fragment]] = {}

    # -- looking --------------------------------------------------------------

    def messages(self, choice: Which | None = None, since: int = 0) -> list[Message]:
        return [seen.message for seen in self.all(choice, since)]

    def fresh(self, choice: Which | None = None, since: int = 0) -> list[Seen]:
        """As `all`, without repeats."""
        return [seen for seen in self.all(choice, since) if not seen.repeated]

    def story(self, since: int = 0) -> list[str]:
        """The ladder in short: `moon QUICK_MODE*: HASH SA No ID ID`."""
        return [_line(seen) for seen in self.seen[since:]]

    def keys_of(self, cookies: Cookies, host: Host | None = None) -> tuple[IsakmpSuite, IsakmpKeys]:
        """The suite and keys of an SA, with SKEYID where anybody still had it when it was first seen."""
        self._note_keys()
        found = [
            entry
            for (name, *ends), entry in self.keys.items()
            if tuple(ends) == cookies and (host is None or name == host.name)
        ]
        return max(found, key=lambda entry: len(entry[1].skeyid))

    def iv(self, cookies: Cookies, message_id: int, host: Host | None = None) -> bytes:
        """The IV of the next message under that ID."""
        chain = self.chains.get((*cookies, message_id))
        if chain is not None and chain.blocks:
            return chain.blocks[-1]
        return self._first_iv(cookies, message_id, self.keys_of(cookies, host)[0])

    def proof(self, cookies: Cookies, by_initiator: bool, id_body: bytes) -> Hash:
        """HASH_I or HASH_R of an SA whose phase 1 was seen, with a pre-shared key."""
        suite, keys = self.keys_of(cookies)
        facts = self.facts[cookies[0]]
        compute = hash_i if by_initiator else hash_r
        ends = facts.public_i, facts.public_r, *cookies
        return Hash(compute(suite.prf, keys.skeyid, *ends, facts.sa_body, id_body))

    def began(self, seen: Seen) -> bool:
        """Whether a message is of the initiator of phase 1."""
        return any(each.sa.spi_i == seen.message.cookie_i and each.sa.initiator for each in seen.host.machines)

    def nonces_before(self, seen: Seen) -> list[bytes]:
        """The nonces of a quick mode that were said before this message of it."""
        message = seen.message
        chain = self.chains[message.cookie_i, message.cookie_r, message.message_id]
        own = len(message.all(Nonce))
        return chain.nonces[: len(chain.nonces) - own]

    # -- taking part ------------------------------------------------------------

    def advance(self, cookies: Cookies, message_id: int, block: bytes) -> None:
        """A message that ended in this ciphertext block was said by somebody who is no host."""
        self.chains.setdefault((*cookies, message_id), Chain()).blocks.append(block)

    # -- inside -----------------------------------------------------------------

    def _correct(self, seen: Seen, octets: bytes) -> None:
        message, machine = seen.message, self._machine_of(seen)
        cookies = message.cookie_i, message.cookie_r
        if message.encrypted:
            suite, _ = self.keys_of(cookies)
            self.advance(cookies, message.message_id, octets[-suite.block_octets :])
        if machine is None:
            return
        conversation = machine.conversations.get(message.message_id)
        if conversation is not None:
            conversation.sent = (octets,)
        if message.encrypted:
            assert machine.sa.suite is not None
            block = octets[-machine.sa.suite.block_octets :]
            if conversation is not None:
                conversation.iv = block
            if message.exchange in PHASE_1:
                machine.sa.last_block = block
            return
        try:
            changed = Message.read(octets)
        except IkectlError:
            return
        self._learn(seen.host, changed)
        shake = machine.sa.handshake
        if shake is None:
            return
        for nonce in changed.all(Nonce)[:1]:
            if machine.sa.initiator:
                shake.nonce_i = nonce.value
            else:
                shake.nonce_r = nonce.value
        for offer in changed.all(SA)[:1]:
            if machine.sa.initiator:
                shake.sa_body = changed.body_of(offer)

    def _machine_of(self, seen: Seen) -> IsakmpMachine | None:
        for machine in seen.host.machines:
            ours = machine.sa.spi_i == seen.message.cookie_i and seen.message.cookie_r in (machine.sa.spi_r, bytes(8))
            if isinstance(machine, IsakmpMachine) and ours:
                return machine
        return None

    def _read(self, host: Host, transmit: Transmit, octets: bytes) -> Seen | None:
        header = Header.read(octets)
        if header.major != 1:
            return None
        self._note_keys()
        known = self._known.get(octets)
        if known is not None:
            return Seen(host, self.world.now, transmit, octets, known.message, known.iv, True, known.readable)
        seen = Seen(host, self.world.now, transmit, octets, *self._opened(host, header, octets))
        seen.readable = bool(seen.iv) or not seen.message.encrypted
        self._known[octets] = seen
        return seen

    def _opened(self, host: Host, header: Header, octets: bytes) -> tuple[Message, bytes]:
        if not header.flags & FLAG_ENCRYPTION:
            message = Message.read(octets, header)
            if int(header.next_payload) == PayloadType.FRAGMENT:
                return self._assembled(host, message)
            self._learn(host, message)
            return message, b""
        return self._decrypted(host, header, octets)

    def _assembled(self, host: Host, message: Message) -> tuple[Message, bytes]:
        """The piece itself; but with the last one missing the chain of IVs goes on."""
        (piece,) = message.all(Fragment)
        pieces = self._pieces.setdefault((host.name, message.cookie_i, piece.id), {})
        pieces[piece.number] = piece
        if any(each.last for each in pieces.values()) and len(pieces) == max(pieces):
            whole = b"".join(pieces[number].data for number in sorted(pieces))
            self._opened(host, Header.read(whole), whole)
        return message, b""

    def _decrypted(self, host: Host, header: Header, octets: bytes) -> tuple[Message, bytes]:
        cookies, number = (header.spi_i, header.spi_r), header.message_id
        chain = self.chains.setdefault((*cookies, number), Chain())
        found = self.keys.get((host.name, *cookies))
        if found is not None:
            suite, keys = found
            ivs = [*reversed(chain.blocks)] or [self._first_iv(cookies, number, suite)]
            chain.blocks.append(octets[-suite.block_octets :])
            for iv in ivs:
                try:
                    message = Message.open(header, suite.decrypt(keys.cipher_key, iv, octets[HEADER_OCTETS:]))
                except IkectlError:
                    continue
                chain.first.append(host)
                chain.nonces += [each.value for each in message.all(Nonce)]
                return message, iv
        return Message(*cookies, exchange_type(header.exchange), number, [], encrypted=True), b""

    def _first_iv(self, cookies: Cookies, number: int, suite: IsakmpSuite) -> bytes:
        facts = self.facts.get(cookies[0], Facts())
        first = phase1_iv(suite, facts.public_i, facts.public_r)
        if not number:
            return first
        phase1 = self.chains.get((*cookies, 0))
        return phase2_iv(suite, phase1.blocks[-1] if phase1 is not None and phase1.blocks else first, number)

    def _learn(self, host: Host, message: Message) -> None:
        if message.exchange not in PHASE_1:
            return
        facts = self.facts.setdefault(message.cookie_i, Facts())
        initiator = any(each.sa.spi_i == message.cookie_i and each.sa.initiator for each in host.machines)
        for ke in message.all(KE):
            if initiator:
                facts.public_i = ke.public
            else:
                facts.public_r = ke.public
        for nonce in message.all(Nonce):
            if initiator:
                facts.nonce_i = nonce.value
            else:
                facts.nonce_r = nonce.value
        for offer in message.all(SA) if initiator else ():
            facts.sa_body = message.body_of(offer)

    def _note_keys(self) -> None:
        for host in self.world.hosts.values():
            for machine in host.machines:
                sa = machine.sa
                if sa.VERSION != 1 or sa.suite is None or sa.keys is None:
                    continue
                place = host.name, sa.spi_i, sa.spi_r
                known = self.keys.get(place)
                if known is None or known[1].cipher_key != sa.keys.cipher_key:
                    self.keys[place] = sa.suite, replace(sa.keys)


def _line(seen: Seen) -> str:
    message = seen.message
    names = " ".join(str(each.type) if isinstance(each, Notify) else each.short for each in message.payloads)
    return f"{seen.host.name} {message.exchange}{'*' if message.encrypted else ''}: {names}".rstrip(": ")


def quick_hash(suite: IsakmpSuite, keys: IsakmpKeys, message_id: int, rest: bytes, nonces: list[bytes]) -> Hash:
    """HASH(1), (2) or (3) of quick mode, by the nonces said before (RFC 2409 §5.5); HASH(1) is all others' too."""
    number = message_id.to_bytes(4, "big")
    if len(nonces) == 2 and not rest:
        return Hash(suite.prf.compute(keys.skeyid_a, b"\0" + number + b"".join(nonces)))
    return Hash(suite.prf.compute(keys.skeyid_a, number + b"".join(nonces[:1]) + rest))


def chain_octets(payloads: list[Payload]) -> bytes:
    """The octets of payloads that stand behind a HASH."""
    return write_chain(payloads)[1]
