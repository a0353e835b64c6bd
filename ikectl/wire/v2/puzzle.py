"""Client puzzles on the wire: what PUZZLE asks, and the Puzzle Solution payload (RFC 8019 §8)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import NotifyType, PayloadType, PrfId
from ikectl.values.record import record
from ikectl.wire.payload import Payload, payload
from ikectl.wire.v2.notify import Notify

KEYS = 4
"""Keys of a solution (§7.1.3): several make the time that it takes vary less."""
MAX_KEY_OCTETS = 64
"""No PRF prefers a longer key, and none longer than it prefers is legal (§8.2)."""
_LAYOUT = Struct("!HB")  # PRF, difficulty
prf_id = PrfId.lookup()


class Demand(NamedTuple):
    """What PUZZLE asks: keys for that prf whose results end in at least `bits` zero bits; 0: as many as one can."""

    prf: PrfId
    bits: int


def puzzle(notify: Notify) -> Demand:
    """What a PUZZLE asks: exactly three octets (§8.1). Raises WireError."""
    if len(notify.data) != _LAYOUT.size:
        raise WireError(f"a PUZZLE of {len(notify.data)} octets; it has {_LAYOUT.size}")
    number, bits = _LAYOUT.unpack(notify.data)
    return Demand(prf_id(number), bits)


def puzzle_notify(demand: Demand) -> Notify:
    """PUZZLE that asks so."""
    return Notify(NotifyType.PUZZLE, _LAYOUT.pack(*demand))


@payload(PayloadType.PS)
@record
class PuzzleSolution(Payload):
    """Puzzle Solution payload: four keys of one length (§8.2). Whether they solve anything is for crypto.puzzle."""

    keys: tuple[bytes, ...]

    @classmethod
    def read(cls, body: bytes) -> Self:
        each, rest = divmod(len(body), KEYS)
        if rest or not 0 < each <= MAX_KEY_OCTETS:
            raise WireError(
                f"a puzzle solution of {len(body)} octets is no {KEYS} keys of 1 to {MAX_KEY_OCTETS} octets"
            )
        return cls(tuple([body[at : at + each] for at in range(0, len(body), each)]))

    def body(self) -> bytes:
        return b"".join(self.keys)
