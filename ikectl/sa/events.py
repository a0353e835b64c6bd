"""What observers may learn. Observers read events; nothing is ever told back.

An event holds facts and makes its text only when somebody reads it, because a
formatted line costs more than all the rest of an event. `group` and `level`
are those of strongSwan's log, which operators' scripts know: level 0 matters
always, 1 tells the story, 2 and more explain it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ikectl.iana import v1
from ikectl.iana.registry import Registry
from ikectl.iana.v2 import NotifyType, PayloadType
from ikectl.values.path import Path
from ikectl.values.record import record

if TYPE_CHECKING:
    from ikectl.sa.association import Association
    from ikectl.sa.child_sa import ChildSa
    from ikectl.wire.payload import Payload
    from ikectl.wire.v1.payload import Payload as PayloadV1

    AnyPayload = Payload | PayloadV1


class Event:
    """Something happened. `ike` is the SA it concerns; `token` the command it serves, if any."""

    __slots__ = ()

    group: ClassVar[str] = "ike"
    level: ClassVar[int] = 1

    @property
    def ike(self) -> Association | None:
        return getattr(self, "sa", None)

    def text(self) -> str:
        """One line for a log, without the SA's name in front. Holds no secret."""
        raise NotImplementedError


# -- the ladder of messages -------------------------------------------------


@record
class MessageSent(Event):
    """A message left. `payloads` are those inside the encryption."""

    group: ClassVar[str] = "enc"
    sa: Association
    exchange: Registry
    message_id: int
    response: bool | None
    """None in IKEv1, whose messages are neither."""
    payloads: Sequence[AnyPayload]
    octets: int
    path: Path

    def text(self) -> str:
        ladder = _ladder(self.exchange, self.message_id, self.response, self.payloads)
        return f"sent     {ladder} ({self.octets} octets to {self.path.remote})"


@record
class MessageReceived(Event):
    """A message arrived and, where it was protected, proved itself."""

    group: ClassVar[str] = "enc"
    sa: Association
    exchange: Registry
    message_id: int
    response: bool | None
    """None in IKEv1, whose messages are neither."""
    payloads: Sequence[AnyPayload]
    octets: int
    path: Path

    def text(self) -> str:
        ladder = _ladder(self.exchange, self.message_id, self.response, self.payloads)
        return f"received {ladder} ({self.octets} octets from {self.path.remote})"


def _ladder(exchange: Registry, message_id: int, response: bool | None, payloads: Sequence[AnyPayload]) -> str:
    inside = " ".join(_short(payload) for payload in payloads)
    if response is None:
        return f"{_conversation(exchange, message_id)} [ {inside} ]"
    return f"{exchange} {'response' if response else 'request'} {message_id} [ {inside} ]"


def _conversation(exchange: Registry, message_id: int) -> str:
    """An exchange of IKEv1. Its message ID is random, and 0 throughout phase 1, of which there is but one."""
    name = f"{exchange} (main mode)" if exchange is v1.ExchangeType.IDENTITY_PROTECTION else str(exchange)
    return f"{name} {message_id:08x}" if message_id else name


SHORT: Mapping[int, str] = {
    PayloadType.NONCE: "No",
    PayloadType.IDI: "IDi",
    PayloadType.IDR: "IDr",
    PayloadType.TSI: "TSi",
    PayloadType.TSR: "TSr",
    PayloadType.VENDOR_ID: "V",
    PayloadType.DELETE: "D",
}


def _short(payload: AnyPayload) -> str:
    own: str | None = getattr(payload, "short", None)
    if own is not None:
        return own
    kind = getattr(payload, "type", None)
    if isinstance(kind, NotifyType):
        return f"N({kind})"
    return SHORT.get(payload.TYPE, str(payload.TYPE))


@record
class Retransmitted(Event):
    """A request was sent again. `tries` counts from 1."""

    group: ClassVar[str] = "net"
    sa: Association
    exchange: Registry
    message_id: int
    tries: int
    what: str = ""
    """Which message of an exchange of IKEv1 it is, in words."""

    def text(self) -> str:
        if self.what:
            number = f", message ID {self.message_id:08x}" if self.message_id else ""
            return f"no answer yet: sent {self.what} again (repeat {self.tries}{number})"
        return f"no answer yet: sent {self.exchange} {self.message_id} again (repeat {self.tries})"


@record
class RetransmitTimeout(Event):
    """The peer never answered."""

    group: ClassVar[str] = "ike"
    level: ClassVar[int] = 0
    sa: Association
    exchange: Registry
    tries: int
    what: str = ""
    """Which message of an exchange of IKEv1 it is, in words; what it means is told with the end of the SA."""

    def text(self) -> str:
        if self.what:
            return f"giving up: {self.sa.path.remote} did not answer {self.what}, which was sent {self.tries + 1} times"
        if self.sa.path.tcp:
            return f"giving up: {self.sa.path.remote} (TCP) did not answer {self.exchange}; check that the peer runs"
        return (
            f"giving up: {self.sa.path.remote} answered none of {self.tries + 1} {self.exchange} requests; "
            "check that the address is right, the peer runs, and UDP 500 and 4500 pass both ways"
        )


# -- lives of SAs -------------------------------------------------------------


@record
class IkeUp(Event):
    """An IKE SA is established, both ends authenticated."""

    level: ClassVar[int] = 0
    sa: Association

    def text(self) -> str:
        sa = self.sa
        return (
            f"IKE SA established between {sa.path.local.host}[{sa.local_id}] and {sa.path.remote.host}[{sa.remote_id}]"
        )


@record
class IkeDown(Event):
    """An established IKE SA is gone."""

    level: ClassVar[int] = 0
    sa: Association
    why: str

    def text(self) -> str:
        return f"IKE SA closed: {self.why}"


@record
class IkeFailed(Event):
    """An IKE SA was never established."""

    level: ClassVar[int] = 0
    sa: Association
    why: str

    def text(self) -> str:
        return f"IKE SA not established: {self.why}"


@record
class IkeRekeyed(Event):
    """`new` took over from `sa`, children and all."""

    level: ClassVar[int] = 0
    sa: Association
    new: Association

    def text(self) -> str:
        return f"IKE SA rekeyed: {self.new.name}[{self.new.uniqueid}] took over"


@record
class ChildUp(Event):
    """A child stands in the kernel."""

    group: ClassVar[str] = "chd"
    level: ClassVar[int] = 0
    sa: Association
    child: ChildSa

    def text(self) -> str:
        child = self.child
        return (
            f"child {child.name}{{{child.uniqueid}}} established: {child.protocol} {child.mode.value}, "
            f"SPIs {child.spi_in:08x} in {child.spi_out:08x} out, "
            f"{_selectors(child.ts_local)} === {_selectors(child.ts_remote)}"
        )


@record
class ChildDown(Event):
    """A child is gone from the kernel."""

    group: ClassVar[str] = "chd"
    level: ClassVar[int] = 0
    sa: Association
    child: ChildSa
    why: str

    def text(self) -> str:
        return f"child {self.child.name}{{{self.child.uniqueid}}} closed: {self.why}"


@record
class ChildRekeyed(Event):
    """`new` took over from `old`."""

    group: ClassVar[str] = "chd"
    level: ClassVar[int] = 0
    sa: Association
    old: ChildSa
    new: ChildSa

    def text(self) -> str:
        return (
            f"child {self.old.name}{{{self.old.uniqueid}}} rekeyed: {{{self.new.uniqueid}}} took over, "
            f"SPIs {self.new.spi_in:08x} in {self.new.spi_out:08x} out"
        )


def _selectors(selectors: tuple[object, ...]) -> str:
    return " ".join(str(selector) for selector in selectors)


# -- refusals and faults ------------------------------------------------------


@record
class AuthFailed(Event):
    """An end did not prove itself. The text is for the operator; the wire shows no reason."""

    level: ClassVar[int] = 0
    sa: Association
    peer: bool
    """The peer did not satisfy us; else we did not satisfy the peer, or could not sign."""
    why: str

    def text(self) -> str:
        return f"{'peer' if self.peer else 'local'} authentication failed: {self.why}"


@record
class ProposalMismatch(Event):
    """No proposal fits."""

    group: ClassVar[str] = "cfg"
    level: ClassVar[int] = 0
    sa: Association
    child: str
    """Name of the child, or empty for the IKE SA."""
    why: str

    def text(self) -> str:
        return f"no proposal fits{f' for child {self.child}' if self.child else ''}: {self.why}"


@record
class TsMismatch(Event):
    """No traffic selectors fit."""

    group: ClassVar[str] = "cfg"
    level: ClassVar[int] = 0
    sa: Association
    child: str
    why: str

    def text(self) -> str:
        return f"no traffic selectors fit{f' for child {self.child}' if self.child else ''}: {self.why}"


@record
class ChildFailed(Event):
    """A child could not be set up; the IKE SA goes on."""

    group: ClassVar[str] = "chd"
    level: ClassVar[int] = 0
    sa: Association
    child: str
    why: str

    def text(self) -> str:
        return f"child {self.child or '(unnamed)'} not established: {self.why}"


@record
class NoInnerAddress(Event):
    """A peer asked for an inner address and has none from us, or the peer gave none to us."""

    group: ClassVar[str] = "cfg"
    level: ClassVar[int] = 0
    sa: Association
    peer: bool
    """The peer is the one without an address; else it is us."""
    why: str

    def text(self) -> str:
        return f"no inner address for {'the peer' if self.peer else 'us'}: {self.why}"


@record
class Banner(Event):
    """Text of the peer for the user here to read (Unity). Printable, and of bounded length."""

    level: ClassVar[int] = 0
    sa: Association
    message: str

    def text(self) -> str:
        return f"the peer says: {self.message}"


@record
class Note(Event):
    """Part of the story that no program needs to understand."""

    sa: Association | None
    why: str

    def text(self) -> str:
        return self.why


@record
class Dropped(Event):
    """A datagram was ignored, and why. Unauthenticated, so it says nothing for sure."""

    group: ClassVar[str] = "net"
    level: ClassVar[int] = 2
    sa: Association | None
    path: Path
    why: str

    def text(self) -> str:
        return f"ignored a datagram from {self.path.remote}: {self.why}"


@record
class CommandDone(Event):
    """The command with this token ended; `error` is None if it did what was asked."""

    level: ClassVar[int] = 2
    token: int
    error: str | None
    matches: int = 0
    done: int = 0

    def text(self) -> str:
        return f"command ended: {self.error or 'done'}"


@record
class Fault(Event):
    """A defect of ours: the SA closes, the daemon goes on. `trace` holds no local values."""

    group: ClassVar[str] = "dmn"
    level: ClassVar[int] = 0
    sa: Association | None
    trace: str

    def text(self) -> str:
        return f"internal error, please report it: {self.trace}"
