"""Reqids: the numbers that tie kernel policies to the SAs that may serve them; and who holds which policies."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from ikectl.config.model import NO_MARK, Fresh, Mark
from ikectl.values.identity import Identity
from ikectl.values.selector import TrafficSelector


class Owner(NamedTuple):
    """Who the peer of a child proved to be: its identity, and the user that XAUTH named."""

    identity: Identity | None
    user: str = ""

    def __str__(self) -> str:
        return f"{self.user!r} ({self.identity})" if self.user else str(self.identity)


class PolicyKey(NamedTuple):
    """What makes the policies of children the same; equal keys share a reqid."""

    identity: Identity | None
    user: str
    """Both are the owner's; they stand here by themselves because every child has a key."""
    ts_local: tuple[TrafficSelector, ...]
    """Both as packets of this host have them."""
    ts_remote: tuple[TrafficSelector, ...]
    remote: bytes
    """The packed address from which the peer proved itself."""
    mark_in: Mark = NO_MARK
    mark_out: Mark = NO_MARK
    """As configured: those of `%unique` have no number here."""
    if_id_in: int = 0
    if_id_out: int = 0
    interface: str = ""
    reqid: int = 0
    """The one configured, for whoever comes; 0: none."""
    policies: bool = True
    """Policies are installed."""

    @property
    def owner(self) -> Owner:
        """Who the peer proved to be."""
        return Owner(self.identity, self.user)

    @property
    def is_distinct(self) -> bool:
        """Whether nothing can be mistaken for it: marks of its own tell it apart, or it has no policies."""
        return not self.policies or bool(self.mark_in.fresh and self.mark_out.fresh)

    @property
    def is_of_peer_itself(self) -> bool:
        """Whether it is for traffic of the very address the peer speaks from, which it may share with others."""
        number, v6 = int.from_bytes(self.remote, "big"), len(self.remote) == 16
        for ts in self.ts_remote:  # noqa: SIM110  a generator costs more than all the rest
            if ts.start <= number <= ts.end and ts.v6 == v6:
                return True
        return False

    def clashes(self, other: PolicyKey) -> bool:
        """Whether another peer's policies or SAs would be mistaken for these, in either direction."""
        if (self.identity, self.user) == (other.identity, other.user):
            return False
        into = self.mark_in.fresh is Fresh.NO and (self.mark_in, self.if_id_in) == (other.mark_in, other.if_id_in)
        ours = self.mark_out, self.if_id_out, self.interface
        out = self.mark_out.fresh is Fresh.NO and ours == (other.mark_out, other.if_id_out, other.interface)
        return (into or out) and (self.meets(other) or (self.reqid > 0 and self.reqid == other.reqid))

    def meets(self, other: PolicyKey) -> bool:
        """Whether some packet is for both."""
        pairs = (self.ts_local, other.ts_local), (self.ts_remote, other.ts_remote)
        return all(any(one & another for one in ours for another in theirs) for ours, theirs in pairs)


@dataclass(slots=True, eq=False)
class Policies:
    """Policies that children of one key share, each of which holds this very object; only `Reqids` changes it."""

    key: PolicyKey
    reqid: int
    """Ties them to SAs in the kernel."""
    children: int = 1
    """How many have them."""


class Reqids:
    """Gives children that serve the same policies the same reqid, and nobody those of a neighbour behind the same NAT.

    The key says what makes policies the same: who the peer is, selectors,
    marks, interface, its address. Two children with one key (a rekeyed one and
    its successor, or both ends starting at once) share policies in the kernel,
    and so must share the reqid. A number is not used again, so a packet under
    way on a dying SA can never match another tunnel's policy.

    The kernel sends a packet on the newest SA to the peer's address that has
    the reqid of the policy. Of two peers at one address with the same
    selectors the later would so get what is meant for the first. A child of
    the very same peer may share: a renewed one, or one of its second IKE SA.
    """

    def __init__(self, base: int = 1) -> None:
        self._next = base
        self._places: dict[Hashable, Policies | tuple[Policies, ...]] = {}
        """Those that could be mistaken for each other; most are alone in their place."""

    def fresh(self) -> int:
        """A number that nobody has or had."""
        self._next += 1
        return self._next - 1

    def take(self, key: PolicyKey, given: int = 0) -> Policies | None:
        """Those of `key`, to be given back once per take; None where `neighbour` stands in their way.

        The reqid of new ones is the configured one, else `given`, if that is not 0.
        """
        found = [(place, self._at(place)) for place in _places(key)]  # a key is long: it is hashed as rarely as can be
        for _, there in found:
            for held in there:
                if held.key == key:
                    held.children += 1
                    return held
                if held.key.clashes(key):
                    return None
        made = Policies(key, key.reqid or given or self.fresh())
        for place, there in found:
            self._places[place] = (*there, made) if there else made
        return made

    def neighbour(self, key: PolicyKey) -> Owner | None:
        """Who else holds what `key` would need."""
        for place in _places(key):
            for held in self._at(place):
                if held.key.clashes(key):
                    return held.key.owner
        return None

    def release(self, policies: Policies) -> None:
        """One child fewer has them."""
        policies.children -= 1
        if policies.children:
            return
        for place in _places(policies.key):
            left = tuple([held for held in self._at(place) if held is not policies])
            if left:
                self._places[place] = left if len(left) > 1 else left[0]
            else:
                del self._places[place]

    def _at(self, place: Hashable) -> tuple[Policies, ...]:
        found = self._places.get(place)
        return () if found is None else (found,) if isinstance(found, Policies) else found


def _places(key: PolicyKey) -> tuple[Hashable, ...]:
    """Where a key is looked for: those that could be mistaken for it have a place with it in common.

    Selectors that merely overlap are compared only among peers that speak for the address they share, who are few:
    each has ports of its own. A network behind one peer may well be part of that behind another.
    """
    if key.is_distinct:
        return (key,)
    place = key.remote if key.is_of_peer_itself else (key.ts_local, key.ts_remote, key.remote)
    return (place, (key.reqid, key.remote)) if key.reqid else (place,)
