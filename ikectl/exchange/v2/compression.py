"""IPComp of a child of IKEv2: a notify beside SA, TSi and TSr offers it, another one takes it (RFC 7296 §2.22).

Each end names the CPI by which it wants to receive. What Linux compresses
with is DEFLATE (RFC 2394); other algorithms that a peer offers are no mistake
and left alone. A child goes on without IPComp where one end does not want it.
"""

from __future__ import annotations

from ikectl.config.model import Child
from ikectl.errors import BackendError, PeerMisbehaved
from ikectl.iana.v2 import CompressionTransform, NotifyType, Protocol
from ikectl.sa.asks import AllocSpi
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Compression, Notify, compression, compression_notify

CPIS = range(256, 61440)
"""What two ends may negotiate: those below are fixed by number, those above private (RFC 3173 §3.3)."""


async def reserve(sa: IkeSa, config: Child, *selectors: tuple[TrafficSelector, ...]) -> int:
    """A CPI of ours for a child that is to have IPComp; 0 where its selectors or the kernel allow none, and the
    operator is told."""
    v6 = len(sa.path.local.address) == 16
    if any(ts.v6 != v6 for side in selectors for ts in side):
        why = "the kernel compresses IPv4 over IPv4 or IPv6 over IPv6 only"
    else:
        try:
            return await AllocSpi(Protocol.IPCOMP, sa.path)
        except BackendError as failure:
            why = str(failure)
    sa.emit(Note(sa, f"child {config.name} goes without IPComp: {why}"))
    return 0


def said(cpi: int) -> Notify:
    """What offers IPComp, or takes it, with that CPI of ours."""
    return compression_notify(Compression(cpi, CompressionTransform.DEFLATE))


def offered(request: Message) -> int:
    """The CPI of a peer that offers what we can do; 0 if it does not. Raises WireError."""
    for notify in request.notifies(NotifyType.IPCOMP_SUPPORTED):
        cpi, transform = compression(notify)
        if transform == CompressionTransform.DEFLATE and cpi in CPIS:
            return cpi
    return 0


def taken(reply: Message, ours: int) -> int:
    """The CPI of a peer that took our offer (`ours` is the CPI in it, 0 if there was none); 0 if it did not.

    Raises PeerMisbehaved for an answer that our offer did not allow, WireError.
    """
    if NotifyType.IPCOMP_SUPPORTED not in reply.said:
        return 0
    answers = [compression(notify) for notify in reply.notifies(NotifyType.IPCOMP_SUPPORTED)]
    if len(answers) > 1 or not ours or answers[0].transform != CompressionTransform.DEFLATE:
        chosen = ", ".join(str(answer.transform) for answer in answers)
        raise PeerMisbehaved(f"the peer chose IPComp with {chosen}, and we offered {'DEFLATE' if ours else 'none'}")
    cpi = answers[0].cpi
    if cpi not in CPIS:
        raise PeerMisbehaved(f"the peer's CPI is {cpi:04x}; it must be one of 0100 to efff (RFC 3173 §3.3)")
    return cpi
