"""Traffic selector payloads (RFC 7296 §3.13)."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Self

from ikectl.errors import WireError
from ikectl.iana.v2 import PayloadType, TsType
from ikectl.values.record import record
from ikectl.values.selector import TrafficSelector
from ikectl.wire.payload import Payload, payload

REMEMBERED_SELECTORS = 1024
"""Many peers ask for the same networks; they share the objects then."""

REMEMBERED_PAYLOADS = 32
"""What peer after peer asks for is not even read again. What only one of them asks for is soon forgotten."""

MAX_REMEMBERED_OCTETS = 100
"""Payloads of more than a few selectors are read afresh each time, for somebody unproven may have sent them."""

OPAQUE_PORTS = (65535, 0)
"""The only ports that run backwards: those of packets that have none to look at (§3.13.1)."""

_SELECTORS = Struct("!B3x")  # number of selectors, RESERVED
_HEAD = Struct("!BxH")  # type, protocol (not looked at), length
_SELECTOR_V4 = Struct("!BBHHHII")  # type, protocol, length, ports, addresses
_SELECTOR_V6 = Struct("!BBHHH16s16s")
_HEAD_OCTETS = _HEAD.size
_V4, _V6 = int(TsType.IPV4_ADDR_RANGE), int(TsType.IPV6_ADDR_RANGE)
_KNOWN = frozenset((_V4, _V6))


class Selectors(Payload):
    """What TSi and TSr have in common.

    Selectors of a type we do not know are left out of `selectors`, as if the
    peer had not offered them, and kept as octets in `unknown`; they are written
    behind the others. A range that runs backwards is malformed.
    """

    __slots__ = ()

    selectors: tuple[TrafficSelector, ...]
    unknown: tuple[bytes, ...]

    def __init__(self, selectors: tuple[TrafficSelector, ...], unknown: tuple[bytes, ...] = ()) -> None:
        raise NotImplementedError

    @classmethod
    def read(cls, body: bytes) -> Self:
        read = _read_selectors if len(body) <= MAX_REMEMBERED_OCTETS else _read_selectors.__wrapped__
        return cls(*read(body))

    def body(self) -> bytes:
        head = _SELECTORS.pack(len(self.selectors) + len(self.unknown))
        return b"".join((head, *map(_write_selector, self.selectors), *self.unknown))


@payload(PayloadType.TSI)
@record
class TSi(Selectors):
    """Traffic selectors of the initiator's side."""

    selectors: tuple[TrafficSelector, ...]
    unknown: tuple[bytes, ...] = ()


@payload(PayloadType.TSR)
@record
class TSr(Selectors):
    """Traffic selectors of the responder's side."""

    selectors: tuple[TrafficSelector, ...]
    unknown: tuple[bytes, ...] = ()


@lru_cache(REMEMBERED_PAYLOADS)
def _read_selectors(body: bytes) -> tuple[tuple[TrafficSelector, ...], tuple[bytes, ...]]:
    """Those of types that we know, and the others."""
    (count,) = _SELECTORS.unpack_from(body)
    known: list[TrafficSelector] = []
    unknown: list[bytes] = []
    start, end = 4, len(body)
    for _ in range(count):
        kind, length = _HEAD.unpack_from(body, start)
        stop = start + length
        if length < _HEAD_OCTETS or stop > end:
            raise WireError(f"a traffic selector of {length} octets")
        if kind in _KNOWN:
            known.append(_read_selector(body[start:stop]))
        else:
            unknown.append(body[start:stop])
        start = stop
    if start != end:
        raise WireError(f"{end - start} octets follow {count} traffic selectors")
    return tuple(known), tuple(unknown)


@lru_cache(REMEMBERED_SELECTORS)
def _read_selector(octets: bytes) -> TrafficSelector:
    v6 = octets[0] == _V6
    layout = _SELECTOR_V6 if v6 else _SELECTOR_V4
    if len(octets) != layout.size:
        raise WireError(f"a traffic selector of {len(octets)} octets instead of {layout.size}")
    _, protocol, _, start_port, end_port, start, end = layout.unpack(octets)
    if v6:
        start, end = int.from_bytes(start, "big"), int.from_bytes(end, "big")
    if start > end or (start_port > end_port and (start_port, end_port) != OPAQUE_PORTS):
        raise WireError("a traffic selector that runs backwards")
    return TrafficSelector(protocol, start_port, end_port, start, end, v6)


def _write_selector(selector: TrafficSelector) -> bytes:
    protocol, start_port, end_port = selector.protocol, selector.start_port, selector.end_port
    start, end = selector.start, selector.end
    if not selector.v6:
        return _SELECTOR_V4.pack(_V4, protocol, 16, start_port, end_port, start, end)
    packed = start.to_bytes(16, "big"), end.to_bytes(16, "big")
    return _SELECTOR_V6.pack(_V6, protocol, 40, start_port, end_port, *packed)
