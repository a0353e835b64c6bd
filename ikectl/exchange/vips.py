"""Inner addresses and what goes with them, granted and taken: the behaviour that both versions of IKE share.

How they are asked for, by mode config or by the configuration payload, is the
matter of each version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ikectl.config.model import NO_DOMAIN
from ikectl.errors import NoAddress
from ikectl.exchange import inner
from ikectl.exchange.configuration import ADDRESSES, NAME_SERVERS, Configuration
from ikectl.iana.v2 import CfgAttribute
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.events import Banner, NoInnerAddress, Note

ADDRESS_KINDS = frozenset(map(int, ADDRESSES.values()))
SERVER_KINDS = frozenset({*map(int, NAME_SERVERS.values()), CfgAttribute.ENCDNS_IP4, CfgAttribute.ENCDNS_IP6})

SHORTEST = 60
"""Seconds an inner address is used at least: a server that says less would have us ask without end."""


# -- server ----------------------------------------------------------------------------


async def grant(sa: Association, wishes: Mapping[int, Sequence[bytes]]) -> tuple[bytes, ...]:
    """Addresses for the peer: those it has, and new ones as far as it wishes more (none given: any).

    `wishes` are packed addresses by their length, empty for any. What cannot be had is told.
    """
    assert sa.connection is not None
    given: list[bytes] = []
    who = inner.tenant(sa)
    for octets, wanted in wishes.items():
        had = inner.held(sa, octets)
        given += had[: len(wanted)]
        for wish in wanted[len(had) :]:
            try:
                given.append(await inner.lease(sa, sa.connection.pools, octets, wish))
            except NoAddress as refusal:
                sa.emit(NoInnerAddress(sa, True, f"{who}: {refusal}"))
                break
    if any(address not in sa.peer_vips for address in given):
        sa.emit(Note(sa, f"{who} has the inner address {as_text(given)}"))
    sa.peer_vips = leased(sa)
    return tuple(given)


def leased(sa: Association) -> tuple[bytes, ...]:
    """All addresses the peer has of our pools."""
    return tuple(one.address for one in inner.of(sa).leases)


# -- client ----------------------------------------------------------------------------


def wishes(sa: Association, configured: Iterable[bytes]) -> tuple[bytes, ...]:
    """What to ask for: the addresses we have, and of those configured as many as we lack in their family."""
    had: dict[int, int] = {}
    for address in sa.own_vips:
        had[len(address)] = had.get(len(address), 0) + 1
    lacking: list[bytes] = []
    for address in configured:
        if had.get(len(address), 0):
            had[len(address)] -= 1
        else:
            lacking.append(address)
    return (*sa.own_vips, *lacking)


def asks_servers(sa: Association) -> bool:
    """Whether name servers are of any use to this host's resolver."""
    return sa.connection is not None and sa.connection.dns_domains != (NO_DOMAIN,)


@dataclass(slots=True)
class Taken:
    """What became of a configuration."""

    kinds: set[int]
    """The attributes that were accepted."""
    moved: list[ChildSa]
    """Children for inner addresses that we have no longer."""


async def take(sa: Association, given: Configuration) -> Taken:
    """Do as the server says."""
    kinds = set(given.understood) - ADDRESS_KINDS
    moved = await _move_to(sa, given)
    kinds |= {ADDRESSES[len(address)] for address in sa.own_vips if address in given.addresses}
    if not await inner.install_names(sa, given):
        kinds -= SERVER_KINDS
    record = inner.of(sa)
    record.networks = tuple(given.include) or record.networks
    record.excluded = tuple(given.exclude) or record.excluded
    if given.addresses:
        record.expires_in = max([*given.expires_in, SHORTEST]) if any(given.expires_in) else 0
    record.liveness = given.liveness[0] if given.liveness else record.liveness
    _tell(sa, given)
    return Taken(kinds, moved)


async def _move_to(sa: Association, given: Configuration) -> list[ChildSa]:
    """Have the inner addresses that are given; which children were for others that we had."""
    assert sa.connection is not None
    old = sa.own_vips
    wanted: list[bytes] = []
    for address in given.addresses:
        alike = [one for one in wanted if len(one) == len(address)]
        if len(alike) < sum(len(vip) == len(address) for vip in sa.connection.vips):
            wanted.append(address)
        else:
            given.notes.append(f"ignored the inner address {ip_address(address)}, which vips does not ask for")
    if not wanted:
        if not old and sa.connection.vips:
            sa.emit(NoInnerAddress(sa, False, "the peer gave none; its log says why, most likely its pool is empty"))
        return []
    # Of a family that is not mentioned the addresses stay.
    families = {len(address) for address in wanted}
    wanted += [address for address in old if len(address) not in families]
    now = await inner.install(sa, tuple(wanted))
    if not now:
        sa.emit(NoInnerAddress(sa, False, f"{as_text(wanted)} cannot be installed"))
    elif now != old:
        sa.emit(Note(sa, f"our inner address is {as_text(now)}"))
    gone = tuple(address for address in old if address not in now)
    await inner.retire(sa, gone)
    numbers = {(int.from_bytes(address, "big"), len(address) == 16) for address in gone}
    return [child for child in sa.living_children if any((ts.start, ts.v6) in numbers for ts in child.ts_local)]


def _tell(sa: Association, given: Configuration) -> None:
    """What the user or the operator should know."""
    for note in given.notes:
        sa.emit(Note(sa, note))
    for text in given.banner:
        sa.emit(Banner(sa, text))
    for name in given.version:
        sa.emit(Note(sa, f"the peer is {name!r}"))
    for fact in given.facts:
        sa.emit(Note(sa, f"the peer tells: {fact}"))
    if given.exclude:
        networks = " ".join(map(str, given.exclude))
        sa.emit(Note(sa, f"the peer leaves {networks} out of the tunnel"))
    if given.backup:
        sa.emit(Note(sa, f"the peer names other gateways: {' '.join(given.backup)}"))
    if any(given.pfs):
        sa.emit(Note(sa, "the peer wants PFS: proposals of children should have a key exchange"))
    if given.save_password:
        allowed = "may" if any(given.save_password) else "must not"
        sa.emit(Note(sa, f"by the peer's policy a user {allowed} save the password"))


def as_text(addresses: Iterable[bytes]) -> str:
    """For people to read."""
    return " ".join(str(ip_address(address)) for address in addresses)
