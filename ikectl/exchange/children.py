"""What happens to a child in either version of IKE: it is described, installed, announced, switched and removed."""

from __future__ import annotations

from ikectl.config.model import Child, Mode
from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.crypto.suite import ChildSuite
from ikectl.errors import BackendError, TsUnacceptable
from ikectl.iana.v2 import Protocol
from ikectl.sa.asks import FreeSpi, InstallChild, MovePath, RemoveChild, SkipNumbers
from ikectl.sa.association import Association
from ikectl.sa.child_sa import NOTHING_PARTICULAR, ChildSa, ChildState, Particulars
from ikectl.sa.events import ChildDown, ChildUp, Note
from ikectl.sa.reqids import PolicyKey
from ikectl.values.path import Endpoint, Path
from ikectl.values.record import record
from ikectl.values.selector import SelectorSpec, TrafficSelector


@record
class Terms:
    """What both ends agreed on for a child."""

    protocol: Protocol
    suite: ChildSuite
    spi_in: int
    spi_out: int
    ts_local: tuple[TrafficSelector, ...]
    ts_remote: tuple[TrafficSelector, ...]
    transport: bool
    particulars: Particulars = NOTHING_PARTICULAR


Selectors = tuple[TrafficSelector, ...]


def own_selectors(sa: Association, config: Child) -> Selectors:
    """Our side's traffic; `dynamic` is our inner addresses, or without any the address we talk from."""
    return config.fixed_local or _resolved(config.local_ts, sa.own_vips or (sa.ends.local.address,))


def peer_selectors(sa: Association, config: Child) -> Selectors:
    """The peer's side's traffic; `dynamic` is what we gave it, or without that the address it talks from."""
    return config.fixed_remote or _resolved(config.remote_ts, sa.peer_vips or (sa.ends.remote.address,))


def lacks_address(sa: Association, config: Child) -> bool:
    """Whether `config` is for inner addresses that the peer should give us, and it has given none."""
    assert sa.connection is not None
    return bool(sa.connection.vips) and not sa.own_vips and not config.fixed_local


NO_ADDRESS = "local_ts is dynamic, and the peer gave us none of the addresses vips asks for"


def _resolved(specs: tuple[SelectorSpec, ...], addresses: tuple[bytes, ...]) -> Selectors:
    if len(addresses) == 1:
        return tuple([spec.resolve(addresses[0]) for spec in specs])
    found = [spec.resolve(address) for spec in specs for address in addresses]
    return tuple(dict.fromkeys(found))


def as_seen(sa: Association, ts_local: Selectors, ts_remote: Selectors) -> tuple[Selectors, Selectors]:
    """Selectors of a child in transport mode, with the addresses that its packets bear here.

    Behind a NAT the ends name what they see themselves; the kernel and the
    configuration know the addresses of the IKE SA (RFC 3947 §5.2, RFC 7296
    §2.23.1). Raises TsUnacceptable for a side of more than one address.
    """
    return (
        _at(ts_local, sa.ends.local.address) if sa.nat.local else ts_local,
        _at(ts_remote, sa.ends.remote.address) if sa.nat.remote else ts_remote,
    )


def _at(selectors: Selectors, address: bytes) -> Selectors:
    for ts in selectors:
        if ts.start != ts.end or ts.start != selectors[0].start:
            raise TsUnacceptable(f"{ts} in transport mode through a NAT: only a single address can be")
    return tuple(dict.fromkeys([ts.at(address) for ts in selectors]))


def original_address(sa: Association, ts_remote: Selectors) -> bytes:
    """The packed address that the peer has behind its NAT, as its selectors say; empty without such a NAT.

    The kernel is told, for the checksums in transport mode cover it (RFC 7296 §2.23.1, RFC 3948 §3.1.2).
    """
    if not sa.nat.remote or not ts_remote:
        return b""
    return ts_remote[0].start.to_bytes(16 if ts_remote[0].v6 else 4, "big")


def describe(
    sa: Association, config: Child, initiator: bool, terms: Terms, path: Path, keys: ChildKeys | None
) -> ChildSa:
    """The facts of a new child; nothing is installed.

    Raises TsUnacceptable where another peer at that address has the same policies.
    """
    assert sa.connection is not None
    if_id_in = config.if_id_in or sa.connection.if_id_in
    if_id_out = config.if_id_out or sa.connection.if_id_out
    key = _policy_key(sa, config, terms, (if_id_in, if_id_out))
    env, trapped = sa.env, 0
    if env.sentries.standing:
        # That of a trap for the very same traffic, so that what is asked for by its packets serves it, too.
        trapped = env.sentries.reqid(sa.name, config.name, path, key.ts_local, key.ts_remote)
    policies = env.reqids.take(key, trapped)
    if policies is None:
        raise TsUnacceptable(
            f"{' '.join(map(str, key.ts_local))} === {' '.join(map(str, key.ts_remote))} is held by "
            f"{env.reqids.neighbour(key)} at the same address, and packets for one would go to the other; set "
            "mark_in = %unique and mark_out = %unique" + (", or leave out reqid" if config.reqid else "")
        )
    return ChildSa(
        uniqueid=env.next_child(),
        ike=sa,
        config=config,
        initiator=initiator,
        protocol=terms.protocol,
        mode=Mode.TRANSPORT if terms.transport else Mode.TUNNEL,
        suite=terms.suite,
        spi_in=terms.spi_in,
        spi_out=terms.spi_out,
        ts_local=terms.ts_local,
        ts_remote=terms.ts_remote,
        path=path,
        encap=sa.encap,
        policies=policies,
        if_id_in=if_id_in,
        if_id_out=if_id_out,
        keys=keys,
        particulars=terms.particulars,
    )


def _policy_key(sa: Association, config: Child, terms: Terms, if_ids: tuple[int, int]) -> PolicyKey:
    ts_local, ts_remote = terms.ts_local, terms.ts_remote
    if terms.transport and sa.nat.found:
        # A NAT rewrites the packets themselves, so the kernel knows them by these (RFC 3947 §5.2, RFC 7296 §2.23.1).
        ts_local = tuple(ts.at(sa.ends.local.address) for ts in ts_local)
        ts_remote = tuple(ts.at(sa.ends.remote.address) for ts in ts_remote)
    return PolicyKey(
        sa.remote_id,
        sa.user,
        ts_local,
        ts_remote,
        sa.ends.remote.address,
        config.mark_in,
        config.mark_out,
        *if_ids,
        config.interface,
        config.reqid,
        config.policies,
    )


async def install(sa: Association, child: ChildSa, *, outbound: bool = True, replaces: ChildSa | None = None) -> None:
    """Put `child` into the kernel and among the children of `sa`. Raises BackendError, leaving nothing.

    Unique marks stay those of the child it `replaces`, or else of one of `sa` with the same policies.
    """
    if child.config.unique_marks:
        await _mark(sa, child, replaces)
    try:
        await InstallChild(child, True, outbound)
    except BaseException:  # the SA may be closed meanwhile, too, and what came of it is undone
        _release(sa, child)
        raise
    child.inbound, child.outbound = True, outbound
    if outbound:
        child.forget_keys()
    child.move(ChildState.INSTALLED)
    sa.children[child.spi_in] = child


async def _mark(sa: Association, child: ChildSa, replaces: ChildSa | None) -> None:
    """Give `child` its unique marks. Raises BackendError, leaving nothing of it."""
    alike = replaces or next((one for one in sa.children.values() if one.policies is child.policies), None)
    try:
        child.given_marks = sa.env.marks.take(child.config, alike.given_marks if alike is not None else None)
    except BackendError:
        _release(sa, child)
        await FreeSpi(child.protocol, child.path, child.spi_in)
        for companion in child.companions:
            await FreeSpi(companion.protocol, child.path, companion.spi_in)
        raise


def announce(sa: Association, child: ChildSa) -> None:
    """Tell observers that a child is up."""
    sa.emit(ChildUp(sa, child))


async def follow(sa: Association, encap: bool | None = None) -> list[ChildSa]:
    """Let the children go where the SA is; those the kernel did not move, which should be replaced.

    `encap` says whether their ESP goes in UDP or TCP from now on; None leaves it as it is.
    """
    failed: list[ChildSa] = []
    for child in sa.living_children:
        before = child.path, child.encap
        after = sa.way, child.encap if encap is None else encap
        if before == after:
            continue
        child.path, child.encap = after
        try:
            await MovePath(child, before[0])
        except BackendError as failure:
            child.path, child.encap = before
            sa.emit(Note(sa, f"child {child.name} did not move to {sa.way}: {failure}"))
            failed.append(child)
    return failed


async def skip_numbers(sa: Association, packets: int) -> list[ChildSa]:
    """Leave out that many packet numbers on every child; those that cannot should be replaced (RFC 6311 §5.2)."""
    failed: list[ChildSa] = []
    for child in sa.living_children:
        try:
            await SkipNumbers(child, packets)
        except BackendError as failure:
            sa.emit(Note(sa, f"child {child.name}: {failure}"))
            failed.append(child)
    return failed


async def remap(sa: Association, remote: Endpoint) -> None:
    """The peer's NAT has another port for ESP: every child behind it sends there. Raises BackendError."""
    for child in sa.living_children:
        old = child.path
        if old.remote.address == remote.address and old.remote != remote:
            child.path = Path(old.local, remote)
            try:
                await MovePath(child, old)
            except BackendError:
                child.path = old
                raise


async def switch_outbound(child: ChildSa) -> None:
    """Send on `child` from now on, if it does not yet."""
    if not child.outbound and child.usable:
        await InstallChild(child, False, True)
        child.outbound = True
        child.forget_keys()


async def remove(sa: Association, child: ChildSa, why: str | None) -> None:
    """Take `child` out of the kernel and out of `sa`. `why` None says nothing to observers.

    A child that was replaced hands the outbound direction to its successor and
    stays for the packets under way: the engine ends it a little later.
    """
    if child.state is ChildState.DELETED:
        return
    replaced = child.successor is not None
    if child.successor is not None:
        await switch_outbound(child.successor)
    await RemoveChild(child, not replaced, child.outbound or not replaced)
    child.outbound = False
    child.inbound = replaced
    child.move(ChildState.DELETED)
    if not replaced:
        forget(sa, child)
    if why is not None:
        closed(sa, child, why)


def closed(sa: Association, child: ChildSa, why: str) -> None:
    """Tell observers that a child is gone."""
    sa.emit(ChildDown(sa, child, why))


def forget(sa: Association, child: ChildSa) -> None:
    """Nothing of `child` is in the kernel any more: drop the record."""
    sa.children.pop(child.spi_in, None)
    _release(sa, child)


def _release(sa: Association, child: ChildSa) -> None:
    sa.env.marks.release(child.given_marks)
    sa.env.reqids.release(child.policies)
