"""DryRun: a kernel that only writes down, for plans and tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import count

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.algorithms import kernel_suite
from ikectl.kernel.backend import Expired, Features
from ikectl.kernel.policies import Change, Flow, PolicyTable, Wish, inbound_wishes, outbound_wishes
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.values.path import Path


class DryRun:
    """Does as a kernel with every feature would, and keeps `steps`: one line for each change.

    Interfaces are not looked up, and keys are not looked at.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.features = Features()
        self._table = PolicyTable()
        self._spis = count(0xC0000001)
        self._standing: dict[ChildSa, dict[bool, tuple[Wish, ...]]] = {}
        """What stands of a child: outbound or not, with the policies that came with it."""
        self._wake: int | None = None

    def alloc_spi(self, protocol: Protocol, path: Path) -> int:
        return next(self._spis)

    def free_spi(self, protocol: Protocol, path: Path, spi: int) -> None:
        """Nothing is reserved."""

    def install(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.setdefault(child, {})
        for out, wanted in ((False, inbound), (True, outbound)):
            if wanted and out not in standing:
                wishes = outbound_wishes(child) if out else inbound_wishes(child)
                self.steps.append(f"add {_sa(child, out)}")
                self._apply([self._table.add(slot, rule) for slot, rule in wishes])
                standing[out] = wishes

    def remove(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.get(child, {})
        for out, wanted in ((True, outbound), (False, inbound)):
            if wanted and out in standing:
                self._apply([self._table.remove(slot, rule) for slot, rule in standing.pop(out)])
                self.steps.append(f"delete {_sa(child, out)}")
        if not standing:
            self._standing.pop(child, None)

    def move(self, child: ChildSa, old: Path) -> None:
        standing = self._standing.get(child, {})
        for out in list(standing):
            wishes = outbound_wishes(child) if out else inbound_wishes(child)
            self.steps.append(f"move {_sa(child, out)}")
            self._apply([self._table.add(slot, rule) for slot, rule in wishes])
            self._apply([self._table.remove(slot, rule) for slot, rule in standing[out]])
            standing[out] = wishes

    def query(self, child: ChildSa) -> Usage:
        return Usage()

    def fileno(self) -> int:
        """A descriptor that is never readable."""
        if self._wake is None:
            self._wake = os.eventfd(0)
        return self._wake

    def expired(self) -> Sequence[Expired]:
        return ()

    def close(self) -> None:
        for child in list(self._standing):
            self.remove(child)
        if self._wake is not None:
            os.close(self._wake)
            self._wake = None

    def _apply(self, changes: Sequence[Change | None]) -> None:
        self.steps += [_policy(change) for change in changes if change is not None]


def _sa(child: ChildSa, outbound: bool) -> str:
    """One SA, without keys. Raises BackendError for what Linux does not have."""
    suite = kernel_suite(child.suite, child.config.sha256_96)
    names = " ".join(named.name for named in (suite.aead, suite.cipher, suite.mac) if named is not None)
    local, remote = child.path.local, child.path.remote
    source, destination, spi = (local, remote, child.spi_out) if outbound else (remote, local, child.spi_in)
    if child.encap and child.protocol is Protocol.AH:
        raise BackendError("AH does not pass a NAT")
    encap = f" in UDP {source.port} > {destination.port}" if child.encap else ""
    return (
        f"sa {source.host} > {destination.host} {child.protocol.name.lower()} spi {spi:#010x} "
        f"reqid {child.reqid} {child.mode.value} {names}{encap}"
    )


def _policy(change: Change) -> str:
    slot, rule = change.slot, change.rule
    flow, wanted = slot.flow, rule.template
    selector = (
        f"{ip_address(flow.source)}/{flow.source_bits} > {ip_address(flow.destination)}/{flow.destination_bits}"
        + _restriction(flow)
    )
    text = f"{change.act.value} policy {slot.direction.name.lower()} {selector} priority {rule.priority}"
    if wanted is None:
        return f"{text} pass"
    text += f" {wanted.protocol.name.lower()} {wanted.mode.value} reqid {wanted.reqid}"
    if wanted.mode is Mode.TRANSPORT:
        return text
    return f"{text} {ip_address(wanted.source)} > {ip_address(wanted.destination)}"


def _restriction(flow: Flow) -> str:
    parts = [f"protocol {flow.protocol}"] if flow.protocol else []
    if flow.source_port_mask:
        parts.append(f"from port {flow.source_port:#x}/{flow.source_port_mask:#x}")
    if flow.destination_port_mask:
        parts.append(f"to port {flow.destination_port:#x}/{flow.destination_port_mask:#x}")
    return " " + " ".join(parts) if parts else ""
