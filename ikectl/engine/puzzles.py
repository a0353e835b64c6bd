"""Puzzles for strangers: when, how hard, and who is let in without (RFC 8019 §4, §6, §7.1).

Cookies make an attacker use addresses that it has, and limits for each address
make it use many. Who has many is made to work for each half-open SA: with every
further one of its address twice as long, and longer the fewer places are left.
Nothing is kept for a stranger: what was asked of it stands in its cookie.
"""

from __future__ import annotations

from ikectl.crypto import puzzle
from ikectl.crypto.transforms import PRF, PRF_BY_ID
from ikectl.iana.v2 import PrfId
from ikectl.sa.env import Random, Settings, drawn
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution
from ikectl.wire.v2.sa import SA

GROWTH = 5
"""Bits added by and by, from the threshold to the last half-open SA: it then takes 32 times as long."""
GRACE = 1
"""Bits by which an honest solution may fall short of what is asked by the time it comes."""


class Puzzles:
    """What one gateway asks of strangers. The draw for those without a solution has a window of one second."""

    __slots__ = ("_asked", "_before", "_let_in", "_random", "_settings", "_window_at")

    def __init__(self, settings: Settings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._window_at = float("-inf")
        self._asked = self._before = self._let_in = 0

    def bits(self, half_open: int, of_site: int) -> int | None:
        """How hard a puzzle is for a stranger now; None: there is none to be solved.

        `of_site` of the half-open SAs come from where it is.
        """
        settings = self._settings
        threshold = settings.puzzle_threshold
        if half_open < threshold:
            return None
        grown = GROWTH * (half_open - threshold) // max(settings.half_open_limit - threshold, 1)
        return min(settings.puzzle_difficulty + grown + of_site, settings.puzzle_most)

    def suffices(self, solution: PuzzleSolution, cookie: bytes, asked: Demand, bits: int) -> bool:
        """Whether a solution of the puzzle that came with a cookie is worth a place, `bits` being asked by now.

        Who did more than was asked is not asked again when more is (§7.1.4).
        """
        shown = puzzle.earned(PRF_BY_ID[asked.prf].prf, solution.keys, cookie)
        return shown >= asked.bits and shown >= bits - GRACE

    def for_auth(self, admitted: bool | Demand) -> Demand | None:
        """The puzzle for IKE_AUTH of who was let in: none unless one was solved for that (§7.2.1)."""
        bits = self._settings.puzzle_auth
        return Demand(admitted.prf, bits) if bits and isinstance(admitted, Demand) else None

    def drawn(self, now: float) -> bool:
        """Whether a request without a solution is let in, by lot (§7.1.4, §7.1.5): its peer may not know puzzles.

        The chance is such that about `puzzle_legacy` of those come in each second, however many ask.
        """
        if now - self._window_at >= 1.0:
            self._before = self._asked if now - self._window_at < 2.0 else 0
            self._window_at, self._asked, self._let_in = now, 0, 0
        self._asked += 1
        wanted = self._settings.puzzle_legacy
        if self._let_in >= wanted or drawn(self._random) * max(self._before, self._asked) >= wanted:
            return False
        self._let_in += 1
        return True


def prf_for(request: Message) -> PrfId | None:
    """The prf for a puzzle, of those that the initiator offers (§7.1.1.2).

    None if we know none of them. Raises PeerMisbehaved for several SA payloads.
    """
    offer = request.get(SA)
    if offer is None:
        return None
    offered = {transform for proposal in offer.proposals for transform in proposal.transforms}
    return next((row.id for row in PRF if row.transform in offered), None)
