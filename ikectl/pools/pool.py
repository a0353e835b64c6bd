"""Pool: the addresses of one pool and who has them.

Leases are sticky: who comes again gets the address it had, as long as the
pool does not need it for somebody else. Nothing here knows the time or why a
lease ends; what is to outlive the process is `Pool.state`, a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ikectl.errors import NoAddress

MAX_REMEMBERED = 65536
"""Leases without a holder that a pool keeps in mind: 10 MiB or so. Peers choose identities within what a
configuration allows, so a huge pool must not remember all that ever came."""


USER = "\0"
"""Before the name of a user among the identities: what peers call themselves as text has nothing unprintable, so that
nobody gets a user's addresses by a name alone, nor the other way round."""


class Lease(NamedTuple):
    """An address (packed) and whose it is; online while somebody holds it."""

    address: bytes
    identity: str
    online: bool

    @property
    def holder(self) -> str:
        """The identity or the user's name, for display."""
        return self.identity.removeprefix(USER)


class Held(NamedTuple):
    """One lease as part of a state: the number of times it is held, and from where (packed address and port; empty:
    not at all)."""

    address: bytes
    identity: str
    holders: int
    peer: bytes


class PoolState(NamedTuple):
    """Everything that is to be kept: leases in the order in which their addresses are given to others."""

    leases: tuple[Held, ...] = ()
    next: bytes = b""
    """The packed address at which the search for a fresh one goes on."""


@dataclass(slots=True)
class _Entry:
    identity: str
    holders: int = 0
    peer: bytes = b""


@dataclass(slots=True)
class Pool:
    """Addresses `low` to `high` (packed, included) of one family.

    Identities are text: a peer's identity, or USER and a user's name. The same
    identity may come several times at once, from several devices; each gets an
    address of its own, unless it comes from the same `peer` (address and port)
    and asks for the one it has: that is the same device again, before its old
    SA has gone.
    """

    name: str
    low: bytes
    high: bytes
    _leases: dict[int, _Entry] = field(default_factory=dict, repr=False)
    _of: dict[str, list[int]] = field(default_factory=dict, repr=False)
    _offline: dict[int, None] = field(default_factory=dict, repr=False)
    """Addresses nobody holds, the longest unused first."""
    _next: int = 0

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or self.low > self.high:
            raise ValueError("the last address of a pool is not after its first, or of another family")
        self._next = self._next or self._first

    # -- what it is

    @property
    def _first(self) -> int:
        return int.from_bytes(self.low, "big")

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return int.from_bytes(self.high, "big") - self._first + 1

    @property
    def online(self) -> int:
        """How many are held."""
        return len(self._leases) - len(self._offline)

    @property
    def offline(self) -> int:
        """How many are kept for those who had them."""
        return len(self._offline)

    def __contains__(self, address: bytes) -> bool:
        return len(address) == len(self.low) and self.low <= address <= self.high

    def overlaps(self, other: Pool) -> bool:
        """Whether they have an address in common."""
        return len(self.low) == len(other.low) and self.low <= other.high and other.low <= self.high

    def leases(self) -> Iterator[Lease]:
        """All of them, by address."""
        for number in sorted(self._leases):
            entry = self._leases[number]
            yield Lease(self._packed(number), entry.identity, entry.holders > 0)

    def knows(self, identity: str) -> bool:
        """Whether it has or had an address here."""
        return identity in self._of

    # -- what happens

    def acquire(self, identity: str, wanted: bytes = b"", peer: bytes = b"") -> bytes:
        """An address for `identity`, packed; `release` gives it back.

        In this order: the one it holds already from `peer`, if it is
        `wanted`; one it had before, `wanted` before others; `wanted`, if
        nobody had it; any that nobody had; the one unused for longest.

        Raises NoAddress.
        """
        number = self._find(identity, int.from_bytes(wanted, "big") if wanted in self else -1, peer)
        self._offline.pop(number, None)
        entry = self._leases.get(number)
        if entry is None or entry.identity != identity:
            self._drop(number)
            entry = self._leases[number] = _Entry(identity)
            self._of.setdefault(identity, []).append(number)
        entry.holders += 1
        entry.peer = peer
        return self._packed(number)

    def release(self, identity: str, address: bytes) -> bool:
        """Whether `identity` held it. The address is kept for it until somebody else needs it."""
        number = int.from_bytes(address, "big")
        entry = self._leases.get(number) if address in self else None
        if entry is None or entry.identity != identity or not entry.holders:
            return False
        entry.holders -= 1
        if not entry.holders:
            entry.peer = b""
            self._offline[number] = None
            if len(self._offline) > MAX_REMEMBERED:
                self._drop(next(iter(self._offline)))
        return True

    def _find(self, identity: str, wanted: int, peer: bytes) -> int:
        own = self._of.get(identity, ())
        held = self._leases.get(wanted)
        if held is not None and held.identity == identity and (not held.holders or (peer and held.peer == peer)):
            return wanted
        before = next((number for number in own if number in self._offline), None)
        if before is not None:
            return before
        if wanted >= 0 and held is None:
            return wanted
        if len(self._leases) < self.size:
            return self._fresh()
        if self._offline:
            return next(iter(self._offline))
        raise NoAddress(f"pool {self.name!r} has no free address: all {self.size} are taken")

    def _fresh(self) -> int:
        """The next address without a lease, of which there is one; goes round."""
        first, last = self._first, int.from_bytes(self.high, "big")
        number = self._next
        while number in self._leases or number > last:
            number = first if number >= last else number + 1
        self._next = number + 1
        return number

    def _drop(self, number: int) -> None:
        entry = self._leases.pop(number, None)
        self._offline.pop(number, None)
        if entry is not None:
            own = self._of[entry.identity]
            own.remove(number)
            if not own:
                del self._of[entry.identity]

    def _packed(self, number: int) -> bytes:
        return number.to_bytes(len(self.low), "big")

    # -- as a value

    @property
    def state(self) -> PoolState:
        """What `restored` makes the same pool of."""
        held = [number for number in self._leases if number not in self._offline]
        leases = (
            Held(self._packed(number), entry.identity, entry.holders, entry.peer)
            for number, entry in ((number, self._leases[number]) for number in (*self._offline, *held))
        )
        return PoolState(tuple(leases), self._packed(min(self._next, int.from_bytes(self.high, "big"))))

    @classmethod
    def restored(cls, name: str, low: bytes, high: bytes, state: PoolState) -> Pool:
        """A pool with the leases of `state` that lie in it: after a restart, or when its range has changed."""
        pool = cls(name, low, high)
        for address, identity, holders, peer in state.leases:
            number = int.from_bytes(address, "big")
            if address not in pool or number in pool._leases:
                continue
            pool._leases[number] = _Entry(identity, holders, peer)
            pool._of.setdefault(identity, []).append(number)
            if not holders:
                pool._offline[number] = None
        if state.next in pool:
            pool._next = int.from_bytes(state.next, "big")
        return pool

    def strays(self, low: bytes, high: bytes) -> int:
        """How many held addresses would lie outside another range."""
        return sum(1 for address, _, online in self.leases() if online and not self._within(address, low, high))

    @staticmethod
    def _within(address: bytes, low: bytes, high: bytes) -> bool:
        return len(address) == len(low) and low <= address <= high
