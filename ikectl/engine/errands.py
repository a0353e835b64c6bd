"""Errands: what a machine has done in the kernel between exchanges, and at the end. Coroutines over facts alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ikectl.errors import BackendError, IkectlError
from ikectl.exchange import children, inner
from ikectl.sa.asks import OwnAddresses, QueryUse, RemoveChild, SourceAddress
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import Note


async def is_uprooted(sa: Association) -> bool:
    """Whether the SA has to be made anew: our address is gone, another leads to the peer, and calling is ours.

    With no way to the peer at all it waits: the address may come back. So it does if `local_addrs` allows no other.
    """
    own, present = await OwnAddresses(), sa.path.local.address
    if not sa.initiator or present in own or sa.connection is None:
        return False
    fixed = [spec.concrete for spec in sa.connection.local_addrs if spec.concrete]
    if fixed:
        return any(each in own and len(each) == len(present) for each in fixed if each is not None)
    try:
        return await SourceAddress(sa.path.remote.address) != present
    except BackendError:
        return False


async def forget_child(sa: Association, child: ChildSa) -> None:
    """A replaced child has lingered long enough for packets under way. Raises BackendError."""
    await RemoveChild(child, True, False)
    child.inbound = False
    children.forget(sa, child)


async def octets_in(sa: Association) -> int:
    """What came in on all children so far; a kernel that cannot tell has seen nothing."""
    used = 0
    for child in sa.living_children:
        try:
            used += (await QueryUse(child)).bytes_in
        except BackendError as failure:
            sa.emit(Note(sa, str(failure)))
    return used


async def look(child: ChildSa, now: float) -> None:
    """Note when a child last carried a packet, either way; one that never did counts from its installation.

    Raises BackendError.
    """
    usage = await QueryUse(child)
    idle = [each for each in (usage.idle_in_for, usage.idle_out_for) if each is not None]
    known = child.used_at or child.installed_at
    child.used_at, child.looked_at = max(known, now - min(idle)) if idle else known, now


async def teardown(sa: Association, pending: Sequence[Callable[[], Awaitable[None]]], why: str) -> None:
    """Take back what exchanges had set up, all children, then inner addresses; a failure keeps nothing else."""
    for take_back in pending:
        await _attempt(sa, take_back())
    for child in list(sa.children.values()):
        gone = child.state is ChildState.DELETED
        await _attempt(sa, RemoveChild(child, True, not gone))
        if not gone:
            child.successor = None
            child.move(ChildState.DELETED)
            children.closed(sa, child, why)
        child.inbound = child.outbound = False
        children.forget(sa, child)
    for undo in inner.undoing(sa):
        await _attempt(sa, undo)


async def _attempt(sa: Association, step: Awaitable[None]) -> None:
    try:
        await step
    except IkectlError as failure:
        sa.emit(Note(sa, f"while closing: {failure}"))
