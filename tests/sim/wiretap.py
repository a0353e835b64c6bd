"""Wiretap: reads every message on the simulated wire, and holds, loses or rewrites those a test names.

It sees what a peer would: datagrams, opened with the keys of the SAs. The keys
are noted when an SA is first seen, so a message is readable after its SA ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.proposal import IkeSuite
from ikectl.engine.outside import Transmit
from ikectl.engine.v2.machine import Machine
from ikectl.errors import IntegrityFailure
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.wire.header import Header
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sealed import SK, SkCipher, open_sealed
from tests.sim import tap
from tests.sim.host import Host
from tests.sim.tap import Datagram
from tests.sim.world import World

IKE_SA_INIT, IKE_AUTH = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_AUTH
CREATE_CHILD_SA, INFORMATIONAL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL


@dataclass(eq=False)
class Seen(Datagram):
    """One datagram as it left a host."""

    message: Message
    """Opened."""

    def __repr__(self) -> str:
        return f"{self.at:.3f} {self.host.name} {self.message!r}"


Which = Callable[[Seen], bool]


def which(
    exchange: ExchangeType | None = None,
    *,
    by: Host | None = None,
    response: bool | None = None,
    holds: type[Payload] | NotifyType | None = None,
) -> Which:
    """A choice of messages: all that fit what is given."""

    def fits(seen: Seen) -> bool:
        message = seen.message
        return (
            (exchange is None or message.exchange is exchange)
            and (by is None or seen.host is by)
            and (response is None or message.response is response)
            and (
                holds is None or bool(message.notifies(holds) if isinstance(holds, NotifyType) else message.all(holds))
            )
        )

    return fits


Rule = tap.Rule[Seen]


class Wiretap(tap.Tap[Seen]):
    """Of IKEv2. See the module."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.keys: dict[tuple[bytes, bytes], tuple[IkeSuite, IkeKeys]] = {}
        self.former: dict[tuple[bytes, bytes], list[tuple[IkeSuite, IkeKeys]]] = {}
        """Keys from before each IKE_INTERMEDIATE, whose answer still has them (RFC 9370 §2.2.2)."""

    def messages(self, choice: Which | None = None, since: int = 0) -> list[Message]:
        return [seen.message for seen in self.all(choice, since)]

    def story(self, since: int = 0) -> list[str]:
        """The ladder in short: `moon> CREATE_CHILD_SA 2: SA Nonce TSi TSr`, `>` asking, `<` answering."""
        return [_line(seen) for seen in self.seen[since:]]

    def cipher(self, spi_i: bytes, spi_r: bytes, initiator: bool) -> SkCipher:
        """The cipher of one direction of an SA."""
        self._note_keys()
        return self._cipher(*self.keys[spi_i, spi_r], initiator)

    @staticmethod
    def _cipher(suite: IkeSuite, keys: IkeKeys, initiator: bool) -> SkCipher:
        return suite.ike_cipher(keys.sk_ei, keys.sk_ai) if initiator else suite.ike_cipher(keys.sk_er, keys.sk_ar)

    def _correct(self, seen: Seen, octets: bytes) -> None:
        """What both ends sign of IKE_SA_INIT (RFC 7296 §2.15)."""
        machine = self._machine_of(seen)
        if seen.message.exchange is IKE_SA_INIT and machine is not None:
            if seen.message.response:
                assert machine.sa.handshake is not None
                machine.sa.handshake.response = octets
            else:
                (request,) = machine.window.in_flight
                request.datagrams = (octets,)

    def _machine_of(self, seen: Seen) -> Machine | None:
        for machine in seen.host.machines:
            if machine.sa.spi_i == seen.message.spi_i and seen.message.spi_r in (machine.sa.spi_r, bytes(8)):
                return machine
        return None

    def _read(self, host: Host, transmit: Transmit, octets: bytes) -> Seen | None:
        header = Header.read(octets)
        if header.major != 2:
            return None
        message = Message.read(octets)
        if message.all(SK):
            message = self._open(header, octets)
        return Seen(host, self.world.now, transmit, octets, message)

    def _open(self, header: Header, octets: bytes) -> Message:
        self._note_keys()
        for suite, keys in self.former.get((header.spi_i, header.spi_r), ()):
            try:
                return open_sealed(header, octets, self._cipher(suite, keys, header.from_initiator))
            except IntegrityFailure:
                continue
        return open_sealed(header, octets, self.cipher(header.spi_i, header.spi_r, header.from_initiator))

    def _note_keys(self) -> None:
        for host in self.world.hosts.values():
            for machine in host.machines:
                sa = machine.sa
                if sa.VERSION != 2 or sa.suite is None or sa.keys is None:
                    continue
                known = self.keys.get((sa.spi_i, sa.spi_r))
                if known is None or known[1].sk_ei != sa.keys.sk_ei:
                    if known is not None:
                        self.former.setdefault((sa.spi_i, sa.spi_r), []).append(known)
                    self.keys[sa.spi_i, sa.spi_r] = sa.suite, replace(sa.keys)


def _line(seen: Seen) -> str:
    message = seen.message
    names = " ".join(str(each.type) if isinstance(each, Notify) else type(each).__name__ for each in message.payloads)
    arrow = "<" if message.response else ">"
    return f"{seen.host.name}{arrow} {message.exchange} {message.message_id}: {names}".rstrip(": ")
