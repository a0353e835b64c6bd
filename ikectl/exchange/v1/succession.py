"""Succession: which of several children for the same traffic goes on, without an exchange of its own.

IKEv1 knows no rekeying: a quick mode for the same traffic makes another pair
of SAs, and both stand (RFC 2409 §5.5). So the end that installs a new child
looks which older one it renews. When both ends renew at the same time there
are two new ones: both carry packets, and only the better one is renewed again.
"""

from __future__ import annotations

from ikectl.exchange import children
from ikectl.sa.asks import RemoveChild
from ikectl.sa.child_sa import ChildSa, ChildState
from ikectl.sa.events import ChildRekeyed
from ikectl.sa.isakmp_sa import IsakmpSa

TWIN_WINDOW = 60.0
"""Seconds between the births of two children that still were made at the same time: a quick mode under heavy
loss takes no longer, and no lifetime is shorter."""


def alike(one: ChildSa, other: ChildSa) -> bool:
    """Whether both are for the same traffic."""
    return one is not other and one.policies is other.policies and one.config.name == other.config.name


def order(child: ChildSa) -> tuple[int, int]:
    """What both ends know of a child alike, to decide between twins."""
    return min(child.spi_in, child.spi_out), max(child.spi_in, child.spi_out)


def twins(one: ChildSa, other: ChildSa) -> bool:
    """Whether two children come of both ends' beginning at once."""
    return one.initiator != other.initiator and abs(one.installed_at - other.installed_at) < TWIN_WINDOW


def inferior(sa: IsakmpSa, child: ChildSa) -> bool:
    """Whether another child for the same traffic is the one to be renewed."""
    for other in sa.home.children.values():
        if not alike(child, other) or not other.usable:
            continue
        if twins(child, other):
            if order(other) > order(child):
                return True
        elif other.installed_at > child.installed_at:
            return True
    return False


def standing(sa: IsakmpSa, child: ChildSa) -> tuple[ChildSa, ...]:
    """The children that one like `child` would renew, were its exchange to begin now.

    One whose own exchange is still under way is no elder, but a twin.
    """
    found = sa.home.children.values()
    return tuple(other for other in found if alike(child, other) and other.usable and other.outbound)


def bring_home(sa: IsakmpSa, child: ChildSa) -> None:
    """A newer ISAKMP SA may have taken over while the kernel was busy with `child`: it belongs there."""
    if child.ike is not sa.home:
        child.ike.children.pop(child.spi_in, None)
        child.ike = sa.home
        sa.home.children[child.spi_in] = child


def inherit(sa: IsakmpSa, new: ChildSa, before: tuple[ChildSa, ...]) -> tuple[ChildSa, ...]:
    """`new` renews those that stood `before` its exchange; they are returned, and still send what is sent.

    What came up meanwhile is no elder of it, but its twin.
    """
    renewed = tuple(old for old in before if old.ike is sa.home and old.usable)
    for old in renewed:
        old.successor = new
        old.move(ChildState.REKEYED)
        sa.emit(ChildRekeyed(sa, old, new))
    return renewed


async def hand_over(old: ChildSa) -> None:
    """Send on the successor of `old` alone; it receives what is under way until it is deleted."""
    if old.successor is None or not old.outbound:
        return
    await children.switch_outbound(old.successor)
    await RemoveChild(old, False, True)
    old.outbound = False


async def take_over(sa: IsakmpSa, new: ChildSa, before: tuple[ChildSa, ...]) -> bool:
    """As `inherit`, and `new` sends from now on; whether there was one to renew."""
    renewed = inherit(sa, new, before)
    for old in renewed:
        await hand_over(old)
    return bool(renewed)
