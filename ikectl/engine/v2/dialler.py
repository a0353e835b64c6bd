"""Dialler: the TCP connections of an SA: opened, again too, by who called, and followed by who answers (RFC 9329 §6.1).

A connection that breaks ends nothing. Whoever began the SA opens another one
and says on it what is without an answer; whoever answers goes over to the
connection on which the peer last proved itself.
"""

from __future__ import annotations

from functools import partial

from ikectl.engine.chore import Chore
from ikectl.engine.driver import STANDING, End
from ikectl.engine.v2.roamer import Roamer
from ikectl.errors import BackendError, IkectlError
from ikectl.exchange import children
from ikectl.exchange.v2 import crash_token, mobike
from ikectl.exchange.v2.address_update import UpdateAddresses
from ikectl.exchange.v2.base import Exchange
from ikectl.exchange.v2.crash_token import TellToken
from ikectl.exchange.v2.informational import Liveness
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.asks import CloseStream, OpenStream
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.path import Path, Stream

BEGINNING = (IkeState.CREATED, IkeState.CONNECTING)
WANTED = (*STANDING, IkeState.DELETING)
"""States of an SA that needs a connection of its own."""

MAX_REDIALS = 8
"""Attempts to open another connection, the first at once; with the waits in between as long as a request may be
without an answer, some two minutes."""
LONGEST_WAIT = 60.0
"""Seconds between two of them at most; the first wait is one, and each is twice the one before."""
JOIN_AFTER = 1.0
"""Seconds between two looks of an SA that was replaced at whether its heir has another connection by now."""
JITTER = 0.25
"""A wait is shortened by up to this fraction: a gateway that was restarted is not called by all in step."""


class Dialler(Roamer):
    """The part of `Machine` that minds TCP. See the module."""

    __slots__ = ()

    # -- the first one -------------------------------------------------------------

    def _call(self, exchange: Exchange, esp: bool, now: float) -> None:
        """Open a connection and begin there; `esp`: a child is to come up, too, which the kernel must be able to."""
        self.queue.append(exchange)  # it has to wait for the errand
        self.begin_after(partial(_open, self.sa.path, esp), self._called, now)

    def _called(self, path: Path | None, failure: BaseException | None) -> None:
        if path is not None:
            self.sa.path = path
        elif isinstance(failure, IkectlError):
            self.gave_up = ExchangeType.IKE_SA_INIT  # as if nobody answered: another address may do better
            self._close(str(failure), End.SILENT)
        else:
            self._errand_done(None, failure)

    # -- when it breaks ------------------------------------------------------------

    def stream_broken(self, path: Path, why: str, now: float) -> None:
        self.now = now
        sa = self.sa
        if sa.state in BEGINNING:
            self.gave_up = self.gave_up or next((each.type for each in self.active), ExchangeType.IKE_SA_INIT)
            self._abort()
            self._close(f"the TCP connection with {path.remote} is gone: {why}", End.SILENT)
        elif not sa.caller:
            return
        elif sa.heir is not None:
            self._set(("redial", 1), now + JOIN_AFTER)
        elif sa.state in STANDING:
            sa.emit(Note(sa, f"the TCP connection with {path.remote} is gone: {why}; opening another one"))
            self._redial(1)
        elif sa.state is IkeState.DELETING:
            self._redial(MAX_REDIALS)  # one attempt to let the peer know

    def _redial(self, number: int) -> None:
        """The attempt of that number. It keeps nothing else from being done."""
        before, opened = self.sa.path, list[Path]()
        Chore(self.outside, self._reopen(opened), partial(self._reopened, number, before, opened), self.now)

    async def _reopen(self, opened: list[Path]) -> None:
        """From where routes lead now, if the SA may move (RFC 9329 §7.1). Raises BackendError."""
        sa = self.sa
        ends = sa.path
        if mobike.movable(sa):
            found = (await mobike.bearings(sa)).path
            if found is None:
                raise BackendError(f"no way leads to {ends.remote.host} just now")
            ends = found
        opened.append(await OpenStream(Stream.to(ends.local.address, ends.remote), bool(sa.living_children)))

    def _reopened(self, number: int, before: Path, opened: list[Path], failure: IkectlError | None, now: float) -> None:
        self.now = now
        sa = self.sa
        wanted = sa.state in WANTED and sa.path == before and sa.heir is None
        if sa.heir is not None:
            self.outside.broken(before, "it was replaced meanwhile", now)  # so another SA has to see to it
        if opened and wanted:
            self._go_over(opened[0])
            self._next()
        elif opened:
            self.outside.do(CloseStream(opened[0]))
        elif wanted and number < MAX_REDIALS:
            wait = min(2.0 ** (number - 1), LONGEST_WAIT) * (1 - JITTER * sa.chance())
            sa.emit(Note(sa, f"{failure}; trying again in {wait:.1f} s"))
            self._set(("redial", number + 1), now + wait)
        elif wanted:
            self.gave_up = self.gave_up or ExchangeType.INFORMATIONAL
            self._abort()
            end = End.SILENT if sa.state in STANDING else End.OURS
            self._close(f"the TCP connection is gone, and there is no other: {failure}", end)

    def _go_over(self, path: Path) -> None:
        """Another connection of ours stands: the SA goes on there, and so does what has no answer yet (§6.2).

        What tells the peer is an update of addresses with MOBIKE, an empty INFORMATIONAL without (§6.1).
        """
        sa, before = self.sa, self.sa.path
        for number in range(2, MAX_REDIALS + 1):
            self.schedule.pop(("redial", number), None)
        sa.emit(Note(sa, f"going on over {path}"))
        sa.path = path
        self.outside.do(CloseStream(before))
        if sa.state not in STANDING:
            return
        if sa.mobility is not None:
            if not self._will(UpdateAddresses):
                self.queue.insert(0, UpdateAddresses())
            return
        if sa.children:
            self._errands += ((partial(_bring_along, sa), self._followed),)
        if not any(isinstance(exchange, Liveness) for exchange in self.queue):
            # Whatever is said again may be a repeat to the peer, and such do not lead it here.
            self.queue.insert(0, Liveness())

    def _go_to(self, path: Path) -> None:
        present = self.sa.path
        if not path.tcp:
            super()._go_to(path)
        elif (path.local.address, path.remote.address) != (present.local.address, present.remote.address):
            self._redial(1)  # else it is one that was replaced while somebody looked around

    def _numbered_timer(self, name: str, number: int) -> None:
        if name != "redial":
            super()._numbered_timer(name, number)
        elif self.sa.heir is None:
            if self.sa.state in STANDING:
                self._redial(number)
        elif self.sa.latest.path == self.sa.path:
            self._set(("redial", 1), self.now + JOIN_AFTER)

    def _mind_moves(self) -> None:
        """One that was replaced goes where the other one went, until it is deleted.

        The peer may not know yet that it was replaced, and has to hear of the new connection on this one, too.
        """
        sa = self.sa
        if sa.path.tcp and sa.heir is not None and sa.latest.path != sa.path:
            sa.path = sa.latest.path
            if sa.caller and sa.state is IkeState.REKEYED:
                self.queue.insert(0, Liveness() if sa.mobility is None else UpdateAddresses())
        super()._mind_moves()

    # -- as responder ----------------------------------------------------------------

    def _heard_on_stream(self, path: Path) -> None:
        """What proved itself and is no repeat came on another connection: all that we say goes there (§6.1).

        With MOBIKE another address is not followed before an update says so (§7.1). An SA that is not inside TCP is
        not led there otherwise, and connections of our own are ours to choose.
        """
        sa = self.sa
        beginning = sa.state in BEGINNING
        if not sa.path.tcp or (sa.initiator if beginning else sa.caller):
            return
        elsewhere = path.remote.address != sa.path.remote.address
        if elsewhere and (beginning or sa.mobility is not None):
            return
        if elsewhere and not mobike.acceptable(sa, path):
            sa.emit(Note(sa, f"the peer speaks from {path.remote}, which local_addrs and remote_addrs do not allow"))
            return
        if sa.latest.path == sa.path:
            sa.latest.path = path  # what replaced it is the same peer's
        before, sa.path = sa.path.remote.address, path
        if not beginning:
            sa.emit(Note(sa, f"the peer goes on over {path}"))
            if not self._will(TellToken):
                self.queue += crash_token.moved(sa, before)
        if sa.children:
            self._errands += ((partial(_bring_along, sa), self._followed),)

    def _hang_up(self, ours: bool) -> None:
        """The SA is gone: so is its connection, if we opened it, unless another SA is on it (§6.1)."""
        if ours and self.sa.path.tcp and self.sa.path.local.port:
            self.outside.do(CloseStream(self.sa.path))


async def _open(path: Path, esp: bool) -> Path:
    return await OpenStream(path, esp)


async def _bring_along(sa: IkeSa) -> list[ChildSa]:
    """The children go where their SA is, which may be another one since: the message may have been about rekeying."""
    return await children.follow(sa.latest)
