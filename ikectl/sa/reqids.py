"""Reqids: the numbers that tie kernel policies to the SAs that may serve them; and who holds which policies."""

from __future__ import annotations

from collections.abc import Hashable
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
        return not self.policies or Fresh.NO not in (self.mark_in.fresh, self.mark_out.fresh)

    @property
    def is_of_peer_itself(self) -> bool:
        """Whether it is for traffic of the very address the peer speaks from, which it may share with others."""
        number, v6 = int.from_bytes(self.remote, "big"), len(self.remote) == 16
        return bool([ts for ts in self.ts_remote if ts.start <= number <= ts.end and ts.v6 == v6])

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


class Holders:
    """Who holds which policies, so that nobody is given those of a neighbour behind the same NAT.

    The kernel sends a packet on the newest SA to the peer's address that has
    the reqid of the policy. Of two peers at one address with the same
    selectors the later would so get what is meant for the first. A child of
    the very same peer may share: a renewed one, or one of its second IKE SA.
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, PolicyKey | list[PolicyKey]] = {}
        """The one key of a place, in most, or several; a key stands there once for each child."""

    def take(self, key: PolicyKey) -> Owner | None:
        """One more child has `key`, unless somebody else holds what it would need: that one then."""
        found = [(place, self._at(place)) for place in _places(key)]
        for _, held in found:
            for other in held:
                if other.clashes(key):
                    return other.owner
        for place, held in found:
            self._places[place] = [*held, key] if held else key
        return None

    def remove(self, key: PolicyKey) -> None:
        """One fewer has it."""
        for place in _places(key):
            left = self._at(place)
            left.remove(key)
            if left:
                self._places[place] = left if len(left) > 1 else left[0]
            else:
                del self._places[place]

    def _at(self, place: Hashable) -> list[PolicyKey]:
        found = self._places.get(place)
        return list(found) if isinstance(found, list) else [] if found is None else [found]


def _places(key: PolicyKey) -> list[Hashable]:
    """Where a key is looked for: those that could be mistaken for it have a place with it in common.

    Selectors that merely overlap are compared only among peers that speak for the address they share, who are few:
    each has ports of its own. A network behind one peer may well be part of that behind another.
    """
    if key.is_distinct:
        return []
    places: list[Hashable] = []
    places.append(key.remote if key.is_of_peer_itself else (key.ts_local, key.ts_remote, key.remote))
    if key.reqid:
        places.append((key.reqid, key.remote))
    return places


class Reqids:
    """Gives children that serve the same policies the same reqid.

    The key says what makes policies the same: who the peer is, selectors,
    marks, interface, its address. Two children with one key (a rekeyed one and
    its successor, or both ends starting at once) share policies in the kernel,
    and so must share the reqid. A number is not used again, so a packet under
    way on a dying SA can never match another tunnel's policy.
    """

    def __init__(self, base: int = 1) -> None:
        self._next = base
        self._reqids: dict[Hashable, int] = {}
        self._further: dict[Hashable, int] = {}
        """How many hold a key beside the first; almost always nobody."""

    def fresh(self) -> int:
        """A number that nobody has or had."""
        self._next += 1
        return self._next - 1

    def take(self, key: Hashable, given: int = 0) -> int:
        """The reqid for `key`; to be given back once per take. Who is the first gets `given`, if that is not 0."""
        holders, offered = len(self._reqids), given or self._next
        reqid = self._reqids.setdefault(key, offered)  # a key is long: it is hashed once
        if len(self._reqids) == holders:
            self._further[key] = self._further.get(key, 0) + 1
        elif not given:
            self._next += 1
        return reqid

    def release(self, key: Hashable) -> None:
        """One holder of `key` is gone."""
        further = self._further.get(key, 0)
        if further > 1:
            self._further[key] = further - 1
        elif further:
            del self._further[key]
        else:
            del self._reqids[key]
