"""Roamer: what a machine does when its SA, or the peer, changes addresses (RFC 4555)."""

from __future__ import annotations

from functools import partial

from ikectl.engine.driver import LIVE, STANDING, Driver
from ikectl.engine.outside import Outside
from ikectl.engine.transmit import wait
from ikectl.exchange import children
from ikectl.exchange.v2 import crash_token, mobike
from ikectl.exchange.v2.address_update import TellAddresses, UpdateAddresses
from ikectl.exchange.v2.base import Exchange
from ikectl.exchange.v2.crash_token import TellToken
from ikectl.sa.association import IkeState
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.window import InFlight, Window
from ikectl.values.path import Endpoint, Path

PROBE_AFTER = 1
"""Repeats of a request after which other paths are tried, too: one loss is none of the path's fault."""
FORBEARANCE = 1
"""Repeats beyond `retransmit_tries` for a peer that may move: with the defaults 300 s in all (RFC 4555 §3.11)."""


class Roamer(Driver[IkeSa]):
    """The part of `Machine` that minds paths. What it decides about is the SA's; see `exchange/v2/mobike.py`."""

    __slots__ = ("making", "queue", "window")

    def __init__(self, outside: Outside, sa: IkeSa, now: float) -> None:
        super().__init__(outside, sa, now)
        self.window = Window()
        self.making: Exchange | None = None
        """Our exchange whose request is being made."""
        self.queue: list[Exchange] = []

    @property
    def active(self) -> tuple[Exchange, ...]:
        """Our exchanges under way."""
        made = () if self.making is None else (self.making,)
        if not self.window.in_flight:
            return made
        return (*(request.purpose for request in self.window.in_flight), *made)

    def _send_request(self, request: InFlight) -> None:
        """Send it, once more or for the first time, where the SA is."""
        request.sent_on, request.heard_at = self.sa.path, self.last_heard
        self._send(request.datagrams, self.sa.path)

    def _heard(self, path: Path) -> None:
        """An authentic message came: the peer lives, and this is where (RFC 7296 §2.11, §2.23)."""
        self.last_heard = self.now
        sa = self.sa
        if sa.mobility is not None:
            sa.mobility.heard = path  # and that is all: with MOBIKE an update alone moves the SA (RFC 4555 §3.8)
        if path == sa.path:
            return
        if path.tcp:
            self._heard_on_stream(path)
            return
        if sa.mobility is not None or sa.path.tcp:
            return
        if sa.state is IkeState.CONNECTING:
            # IKE_AUTH comes from port 4500 when a NAT was found. Another address is not followed: the
            # connection was chosen by the one that IKE_SA_INIT came from.
            if not sa.initiator and path.remote.address == sa.path.remote.address:
                sa.path = path
        else:
            self._follow(path)

    def _follow(self, path: Path) -> None:
        before = self.sa.path.remote.address
        super()._follow(path)
        if not self._will(TellToken):
            self.queue += crash_token.moved(self.sa, before)

    def _heard_on_stream(self, path: Path) -> None:
        """The same on a TCP connection, which is not that of the SA."""
        raise NotImplementedError

    def roam(self, now: float) -> None:
        if mobike.movable(self.sa):
            self.begin_after(partial(mobike.bearings, self.sa), self._oriented, now)
        else:
            super().roam(now)

    def _oriented(self, found: mobike.Bearings | None, failure: BaseException | None) -> None:
        """Addresses or routes changed, and this is what they are now."""
        sa, mobility = self.sa, self.sa.mobility
        if failure is not None:
            self._errand_done(None, failure)
        if found is None or mobility is None or sa.state is IkeState.CLOSED:
            return
        if found.path is None:
            sa.emit(Note(sa, f"no way leads to {sa.path.remote.host} just now"))
        elif found.path != sa.path:
            self._go_to(found.path)
        elif found.further != mobility.told and not self._will(TellAddresses):
            self.queue.append(TellAddresses())

    def _go_to(self, path: Path) -> None:
        """The SA runs on another path from now on; as the original initiator, tell the peer (§3.5)."""
        sa, before = self.sa, self.sa.path
        sa.path = path
        assert sa.mobility is not None
        if sa.caller:
            sa.mobility.moves += 1
        if sa.caller and sa.state in STANDING:
            sa.emit(Note(sa, f"moving from {before} to {path}"))
            if not self._will(UpdateAddresses):
                self.queue.insert(0, UpdateAddresses(before=before))
        elif not sa.caller and not self._will(TellAddresses):
            self.queue.insert(0, TellAddresses())

    def _will(self, kind: type[Exchange]) -> bool:
        """Whether such an exchange waits, or is under way and looks after what changed meanwhile."""
        return any(isinstance(exchange, kind) for exchange in (*self.active, *self.queue))

    def _mind_moves(self) -> None:
        """After a move: what is in flight goes on from the new place (§3.5), and the NAT there is kept open."""
        sa = self.sa
        if sa.state not in LIVE:
            return
        for request in self.window.in_flight:
            if request.sent_on != sa.path:
                self._send_request(request)
                request.tries = 0
                self._set(("retransmit", request.message_id), self.now + wait(sa, 0))
        if sa.nat.local and not sa.path.tcp and "keepalive" not in self.schedule:
            self._set("keepalive", self.now + sa.env.settings.keep_alive)

    def _answered_on(self, path: Path) -> None:
        """Our request went out on several paths, and the answer came on this one: it works (§3.10)."""
        mobility = self.sa.mobility
        assert mobility is not None
        probed, mobility.probed = mobility.probed, ()
        if path != self.sa.path and path in probed:
            self._go_to(path)

    def _probe(self, request: InFlight, paths: tuple[Path, ...] | None, failure: BaseException | None) -> None:
        """The path in use is silent: the same request on the others. What changes nothing there is only answered."""
        if failure is not None:
            self._errand_done(None, failure)
        if request not in self.window.in_flight or self.sa.mobility is None:
            return
        self.sa.mobility.probed = paths or ()
        for path in paths or ():
            self._send(request.datagrams, path)

    def _remapped(self, child: ChildSa, remote: Endpoint) -> None:
        """With MOBIKE it is the initiator who moves the SA (§3.8). ESP alone follows, and to another port alone:

        a packet that somebody sent on from elsewhere proves itself, too, and must not turn our traffic there.
        """
        sa = self.sa
        if child.path.tcp:
            return  # ESP follows IKE there, which tells by itself on which connection it is
        if sa.mobility is None:
            super()._remapped(child, remote)
        elif child.usable and sa.nat.remote and not sa.nat.local and remote.address == child.path.remote.address:
            self._errands += ((partial(children.remap, sa, remote), self._errand_done),)

    def _try_other_paths(self, request: InFlight) -> None:
        """A request was repeated: the path may be the reason that it has to be."""
        sa = self.sa
        if sa.mobility is not None and sa.caller and request.tries > PROBE_AFTER and mobike.movable(sa):
            self._errands += ((partial(mobike.other_paths, sa), partial(self._probe, request)),)

    @property
    def _forbearance(self) -> int:
        """Further repeats for a peer that may be on its way to another path, which is for it to find."""
        return FORBEARANCE if self.sa.mobility is not None and not self.sa.caller else 0
