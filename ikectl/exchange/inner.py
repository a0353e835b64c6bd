"""Inner addresses of an SA, in either version of IKE: leased and given back, installed and removed.

Facts of the SA change after each step, so that whatever happens between two
of them, the end of the SA undoes what was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from ikectl.config.model import ANY_DOMAIN, NO_DOMAIN
from ikectl.errors import BackendError
from ikectl.exchange.configuration import Configuration
from ikectl.pools.pool import USER
from ikectl.sa.asks import InstallAddress, InstallDns, Lease, Release, RemoveAddress, RemoveDns
from ikectl.sa.association import Association
from ikectl.sa.events import Note
from ikectl.sa.inner import Held, Inner
from ikectl.values.domain import is_below, within

DNS_OVER_TLS = "dot"
"""As ALPN calls it (RFC 7858's in IANA's registry)."""


def of(sa: Association) -> Inner:
    """The record of `sa`, made if there is none yet."""
    if sa.inner is None:
        sa.inner = Inner()
    return sa.inner


# -- what the peer has of us -----------------------------------------------------


def held(sa: Association, octets: int) -> tuple[bytes, ...]:
    """The addresses of that length the peer has of our pools."""
    return tuple(one.address for one in of(sa).leases if len(one.address) == octets)


def tenant(sa: Association) -> str:
    """Who the peer is to people: the user that logged in, else its identity."""
    return sa.user or str(sa.remote_id)


async def lease(sa: Association, pools: tuple[str, ...], octets: int, wanted: bytes) -> bytes:
    """A further address for the peer. Raises NoAddress."""
    assert sa.remote_id is not None
    # However the peer spells it: one peer must not have an address for each spelling.
    who = f"{USER}{sa.user}" if sa.user else str(sa.remote_id.canonical)
    remote = sa.path.remote
    # Members of a group may be one identity behind one NAT, which gives each a port of its own.
    found = await Lease(pools, who, octets, wanted, remote.address + remote.port.to_bytes(2, "big"))
    of(sa).leases += (Held(found.pool, who, found.address),)
    return found.address


async def take_back(sa: Association, address: bytes) -> None:
    """The peer does not want that address."""
    inner = of(sa)
    for one in inner.leases:
        if one.address == address:
            inner.leases = tuple(other for other in inner.leases if other is not one)
            await Release(*one)
            return


# -- what we have of the peer ------------------------------------------------------


async def install(sa: Association, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Have these inner addresses and no others; which of them could be installed."""
    inner = of(sa)
    good = []
    for address in addresses:
        if address not in inner.installed:
            try:
                await InstallAddress(address, sa.path.remote.address)
            except BackendError as failure:
                sa.emit(Note(sa, str(failure)))
                continue
            inner.installed += (address,)
        good.append(address)
    sa.own_vips = tuple(good)
    return sa.own_vips


async def retire(sa: Association, addresses: tuple[bytes, ...]) -> None:
    """These inner addresses of ours are in use no longer."""
    inner = of(sa)
    for address in [one for one in inner.installed if one in addresses]:
        left = list(inner.installed)
        left.remove(address)
        inner.installed = tuple(left)
        await RemoveAddress(address)


async def install_names(sa: Association, given: Configuration) -> bool:
    """Ask the name servers that are given; whether it could be done."""
    inner = of(sa)
    owner = inner.owners[0] if inner.owners else f"{sa.name}[{sa.uniqueid}]"
    secure = [one for one in given.secure if DNS_OVER_TLS in one.protocols and one.addresses]
    for one in given.secure:
        if one not in secure:
            sa.emit(Note(sa, f"the resolver {one.name} has no DNS over TLS, and this host speaks no other"))
    if not given.servers and not secure:
        return True
    secure.sort(key=lambda one: one.priority)
    domains = _domains(sa, given)
    if domains is None:
        return False
    ask = InstallDns(owner, tuple(given.servers), *domains, tuple(secure), tuple(sa.own_vips), _is_narrow(sa))
    try:
        await ask
    except BackendError as failure:
        sa.emit(Note(sa, str(failure)))
        return False
    inner.owners = inner.owners or (owner,)
    return True


def _is_narrow(sa: Association) -> bool:
    """Whether the configuration says for which names a gateway's servers may be asked."""
    assert sa.connection is not None
    return sa.connection.dns_domains != (ANY_DOMAIN,)


def _domains(sa: Association, given: Configuration) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The domains to search, and those whose names the servers are asked for; None if there are no such names.

    Whoever we are connected to would otherwise hear every name that this host looks up, and answer it.
    """
    assert sa.connection is not None
    search, routes, allowed = tuple(given.search), tuple(given.routes), sa.connection.dns_domains
    if not _is_narrow(sa):
        return search, routes
    if allowed == (NO_DOMAIN,):
        sa.emit(Note(sa, "the peer's name servers are left aside: dns_domains = %none"))
        return None
    common = within(routes, allowed) if routes else allowed
    if not common:
        sa.emit(Note(sa, f"the peer's name servers are for {' '.join(routes)}, of which dns_domains allows nothing"))
        return None
    return tuple([one for one in search if any(is_below(one, other) for other in allowed)]), common


# -- the end ---------------------------------------------------------------------------


def undoing(sa: Association) -> Iterator[Awaitable[None]]:
    """The steps that leave nothing of mode config behind, each to be awaited."""
    inner, sa.inner = sa.inner, None
    if inner is None:
        return
    yield from (RemoveDns(owner) for owner in inner.owners)
    yield from (RemoveAddress(address) for address in inner.installed)
    yield from (Release(*one) for one in inner.leases)
