"""Bundles: the SAs that one packet of a child passes, in order. Pure.

A child usually is one pair of SAs. With companions it is a bundle: the packet
is compressed first (IPComp), then encrypted (ESP), then authenticated (AH), so
that AH is outermost (RFC 4301 §4.1, RFC 3173 §2). In tunnel mode the innermost
SA of the bundle makes the tunnel, and the others protect what came of it in
transport mode: there is one outer header, not one for each SA. Linux peers of
every make lay bundles out like this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ikectl.config.model import Mode
from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.crypto.proposal import ChildSuite
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.sa.child_sa import ChildSa

INNERMOST_FIRST: Final = (Protocol.IPCOMP, Protocol.ESP, Protocol.AH)


class Part(NamedTuple):
    """One pair of SAs of a child."""

    protocol: Protocol
    mode: Mode
    spi_in: int
    spi_out: int
    suite: ChildSuite | None
    keys: ChildKeys | None
    main: bool = True
    """It is the child's own, not a companion: limits on volume are counted on it."""


def parts(child: ChildSa) -> tuple[Part, ...]:
    """The SAs of `child`, innermost first. Raises BackendError for what cannot be laid out."""
    if child.encap and (child.protocol is Protocol.AH or (child.companions and _has(child, Protocol.AH))):
        raise BackendError("AH does not pass a NAT, nor go inside TCP (RFC 3948, RFC 9329 §3): set esp_proposals")
    own = Part(child.protocol, child.mode, child.spi_in, child.spi_out, child.suite, child.keys)
    if not child.companions:
        return (own,)
    found = {own.protocol: own}
    for companion in child.companions:
        if companion.protocol in found:
            raise BackendError(f"a bundle has one {companion.protocol.name} at most")
        found[companion.protocol] = Part(
            companion.protocol,
            Mode.TRANSPORT,
            companion.spi_in,
            companion.spi_out,
            companion.suite,
            companion.keys,
            False,
        )
    if child.mode is Mode.TUNNEL:
        _same_family(child)
    ordered = [found[protocol] for protocol in INNERMOST_FIRST if protocol in found]
    return (
        ordered[0]._replace(mode=child.mode),
        *(part._replace(mode=Mode.TRANSPORT) for part in ordered[1:]),
    )


def _has(child: ChildSa, protocol: Protocol) -> bool:
    return any(companion.protocol == protocol for companion in child.companions)


def _same_family(child: ChildSa) -> None:
    """Linux binds an SA in transport mode to its own family, so it serves no tunnel of the other one."""
    if any(selector.v6 != child.path.local.is_v6 for selector in (*child.ts_local, *child.ts_remote)):
        raise BackendError("a bundle of several SAs carries IPv4 over IPv4 or IPv6 over IPv6 only; use ESP alone")
