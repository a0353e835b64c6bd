"""Moving: SAs between other addresses, no packet number used twice and no packet taken twice.

An SA's counters go on changing until the SA is gone. Whoever reads them first
and deletes it then misses the packets in between: sent again, their numbers
would repeat, and with them the IVs of counter-mode ciphers (RFC 4106 §3.1);
received again, they would pass for new ones. So the SA is deleted first, and
the kernel's own report of that deletion, made under the lock that every packet
takes, says where the counters stood.

XFRM_MSG_MIGRATE is not used for this. It copies the counters before it stops
the old SA, so that another processor may send between the two; it forgets what
the SA carried, and so its limits of volume; it cannot take UDP encapsulation
away; and of several SAs of one reqid, as there are while a child is rekeyed,
it finds one. What remains of its benefit, packets that are not lost meanwhile,
is given where it can be: a change of ports alone is one update in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import xfrm
from ikectl.errors import BackendError
from xfrm.events import Overrun, SaDeleted

Elsewhere = Callable[[xfrm.Sa], xfrm.Sa]
"""The same SA between its new ends."""


def only_ports(sa: xfrm.Sa, there: xfrm.Sa) -> bool:
    """Whether nothing differs but the ports of its encapsulation, so that the kernel can change it in place."""
    if sa.encap is None or there.encap is None or sa.encap.type != there.encap.type:
        return False
    return (sa.src, sa.dst) == (there.src, there.dst)


def in_place(there: xfrm.Sa) -> xfrm.UpdSa:
    """What gives a live SA other ports; counters are the kernel's and not touched."""
    return xfrm.UpdSa(_told(replace(there, replay=xfrm.NO_REPLAY, offload=None), None))


def skipping(sa: xfrm.Sa, packets: int) -> xfrm.Sa | None:
    """The same with that many packet numbers left out; None if it would have none left then."""
    number = sa.replay.oseq + packets
    last = 2**64 if sa.flags & xfrm.SaFlag.ESN else 2**32
    return replace(sa, replay=replace(sa.replay, oseq=number)) if number < last - 1 else None


def taken_out(channel: xfrm.Channel, ids: Sequence[xfrm.SaId]) -> list[xfrm.Sa]:
    """Delete the SAs; how they stood at that very moment, counters and all, ready to be added again.

    Raises BackendError when the kernel does not tell: they are gone then, and nobody may make them again.
    """
    try:
        stream = xfrm.EventStream((xfrm.Group.SA,), channel.netns)
    except xfrm.XfrmError as error:
        raise BackendError(f"cannot follow the SAs that are to be moved: {error.strerror}") from error
    try:
        outcomes = channel.batch([xfrm.DelSa(id) for id in ids])
        told = _deleted(stream)
    finally:
        stream.close()
    found: list[xfrm.Sa] = []
    for id, outcome in zip(ids, outcomes, strict=True):
        info = told.get((id.dst, id.spi, id.proto))
        if outcome is not None or info is None:
            raise BackendError(f"an SA (SPI {id.spi:08x}) was gone before it could be moved: rekey its child")
        found.append(_told(info.sa, info.usage))
    return found


def _told(sa: xfrm.Sa, usage: xfrm.Usage | None) -> xfrm.Sa:
    """To be told to the kernel: it shows its default thresholds of events, too, and would take them as a wish."""
    return replace(sa, usage=usage, replay_threshold=None, timer_threshold=None)


def _deleted(stream: xfrm.EventStream) -> dict[tuple[xfrm.Address, int, int], xfrm.SaInfo]:
    """What was deleted since the stream was opened; the kernel queues it before the deletion is acknowledged."""
    told: dict[tuple[xfrm.Address, int, int], xfrm.SaInfo] = {}
    while True:
        try:
            event = stream.pending()
        except xfrm.Malformed:
            continue
        if event is None:
            return told
        if isinstance(event, Overrun):
            continue  # what is missing then is found missing
        if isinstance(event, SaDeleted) and event.info is not None:
            told[event.id.dst, event.id.spi, event.id.proto] = event.info
