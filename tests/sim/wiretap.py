"""Wiretap: reads every message on the simulated wire, and holds, loses or rewrites those a test names.

It sees what a peer would: datagrams, opened with the keys of the SAs. The keys
are noted when an SA is first seen, so a message is readable after its SA ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.crypto.proposal import IkeSuite
from ikectl.engine.outside import Transmit
from ikectl.engine.v2.machine import Machine
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sealed import SK, SkCipher, open_sealed
from tests.sim.host import Host
from tests.sim.world import World

IKE_SA_INIT, IKE_AUTH = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_AUTH
CREATE_CHILD_SA, INFORMATIONAL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL


@dataclass(eq=False)
class Seen:
    """One datagram as it left a host."""

    host: Host
    at: float
    transmit: Transmit
    octets: bytes
    """The IKE message, non-ESP marker taken off."""
    message: Message
    """Opened."""
    lost: bool = False

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


@dataclass(eq=False)
class Rule:
    """Takes messages off the wire. `times` counts down; None is for ever."""

    which: Which
    times: int | None = None
    instead: Callable[[Seen], bytes] | None = None
    """Makes the octets that travel in its stead."""
    caught: list[Seen] = field(default_factory=list)

    def stop(self) -> None:
        """Let everything pass from now on."""
        self.times = 0


class Wiretap:
    """On the wire of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[Seen] = []
        self.keepalives: list[tuple[Host, Transmit]] = []
        self.keys: dict[tuple[bytes, bytes], tuple[IkeSuite, IkeKeys]] = {}
        self._rules: list[Rule] = []
        world.taps.append(self._tap)

    # -- looking --------------------------------------------------------------

    def all(self, choice: Which | None = None, since: int = 0) -> list[Seen]:
        """What was sent so far, lost or not."""
        return [seen for seen in self.seen[since:] if choice is None or choice(seen)]

    def messages(self, choice: Which | None = None, since: int = 0) -> list[Message]:
        return [seen.message for seen in self.all(choice, since)]

    def story(self, since: int = 0) -> list[str]:
        """The ladder in short: `moon> CREATE_CHILD_SA 2: SA Nonce TSi TSr`, `>` asking, `<` answering."""
        return [_line(seen) for seen in self.seen[since:]]

    def cipher(self, spi_i: bytes, spi_r: bytes, initiator: bool) -> SkCipher:
        """The cipher of one direction of an SA."""
        self._note_keys()
        suite, keys = self.keys[spi_i, spi_r]
        return suite.ike_cipher(keys.sk_ei, keys.sk_ai) if initiator else suite.ike_cipher(keys.sk_er, keys.sk_ar)

    # -- meddling ---------------------------------------------------------------

    def hold(self, choice: Which, times: int | None = None) -> Rule:
        """Keep messages back; `release` lets them travel after all."""
        rule = Rule(choice, times)
        self._rules.append(rule)
        return rule

    def release(self, rule: Rule) -> None:
        """Let what was kept arrive now, in its order, and keep nothing more."""
        rule.stop()
        caught, rule.caught = rule.caught, []
        for seen in caught:
            self.arrive(seen)

    def arrive(self, seen: Seen) -> None:
        """Let a message arrive (again), now."""
        path = seen.transmit.path
        self.world.deliver(seen.transmit.data, path.local, path.remote)
        self.world.flush()
        self.world.check()

    def rewrite(self, choice: Which, instead: Callable[[Seen], bytes], times: int | None = 1) -> Rule:
        """Let other octets travel in the place of messages, as if their sender had written these.

        What both ends sign of IKE_SA_INIT (RFC 7296 §2.15) is set right at the sender.
        """
        rule = Rule(choice, times, instead)
        self._rules.append(rule)
        return rule

    def _tap(self, host: Host, transmit: Transmit) -> bool:
        if transmit.data == b"\xff":
            self.keepalives.append((host, transmit))
            return True
        seen = self._read(host, transmit)
        self.seen.append(seen)
        for rule in self._rules:
            if rule.times == 0 or not rule.which(seen):
                continue
            if rule.times is not None:
                rule.times -= 1
            rule.caught.append(seen)
            seen.lost = True
            if rule.instead is not None:
                self._replace(seen, rule.instead(seen))
            return False
        return True

    def _replace(self, seen: Seen, octets: bytes) -> None:
        machine = self._machine_of(seen)
        if seen.message.exchange is IKE_SA_INIT and machine is not None:
            if seen.message.response:
                assert machine.sa.handshake is not None
                machine.sa.handshake.response = octets
            else:
                assert machine.window.in_flight is not None
                machine.window.in_flight.octets = octets
        path = seen.transmit.path
        marker = seen.transmit.data[: len(seen.transmit.data) - len(seen.octets)]
        self.world.at(
            self.world.now + self.world.link.delay,
            lambda: self.world.deliver(marker + octets, path.local, path.remote),
        )

    def _machine_of(self, seen: Seen) -> Machine | None:
        for machine in seen.host.machines:
            if machine.sa.spi_i == seen.message.spi_i and seen.message.spi_r in (machine.sa.spi_r, bytes(8)):
                return machine
        return None

    def _read(self, host: Host, transmit: Transmit) -> Seen:
        octets = transmit.data
        if transmit.path.local.port != 500:
            assert octets[:4] == bytes(4), "no marker on a port that is not 500"
            octets = octets[4:]
        message = Message.read(octets)
        if message.all(SK):
            message = open_sealed(message, octets, self.cipher(message.spi_i, message.spi_r, message.initiator))
        return Seen(host, self.world.now, transmit, octets, message)

    def _note_keys(self) -> None:
        for host in self.world.hosts.values():
            for machine in host.machines:
                sa = machine.sa
                if sa.suite is None or sa.keys is None:
                    continue
                known = self.keys.get((sa.spi_i, sa.spi_r))
                if known is None or known[1].sk_ei != sa.keys.sk_ei:
                    self.keys[sa.spi_i, sa.spi_r] = sa.suite, replace(sa.keys)


def _line(seen: Seen) -> str:
    message = seen.message
    names = " ".join(str(each.type) if isinstance(each, Notify) else type(each).__name__ for each in message.payloads)
    arrow = "<" if message.response else ">"
    return f"{seen.host.name}{arrow} {message.exchange} {message.message_id}: {names}".rstrip(": ")
