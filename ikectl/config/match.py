"""Which connection fits: first by addresses, then by identities and the method of proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from ikectl.config.model import EXACT_ADDRESS_MATCH, NO_ADDRESS_MATCH, AddressSpec, AuthKind, Connection
from ikectl.iana.v2 import IdType
from ikectl.values.identity import MATCH_ANY, MATCH_EXACT, NO_MATCH, Identity

Resolved = Mapping[str, Sequence[bytes]]
"""Packed addresses of the host names in configurations, as far as they are known."""


class Chosen(NamedTuple):
    """The connection that fits, or None and the reason for the log."""

    connection: Connection | None
    why: str = ""


class AddressTable:
    """Connections by address, so that a search does not walk over every site of a large gateway.

    Connections with none but single remote addresses are found by dict; only
    the others are looked at one by one.
    """

    def __init__(self, connections: Iterable[Connection]) -> None:
        self._exact: dict[bytes, list[tuple[int, Connection]]] = {}
        self._others: list[tuple[int, Connection]] = []
        for entry in enumerate(connections):
            addresses = [spec.concrete for spec in entry[1].remote_addrs]
            if None in addresses:
                self._others.append(entry)
                continue
            for address in dict.fromkeys(addresses):
                if address is not None:
                    self._exact.setdefault(address, []).append(entry)

    def candidates(
        self, local: bytes, remote: bytes, resolved: Resolved | None = None, version: int = 2
    ) -> list[Connection]:
        """Those whose address lists hold both packed addresses, closest first; equals in the given order.

        The peer's address counts before ours: it tells peers apart. Only
        those that speak `version` of IKE are candidates.
        """
        scored: list[tuple[int, int, int, Connection]] = []
        for order, connection in self._exact.get(remote, ()):
            near = _closest(connection.local_addrs, local, resolved)
            if near and connection.speaks(version):
                scored.append((-EXACT_ADDRESS_MATCH, -near, order, connection))
        for order, connection in self._others:
            far = _closest(connection.remote_addrs, remote, resolved)
            near = _closest(connection.local_addrs, local, resolved) if far else NO_ADDRESS_MATCH
            if near and connection.speaks(version):
                scored.append((-far, -near, order, connection))
        if len(scored) > 1:
            scored.sort(key=lambda entry: entry[:3])
        return [entry[3] for entry in scored]


def for_addresses(
    connections: Iterable[Connection], local: bytes, remote: bytes, resolved: Resolved | None = None, version: int = 2
) -> list[Connection]:
    """`AddressTable.candidates` for one search."""
    return AddressTable(connections).candidates(local, remote, resolved, version)


def presumed_peers(connection: Connection, address: bytes) -> tuple[Identity, ...]:
    """Who the peer at a packed address may be, as long as it has not said so; likeliest first.

    IKEv1's Main Mode with a pre-shared key needs the key before the identity
    (RFC 2409 §5.4): that of the one identity which the connection expects, or
    of the address (an owner that is this address, a network, a range, or
    anybody), or where the connection takes anybody, of anybody.
    """
    expected = connection.remote[0].id.identity
    by_address = Identity.of_address(address)
    return (expected, by_address) if expected is not None else (by_address, Identity(IdType.ANY, b""))


class Round(NamedTuple):
    """What the peer shows in one round of IKEv2's authentication (RFC 4739)."""

    proof: AuthKind
    """Its method."""
    done: int = 0
    """Rounds before this one."""
    more: bool | None = False
    """Another one follows; None: that is not known yet."""


def for_identities(
    candidates: Sequence[Connection],
    peer: Identity,
    ours: Identity | None = None,
    now: Round | None = None,
) -> Chosen:
    """The closest connection for the peer's identity (IDi), and ours if it named one (IDr).

    `now` is the peer's round, where that is known already. The peer's
    identity counts before ours; equals in the order of `candidates`, which
    `for_addresses` gives. A connection without an identity of its own fits
    any that the peer asks for.
    """
    best: tuple[int, int] = (NO_MATCH, NO_MATCH)
    chosen: Connection | None = None
    done = 0 if now is None else now.done
    for connection in candidates:
        if now is not None and not _wants(connection, now):
            continue
        score = (connection.remote[done].id.match(peer), _own_closeness(connection, ours))
        if all(score) and score > best:
            best, chosen = score, connection
    return Chosen(chosen, "" if chosen else _why_none(candidates, peer, ours, now))


def _wants(connection: Connection, now: Round) -> bool:
    """Whether a connection has such a round there."""
    remote = connection.remote
    return (
        len(remote) > now.done
        and remote[now.done].auth.kind is now.proof
        and now.more in (None, len(remote) > now.done + 1)
    )


def _closest(specs: Sequence[AddressSpec], address: bytes, resolved: Resolved | None) -> int:
    if len(specs) == 1:
        return specs[0].match(address, resolved)
    closest = NO_ADDRESS_MATCH
    for spec in specs:
        closeness = spec.match(address, resolved)
        if closeness > closest:
            closest = closeness
    return closest


def _own_closeness(connection: Connection, ours: Identity | None) -> int:
    own = connection.local[0].id
    if ours is None or ours.is_any or own is None:
        return MATCH_ANY
    return MATCH_EXACT if own.same(ours) else NO_MATCH


def _why_none(candidates: Sequence[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    """What kept each of them from fitting; those that came closest are told of first. At most SHOWN are."""
    if not candidates:
        return "no connection fits the addresses"
    far: list[tuple[int, Connection]] = []
    for connection in candidates:
        far.append((_stage(connection, peer, ours, now), connection))
    deepest = max(stage for stage, _ in far)
    nearest = [connection for stage, connection in far if stage == deepest]
    why = _EXPLAIN[deepest](nearest, peer, ours, now)
    others = [connection for stage, connection in far if stage != deepest]
    if others:
        told = (f"{each.name}: {_short(each, peer, ours, now)}" for each in others[:SHOWN])
        why += f"; others do not fit either: {', '.join(told)}" + (", ..." if len(others) > SHOWN else "")
    return why


SHOWN = 5
"""Connections that a line tells of."""
MAX_SAME = 64
"""Expected identities that are looked at for the stranger's name in another kind."""
MAX_COMPARED = 4
"""Those that a stranger's is compared with letter by letter, to find what may have been mistyped: that is slow."""
MAX_COMPARED_LENGTH = 64
"""Characters at the end of either that are compared so: the time it takes grows with their product."""

_ROUND, _PEER, _OWN, _PROOF, _MORE = range(5)
"""How far a connection fits: the number of rounds, the peer's identity, ours, the method of proof, what follows."""


def _stage(connection: Connection, peer: Identity, ours: Identity | None, now: Round | None) -> int:
    """The first thing that does not fit."""
    done = 0 if now is None else now.done
    if len(connection.remote) <= done:
        return _ROUND
    if not connection.remote[done].id.match(peer):
        return _PEER
    if not _own_closeness(connection, ours):
        return _OWN
    return _PROOF if now is None or connection.remote[done].auth.kind is not now.proof else _MORE


def _short(connection: Connection, peer: Identity, ours: Identity | None, now: Round | None) -> str:
    """The same of one that is farther away."""
    done = 0 if now is None else now.done
    stage = _stage(connection, peer, ours, now)
    if stage == _ROUND:
        return f"wants {len(connection.remote)} rounds of authentication"
    if stage == _PEER:
        return f"expects {connection.remote[done].id}"
    return f"is {connection.local[0].id}" if stage == _OWN else f"wants {connection.remote[done].auth.kind}"


def _why_round(nearest: list[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    done = 0 if now is None else now.done
    return f"{str(peer)!r} begins round {done + 1} of authentication, and {_names(nearest)} wants {done}"


def _why_peer(nearest: list[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    done = 0 if now is None else now.done
    expected = _listed(str(connection.remote[done].id) for connection in nearest)
    why = f"no connection expects the identity {str(peer)!r}; those for these addresses expect {expected}"
    shown = str(peer).lower()
    known = [exact for each in nearest[:MAX_SAME] if (exact := each.remote[done].id.identity) is not None]
    for exact in known:
        if exact.kind != peer.kind and exact.kind is not IdType.DER_ASN1_DN and str(exact).lower() == shown:
            return (
                f"{why}; the peer sends {peer} as {peer.kind}, and remote.id means it as {exact.kind}: write the kind "
                "in front at one end, such as fqdn: or keyid:"
            )
    # Nothing is proven here yet, so a stranger may make us do this as often as it likes. What tells names apart is
    # at their end when they share a beginning, as distinguished names do.
    ends = {text[-MAX_COMPARED_LENGTH:]: text for text in map(str, known[:MAX_COMPARED])}
    close = get_close_matches(str(peer)[-MAX_COMPARED_LENGTH:], ends, 1, 0.8)
    if close:
        return f"{why}; nearest is {ends[close[0]]}: is one of them mistyped?"
    return f"{why}; set remote.id here, or local.id at the peer"


def _why_own(nearest: list[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    known = _listed(str(connection.local[0].id) for connection in nearest)
    return (
        f"{str(peer)!r} asks for the identity {str(ours)!r}; connections for it have {known}: let the peer's remote.id "
        "be our local.id"
    )


def _why_proof(nearest: list[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    assert now is not None
    wanted = _listed(str(connection.remote[now.done].auth.kind) for connection in nearest)
    return (
        f"{str(peer)!r} proves itself by {now.proof}, but {_names(nearest)} wants another proof ({wanted}): "
        "let local.auth there and remote.auth here be the same"
    )


def _why_more(nearest: list[Connection], peer: Identity, ours: Identity | None, now: Round | None) -> str:
    assert now is not None
    if now.more:
        return f"{str(peer)!r} announces another round of authentication, and {_names(nearest)} wants {now.done + 1}"
    return f"{str(peer)!r} ends with round {now.done + 1} of authentication, and {_names(nearest)} wants more"


_EXPLAIN = {_ROUND: _why_round, _PEER: _why_peer, _OWN: _why_own, _PROOF: _why_proof, _MORE: _why_more}


def _names(connections: Iterable[Connection]) -> str:
    return _listed(connection.name for connection in connections)


def _listed(words: Iterable[str]) -> str:
    """At most five, so that a log line stays a line; no more are looked at than that takes."""
    unique: dict[str, None] = {}
    for word in words:
        unique[word] = None
        if len(unique) > 5:
            break
    return ", ".join(list(unique)[:5]) + (", ..." if len(unique) > 5 else "")
