"""Sentries in the kernel: policies that stand without an SA, and what their packets ask for (XFRM's ACQUIRE).

While nobody answers, the kernel keeps a *larval* SA for the template of a trap
and asks no further: 30 seconds, or what net.core.xfrm_acq_expires says. The SA
that answers carries the number of the request, which ends the larval one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence

import xfrm
from ikectl.errors import BackendError
from ikectl.kernel.backend import Wanted
from ikectl.kernel.policies import PolicyTable, Wish, sentry_wishes
from ikectl.kernel.translate import explain, policy_request
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Packet, Sentry
from ikectl.values.selector import TrafficSelector
from xfrm.events import Acquire

Batch = Callable[[Sequence[xfrm.Request[None]]], Sequence[object]]

WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite: what the kernel reads ports of."""
WITH_TYPES = frozenset({1, 58})
"""ICMP and ICMPv6: type and code stand where ports do."""


class KernelSentries:
    """Those that stand, as far as we put them there."""

    def __init__(self, batch: Batch, table: PolicyTable) -> None:
        self._batch = batch
        self._table = table
        self._standing: dict[Sentry, tuple[Wish, ...]] = {}
        self._by_reqid: dict[int, list[Sentry]] = {}
        self._by_name: dict[tuple[str, str], Sentry] = {}
        self._wanted: dict[Sentry, Packet] = {}
        """What packets asked for and nobody took note of yet."""
        self._asked: dict[Sentry, int] = {}
        """The number of the kernel's latest request."""

    def install(self, sentry: Sentry, interface: int) -> None:
        """Raises BackendError, leaving nothing."""
        wishes = sentry_wishes(sentry, interface)
        changes = [change for slot, rule in wishes if (change := self._table.add(slot, rule)) is not None]
        outcomes = self._batch([*map(policy_request, changes)])
        failure = next((each for each in outcomes if isinstance(each, xfrm.XfrmError)), None)
        if failure is not None:
            done = {change.slot for change, each in zip(changes, outcomes, strict=True) if each is None}
            undo = (self._table.remove(slot, rule) for slot, rule in wishes)
            self._batch([policy_request(change) for change in undo if change is not None and change.slot in done])
            raise BackendError(explain(failure)) from failure
        self._standing[sentry] = wishes
        self._by_name[sentry.connection, sentry.name] = sentry
        if sentry.reqid:
            self._by_reqid.setdefault(sentry.reqid, []).append(sentry)

    def remove(self, sentry: Sentry) -> None:
        """Raises BackendError for the first policy that could not be removed, after trying all."""
        wishes = self._standing.pop(sentry, ())
        if self._by_name.get((sentry.connection, sentry.name)) is sentry:
            del self._by_name[sentry.connection, sentry.name]
        alike = self._by_reqid.get(sentry.reqid, [])
        if sentry in alike:
            alike.remove(sentry)
            if not alike:
                del self._by_reqid[sentry.reqid]
        self._wanted.pop(sentry, None)
        self._asked.pop(sentry, None)
        changes = (self._table.remove(slot, rule) for slot, rule in wishes)
        for outcome in self._batch([policy_request(change) for change in changes if change is not None]):
            if isinstance(outcome, xfrm.XfrmError) and not isinstance(outcome, xfrm.Gone):
                raise BackendError(explain(outcome)) from outcome

    def heard(self, event: Acquire) -> None:
        """The kernel wants an SA; those of policies that are not ours are somebody else's business."""
        for template in event.policy.policy.templates:
            for sentry in self._by_reqid.get(template.reqid, ()):
                packet = described(event)
                if _meets(sentry.ts_local, packet.local) and _meets(sentry.ts_remote, packet.remote):
                    self._wanted.setdefault(sentry, packet)
                    self._asked[sentry] = event.seq
                    return

    def wanted(self) -> Sequence[Wanted]:
        """What packets asked for since the last call."""
        found, self._wanted = self._wanted, {}
        return [Wanted(sentry, packet) for sentry, packet in found.items()]

    def answers(self, child: ChildSa) -> int:
        """The number of the request that an SA of `child` answers; 0: of none."""
        sentry = self._by_name.get((child.ike.name, child.name)) if self._by_name else None
        return 0 if sentry is None else self._asked.pop(sentry, 0)


def described(event: Acquire) -> Packet:
    """Both ends of the packet, with protocol and ports as far as it has them (RFC 7296 §2.9)."""
    selector = event.selector
    protocol, ports = selector.proto, ((0, 65535), (0, 65535))
    if protocol in WITH_TYPES:
        kind = selector.src_port << 8 | selector.dst_port
        ports = (kind, kind), (kind, kind)  # the same in both (§3.13.1)
    elif protocol in WITH_PORTS and selector.src_port and selector.dst_port:
        ports = (selector.src_port, selector.src_port), (selector.dst_port, selector.dst_port)
    return Packet(
        TrafficSelector.of_address(selector.src.packed, protocol, ports[0]),
        TrafficSelector.of_address(selector.dst.packed, protocol, ports[1]),
    )


def _meets(selectors: Iterable[TrafficSelector], packet: TrafficSelector) -> bool:
    return any(ts & packet for ts in selectors)


def index_of(interface: str) -> int:
    """Of a network interface by its name; 0 for none. Raises BackendError."""
    try:
        return socket.if_nametoindex(interface) if interface else 0
    except OSError:
        raise BackendError(f"there is no interface {interface!r}") from None
