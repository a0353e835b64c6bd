"""DryRun: a kernel that only writes down, for plans and tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import count

from ikectl.config.model import Mark, Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.algorithms import kernel_suite
from ikectl.kernel.backend import FIRST_CPI, Expired, Features, Mapped, Wanted
from ikectl.kernel.bundle import Part, parts
from ikectl.kernel.policies import (
    Change,
    Flow,
    PolicyTable,
    Template,
    Wish,
    inbound_wishes,
    outbound_wishes,
    sentry_wishes,
)
from ikectl.kernel.translate import NO_ESP_IN_TCP
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Sentry
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
        self._cpis = count(FIRST_CPI)
        self._standing: dict[ChildSa, dict[bool, tuple[Wish, ...]]] = {}
        """What stands of a child: outbound or not, with the policies that came with it."""
        self._sentries: dict[Sentry, tuple[Wish, ...]] = {}
        self._wake: int | None = None

    def alloc_spi(self, protocol: Protocol, path: Path) -> int:
        if path.tcp and not self.features.esp_in_tcp:
            raise BackendError(NO_ESP_IN_TCP)
        return next(self._cpis if protocol is Protocol.IPCOMP else self._spis)

    def free_spi(self, protocol: Protocol, path: Path, spi: int) -> None:
        """Nothing is reserved."""

    def install(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.setdefault(child, {})
        for out, wanted in ((False, inbound), (True, outbound)):
            if wanted and out not in standing:
                wishes = outbound_wishes(child) if out else inbound_wishes(child)
                self.steps += [f"add {line}" for line in _sas(child, out)]
                self._apply([self._table.add(slot, rule) for slot, rule in wishes])
                standing[out] = wishes

    def remove(self, child: ChildSa, inbound: bool = True, outbound: bool = True) -> None:
        standing = self._standing.get(child, {})
        for out, wanted in ((True, outbound), (False, inbound)):
            if wanted and out in standing:
                self._apply([self._table.remove(slot, rule) for slot, rule in standing.pop(out)])
                self.steps += [f"delete {line}" for line in _sas(child, out)]
        if not standing:
            self._standing.pop(child, None)

    def move(self, child: ChildSa, old: Path) -> None:
        standing = self._standing.get(child, {})
        for out in list(standing):
            wishes = outbound_wishes(child) if out else inbound_wishes(child)
            self.steps += [f"move {line}" for line in _sas(child, out)]
            self._apply([self._table.add(slot, rule) for slot, rule in wishes])
            self._apply([self._table.remove(slot, rule) for slot, rule in standing[out]])
            standing[out] = wishes

    def skip(self, child: ChildSa, packets: int) -> None:
        if True in self._standing.get(child, {}):
            self.steps += [f"skip {packets} packet numbers of {line}" for line in _sas(child, True)]

    def install_sentry(self, sentry: Sentry) -> None:
        wishes = self._sentries[sentry] = sentry_wishes(sentry)
        self._apply([self._table.add(slot, rule) for slot, rule in wishes])

    def remove_sentry(self, sentry: Sentry) -> None:
        self._apply([self._table.remove(slot, rule) for slot, rule in self._sentries.pop(sentry, ())])

    def query(self, child: ChildSa) -> Usage:
        return Usage()

    def fileno(self) -> int:
        """A descriptor that is never readable."""
        if self._wake is None:
            self._wake = os.eventfd(0)
        return self._wake

    def expired(self) -> Sequence[Expired]:
        return ()

    def mappings(self) -> Sequence[Mapped]:
        return ()

    def acquired(self) -> Sequence[Wanted]:
        return ()

    def close(self) -> None:
        for child in list(self._standing):
            self.remove(child)
        for sentry in list(self._sentries):
            self.remove_sentry(sentry)
        if self._wake is not None:
            os.close(self._wake)
            self._wake = None

    def _apply(self, changes: Sequence[Change | None]) -> None:
        self.steps += [_policy(change) for change in changes if change is not None]


def _sas(child: ChildSa, outbound: bool) -> list[str]:
    """The SAs of one half, without keys, innermost first. Raises BackendError for what Linux does not have."""
    return [_sa(child, part, outbound) for part in parts(child)]


def _sa(child: ChildSa, part: Part, outbound: bool) -> str:
    names = "deflate"
    if part.suite is not None:
        suite = kernel_suite(part.suite, child.config.sha256_96)
        names = " ".join(named.name for named in (suite.aead, suite.cipher, suite.mac) if named is not None)
    local, remote = child.path.local, child.path.remote
    source, destination, spi = (local, remote, part.spi_out) if outbound else (remote, local, part.spi_in)
    encap = child.encap and part.protocol is Protocol.ESP
    return (
        f"sa {source.host} > {destination.host} {part.protocol.name.lower()} spi {spi:#010x} "
        f"reqid {child.reqid} {part.mode.value} {names}"
        + (f" in {'TCP' if child.path.tcp else 'UDP'} {source.port} > {destination.port}" if encap else "")
        + _marked("sets mark", child.marks.set_out if outbound else child.marks.set_into)
    )


def _marked(what: str, mark: Mark) -> str:
    return f" {what} {mark.value:#x}/{mark.mask:#x}" if mark.mask else ""


def _policy(change: Change) -> str:
    slot, rule = change.slot, change.rule
    flow = slot.flow
    selector = (
        f"{ip_address(flow.source)}/{flow.source_bits} > {ip_address(flow.destination)}/{flow.destination_bits}"
        + _restriction(flow)
        + _marked("mark", slot.mark)
    )
    text = f"{change.act.value} policy {slot.direction.name.lower()} {selector} priority {rule.priority} "
    return text + (" ".join(map(_template, rule.templates)) or ("drop" if rule.block else "pass"))


def _template(wanted: Template) -> str:
    text = f"{wanted.protocol.name.lower()} {wanted.mode.value} reqid {wanted.reqid}"
    if wanted.optional:
        text = f"perhaps {text}"
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
