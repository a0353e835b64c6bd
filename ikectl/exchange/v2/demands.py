"""What a responder under load demands of an initiator first: a cookie, a puzzle solved (RFC 7296 §2.6, RFC 8019 §7.1).

Nothing of it is authenticated. So what it makes us do is bounded: how hard a
puzzle is, how long we work, how often; and an answer without a puzzle is taken
as soon as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ikectl.crypto.puzzle import expected_tries
from ikectl.crypto.transforms import PRF_BY_ID
from ikectl.errors import IkectlError, PeerMisbehaved, WireError
from ikectl.exchange.v2.base import Again, Aside, Doubt, Ignore
from ikectl.iana.v2 import NotifyType
from ikectl.sa.asks import SearchPuzzle
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import MAX_COOKIE_OCTETS, Notify
from ikectl.wire.v2.puzzle import KEYS, Demand, PuzzleSolution, puzzle
from ikectl.wire.v2.sa import Proposal

FREE_CHOICE = 16
"""Zero bits that we find when the responder leaves it to us (§7.1.1.1): a second or so of work."""
SLICE = 1 << 19
"""Tries asked for at a time: seconds of a processor, after which it is seen whether anybody still wants to know."""
PATIENCE = 6
"""Times the tries it takes on average: with fewer than that one puzzle in a million goes unsolved."""
LONGEST = 60.0
"""Seconds of work for one puzzle; a gateway's cookies are not good for much longer."""
MOST_PUZZLES = 3
"""Worked on in one IKE_SA_INIT. A gateway may want more when its load grows; so may somebody who wastes our time."""


@dataclass(slots=True, eq=False)
class Demands:
    """Those that one IKE_SA_INIT of ours has met so far."""

    cookie: bytes = b""
    """To be shown; empty: none was demanded."""
    solution: PuzzleSolution | None = None
    """Of the puzzle that came with this cookie."""
    obeyed: tuple[bytes, ...] = ()
    """All cookies that were shown; as many as there are restarts at most."""
    works_on: bytes = b""
    """The cookie whose puzzle is being solved."""
    begun: int = 0
    """Puzzles worked on."""
    unsolved: str = ""
    """Why this cookie is shown without a solution."""
    for_auth: tuple[bytes, PuzzleSolution | str] = (b"", "")
    """What was solved for IKE_AUTH, and the solution, or why there is none."""

    def payloads(self) -> list[Payload]:
        """What the request begins with."""
        if not self.cookie:
            return []
        cookie = Notify(NotifyType.COOKIE, self.cookie)
        return [cookie] if self.solution is None else [cookie, self.solution]

    def take(self, sa: IkeSa, offered: Sequence[Proposal], reply: Message) -> Again | Aside | Doubt | Ignore:
        """A response with a COOKIE came. Raises PeerMisbehaved."""
        demanded, asks = reply.notify(NotifyType.COOKIE), reply.notify(NotifyType.PUZZLE)
        assert demanded is not None
        cookie = demanded.data
        if cookie in self.obeyed:
            if self.unsolved and asks is not None and cookie == self.cookie:
                return Doubt(self.unsolved)
            return Ignore("the network's echo of a cookie we obeyed already")
        if not 1 <= len(cookie) <= MAX_COOKIE_OCTETS:
            raise PeerMisbehaved(f"a cookie of {len(cookie)} octets; 1 to {MAX_COOKIE_OCTETS} are legal (§2.6)")
        if asks is None:
            self._show(cookie)
            return Again()
        if self.works_on:
            return Ignore("a puzzle is being solved already")
        try:
            demand = puzzle(asks)
        except WireError as failure:
            return Ignore(str(failure))
        obstacle = self._obstacle(sa, offered, demand)
        if obstacle:
            sa.emit(Note(sa, f"{obstacle}; asking without a solution, as peers do that know no puzzles"))
            self._show(cookie, unsolved=obstacle)
            return Again()
        self.works_on = cookie
        self.begun += 1
        return Aside(self._solve(sa, cookie, demand))

    def _show(self, cookie: bytes, solution: PuzzleSolution | None = None, unsolved: str = "") -> None:
        self.cookie, self.solution, self.unsolved, self.works_on = cookie, solution, unsolved, b""
        self.obeyed += (cookie,)

    def _obstacle(self, sa: IkeSa, offered: Sequence[Proposal], demand: Demand) -> str:
        """Why we do not try to solve that; empty if we do (§7.1.2)."""
        asks = _asks(demand)
        if demand.bits > sa.env.settings.puzzle_limit:
            return f"{asks}, refused: it is harder than {sa.env.settings.puzzle_limit} bits, the most we work for"
        row = PRF_BY_ID.get(demand.prf)
        if row is None or all(row.transform not in each.transforms for each in offered):
            return f"{asks}, refused: its prf is none of those in our proposals (RFC 8019 §7.1.1.2)"
        if self.begun >= MOST_PUZZLES:
            return f"{asks}, refused: it is one more after {MOST_PUZZLES} of them"
        return ""

    async def _solve(self, sa: IkeSa, cookie: bytes, demand: Demand) -> None:
        """Work, and show what came of it."""
        asks = _asks(demand)
        sa.emit(Note(sa, f"{asks}; solving it"))
        bits = demand.bits or FREE_CHOICE
        try:
            solution, seconds = await solve(demand._replace(bits=bits), cookie)
        except IkectlError as failure:
            unsolved = f"{asks}, which was not solved: {failure}"
            sa.emit(Note(sa, f"{unsolved}; asking without"))
            self._show(cookie, unsolved=unsolved)
            return
        sa.emit(Note(sa, f"the puzzle is solved: {bits} bits took {seconds:.1f} s"))
        self._show(cookie, solution)

    def before_auth(
        self, sa: IkeSa, offered: Sequence[Proposal], asks: Notify, data: bytes
    ) -> PuzzleSolution | Aside | Doubt | Ignore:
        """A responder that chose wants a puzzle solved over `data`, Nr | SPIr, before it opens our IKE_AUTH (§7.2).

        There is no going on without (§7.2.2). Raises WireError, PeerMisbehaved.
        """
        done, solution = self.for_auth
        if done == data:
            return Doubt(solution) if isinstance(solution, str) else solution
        if self.works_on:
            return Ignore("a puzzle is being solved already")
        demand = puzzle(asks)
        if not demand.bits:
            raise PeerMisbehaved("a puzzle for IKE_AUTH of no difficulty, which is illegal (RFC 8019 §7.2.1.1)")
        obstacle = self._obstacle(sa, offered, demand)
        if obstacle:
            return Doubt(obstacle)
        self.works_on = data
        self.begun += 1
        return Aside(self._solve_for_auth(sa, data, demand), take=True)

    async def _solve_for_auth(self, sa: IkeSa, data: bytes, demand: Demand) -> None:
        sa.emit(Note(sa, f"{_asks(demand)} before IKE_AUTH; solving it"))
        try:
            solution, seconds = await solve(demand, data)
        except IkectlError as failure:
            self.for_auth = data, f"{_asks(demand)} before IKE_AUTH, which was not solved: {failure}"
        else:
            sa.emit(Note(sa, f"the puzzle is solved: {demand.bits} bits took {seconds:.1f} s"))
            self.for_auth = data, solution
        self.works_on = b""

    def restarted(self) -> None:
        """The request is made anew for another reason: work that was under way is dropped."""
        self.works_on = b""


def _asks(demand: Demand) -> str:
    hard = f"a puzzle of {demand.bits} bits" if demand.bits else "a puzzle as hard as we can afford"
    return f"the gateway is under load and asks for {hard} (RFC 8019)"


async def solve(demand: Demand, data: bytes) -> tuple[PuzzleSolution, float]:
    """A solution over `data`, of a prf that we know, and the seconds it took.

    Raises PeerMisbehaved when that takes longer than anybody can wait, and BackendError.
    """
    keys: tuple[bytes, ...] = ()
    seconds, start, most = 0.0, 0, PATIENCE * expected_tries(demand.bits)
    while len(keys) < KEYS:
        if start >= most or seconds >= LONGEST:
            raise PeerMisbehaved(f"no solution after {start} tries and {seconds:.0f} s")
        tries = min(SLICE, most - start)
        found = await SearchPuzzle(demand.prf, data, demand.bits, start, tries, KEYS - len(keys))
        keys += found.keys
        seconds += found.seconds
        start += tries
    return PuzzleSolution(keys), seconds
