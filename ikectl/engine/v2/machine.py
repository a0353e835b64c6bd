"""Machine: one IKE SA at work. Runs one exchange coroutine at a time.

Between messages the state is plain and printable: the facts of the SA, the
window, the schedule, the exchange in flight and those that wait. Within the
handling of one message a coroutine may await asks; messages and timers that
come meanwhile wait in a bounded inbox. Protocol judgement is in `exchange`;
here is only the order of things, in parts: where messages go (`roamer.py`), and
on which TCP connection (`dialler.py`), our requests (`requester.py`), the responses to them (`settler.py`), the peer's
requests (`responder.py`); and in this file what the engine wants done, the
deadlines and the end.
"""

from __future__ import annotations

from functools import partial

from ikectl.config.model import Child
from ikectl.engine import lifetimes
from ikectl.engine.driver import Driver, End
from ikectl.engine.v2.dialler import BEGINNING
from ikectl.engine.v2.requester import INITIALS, NO_RETRIES
from ikectl.engine.v2.responder import Responder
from ikectl.engine.view import TasksView
from ikectl.exchange.v2 import redirect
from ikectl.exchange.v2.create_child import CreateChild
from ikectl.exchange.v2.delete import DeleteChildren, DeleteIke
from ikectl.exchange.v2.followup_ke import expire, forget
from ikectl.exchange.v2.ike_sa_init import IkeSaInit
from ikectl.exchange.v2.informational import Liveness
from ikectl.exchange.v2.rekey_child import RekeyChild
from ikectl.exchange.v2.rekey_ike import RekeyIke
from ikectl.exchange.v2.session_resume import SessionResume
from ikectl.exchange.v2.session_ticket import revoke
from ikectl.exchange.v2.window_size import TellWindow
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.schedule import Name
from ikectl.sa.tickets import KeptTicket
from ikectl.sa.window import WideWindow
from ikectl.values.path import Path
from ikectl.wire.header import Header

SUCCESSION_WAIT = 60.0
"""Seconds the peer has to delete an SA it replaced, before we do."""


class Machine(Responder):
    """Drives one IkeSa. See the module."""

    __slots__ = ()

    # -- what the engine wants done ----------------------------------------------

    def initiate(self, child: Child | None, token: int, now: float) -> None:
        if self.sa.path.tcp:
            self._call(IkeSaInit(child, token), child is not None, now)
        else:
            self.begin(IkeSaInit(child, token), now)

    def resume(self, child: Child | None, token: int, ticket: KeptTicket, now: float) -> None:
        """As `initiate`, by a session ticket. Unless it comes to stand a full exchange is to be tried."""
        self.gave_up = ExchangeType.IKE_SESSION_RESUME
        if self.sa.path.tcp:
            self._call(SessionResume(child, ticket, token), child is not None, now)
        else:
            self.begin(SessionResume(child, ticket, token), now)

    def create_child(self, child: Child, token: int, now: float) -> None:
        self.begin(CreateChild(child, token), now)

    def rekey(self, token: int, now: float) -> None:
        self.begin(RekeyIke(token), now)

    def rekey_child(self, child: ChildSa, now: float, token: int = 0) -> None:
        self.begin(RekeyChild(child, token), now)

    def delete(self, why: str, token: int, now: float) -> None:
        self.begin(DeleteIke(why, token), now)

    def delete_children(self, children: tuple[ChildSa, ...], why: str, token: int, now: float) -> None:
        self.begin(DeleteChildren(children, why, token), now)

    @property
    def tasks(self) -> TasksView:
        return TasksView(
            queued=tuple(type(exchange).__name__ for exchange in self.queue),
            active=tuple(type(exchange).__name__ for exchange in self.active),
            passive=(self.answering.name,) if self.answering is not None else (),
        )

    def adopt(self, old: Driver[IkeSa], now: float) -> None:
        """As every driver, and take over what waited there, unless it was about the old SA itself."""
        super().adopt(old, now)
        assert isinstance(old, Machine)
        if old._fragmentation is not None:
            self._fragments.inherit(old._fragmentation)
        about_old = DeleteIke if old.sa.path.tcp else (DeleteIke, Liveness)  # inside TCP it tells of a new connection
        self.queue += [exchange for exchange in old.queue if not isinstance(exchange, about_old)]
        old.queue = [exchange for exchange in old.queue if isinstance(exchange, DeleteIke)]
        for retry in old._retries.values():
            if isinstance(retry, RekeyIke):
                self._outcome(retry.token, None)  # this is what it was for
            else:
                self._later(retry)
        old._retries = NO_RETRIES

    def superseded(self, now: float) -> None:
        """Another SA took over; what is left is to be deleted, by the peer if it began the rekeying."""
        self.now = now
        for name in ("rekey", "reauth", "expire", "liveness", "keepalive"):
            self.schedule.pop(name, None)
        if self.sa.state is IkeState.REKEYED:
            self._set("succession", now + SUCCESSION_WAIT)

    def established(self, now: float) -> None:
        self._alternatives = None
        super().established(now)
        lifetimes.begin_proof(self.sa, now)
        if self.sa.reauth_at or self.sa.reauth_by:
            self._watch_proof()
        connection = self.sa.connection
        if connection is not None and connection.window > 1:
            # Before it is said, for the peer may act on it before its answer is here.
            fresh = self.window.next_request or self.window.expected
            self.window = WideWindow(self.window, connection.window)
            if fresh:  # one that rekeying made says it once it is known to stay
                self.queue.append(TellWindow())

    def send_away(self, gateway: str, token: int, now: float) -> None:
        """Tell the client to go to another gateway."""
        self.begin(redirect.SendAway(gateway, token), now)

    def reauthenticate_at(self, at: float, now: float) -> None:
        """Try to authenticate anew at that instant."""
        self.now = now
        self.sa.reauth_at = at
        self._watch_proof()

    def other_version(self, path: Path, now: float) -> None:
        """A peer that knows IKEv1 alone answers IKE_SA_INIT so (RFC 2408 §5.2); another answer may come yet."""
        if self.sa.state is IkeState.CONNECTING and any(isinstance(each, INITIALS) for each in self.active):
            alone = self.sa.connection is not None and self.sa.connection.version == 2
            self.doubt = "the peer speaks IKEv1 alone" + (": set version = 1, or 0, here" if alone else "")
        else:
            super().other_version(path, now)

    def _take(self, header: Header, datagram: bytes, path: Path) -> None:
        if header.is_response:
            self._take_response(header, datagram, path)
        else:
            self._take_request(header, datagram, path)

    # -- timers ---------------------------------------------------------------------

    def _named_timer(self, name: Name) -> None:
        if name == "verdict" and self._verdict is not None:
            verdict, self._verdict, self._alternatives = self._verdict, None, None
            verdict()
        elif name == "half-open":
            if self.sa.state is IkeState.CONNECTING:
                self._close("the peer did not go on with IKE_AUTH")
        elif name == "rekey":
            self.begin(RekeyIke(), self.now)
        elif name == "expire":
            if self.sa.state in (IkeState.ESTABLISHED, IkeState.REKEYING):
                self.outside.expired(self)
                self.queue.insert(0, DeleteIke("its lifetime ended before it was rekeyed or authenticated anew"))
        elif name == "reauth":
            self.outside.reauthenticate(self, 0)
        elif name == "succession":
            self.begin(DeleteIke("rekeyed"), self.now)
        else:
            super()._named_timer(name)

    def _numbered_timer(self, name: str, number: int) -> None:
        if name == "retransmit":
            self._retransmit(number)
        elif name == "retry":
            retry = self._retries.get(number)
            self._retries = {key: each for key, each in self._retries.items() if key != number}
            if retry is not None:
                self.begin(retry, self.now)
        elif name == "followup":
            self._errands += ((partial(expire, self.sa, number), self._errand_done),)
        else:
            super()._numbered_timer(name, number)

    def _ask_liveness(self) -> None:
        if not self.window.in_flight:
            self.queue.append(Liveness())

    # -- the end -----------------------------------------------------------------------

    def _close(self, why: str, end: End = End.OURS) -> None:
        """Take everything of this SA out of the kernel, then tell the engine."""
        sa = self.sa
        if sa.state is IkeState.CLOSED:
            return
        self.end = end
        self._hang_up(sa.caller or (sa.initiator and sa.state in BEGINNING))
        made = sa.rival.made if sa.rival is not None else None
        sa.rival = None
        if made is not None and made.state is IkeState.ESTABLISHED:
            if end is End.OURS:
                # What the peer's rekeying made goes as well, though not without a word.
                made.predecessor = None
                made.move(IkeState.REKEYED)
                self.outside.supersede(made, self.now)
            else:
                # The peer finished its rekeying of this SA and never saw ours: what that made takes over.
                made.inherit(sa)
        if sa.heir is not None:
            sa.heir.dying -= 1
        given_up = list(self.active)
        if sa.successor is None:
            # Else the heir goes on with what waits here.
            given_up += [*self.queue, *self._retries.values()]
            self.queue, self._retries = [], NO_RETRIES
        self.making = None
        self._drop_aside()
        self.window.give_up()
        ends = [partial(revoke, sa)] if sa.issued and end in (End.OURS, End.DELETED) else []
        for exchange in given_up:
            # Whoever wanted something deleted has it, and whoever wanted another IKE SA has the peer's.
            has = (DeleteIke, DeleteChildren) if sa.heir is None else (DeleteIke, DeleteChildren, RekeyIke)
            self._outcome(exchange.token, None if isinstance(exchange, has) else why)
        # Stay a while to repeat the last reply, unless the peer never got beyond IKE_SA_INIT.
        self._tear_down(
            why,
            end,
            [partial(exchange.abandon, sa, why) for exchange in given_up]
            + [partial(forget, sa, followup) for followup in (sa.followups.pending.values() if sa.followups else ())]
            + ends,
            lambda was_live: self.window.expected > (0 if was_live else 1),
        )
