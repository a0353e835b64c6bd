"""NAT detection: the hashes of RFC 7296 §2.23 and RFC 3947 §3.2, and what they imply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1

from ikectl.values.path import Endpoint

Digest = Callable[[bytes], bytes]


def detection_hash(spi_i: bytes, spi_r: bytes, endpoint: Endpoint, digest: Digest | None = None) -> bytes:
    """digest(SPIi | SPIr | IP | port): 20 octets of SHA-1, which guards no secret here (RFC 7296 §2.23).

    IKEv1 takes the `digest` it negotiated (RFC 3947 §3.2).
    """
    octets = spi_i + spi_r + endpoint.address + endpoint.port.to_bytes(2, "big")
    return sha1(octets, usedforsecurity=False).digest() if digest is None else digest(octets)


@dataclass(frozen=True, slots=True)
class Nat:
    """Where translators stand between the ends."""

    local: bool = False
    """We are behind one: the peer sees another address than ours."""
    remote: bool = False
    """The peer is behind one."""
    known: bool = False
    """The peer sent hashes, so it knows NAT traversal; which tells nothing about there being a NAT."""

    @property
    def found(self) -> bool:
        return self.local or self.remote


NO_NAT = Nat()
"""Shared by all SAs whose peer does not look for one."""
NONE_FOUND = Nat(known=True)
"""Shared by all others where there is none."""


def judge(
    spi_i: bytes,
    spi_r: bytes,
    local: Endpoint,
    remote: Endpoint,
    sources: Sequence[bytes],
    destinations: Sequence[bytes],
    digest: Digest | None = None,
) -> Nat:
    """What the NAT_DETECTION hashes of a received message say.

    `local` and `remote` are the ends as the message arrived. The peer may list
    several sources (it may not know which address it sends from): one match is
    enough. A peer that sent no hashes is not judged.
    """
    if not sources or not destinations:
        return NO_NAT
    ours = detection_hash(spi_i, spi_r, local, digest) not in destinations
    theirs = detection_hash(spi_i, spi_r, remote, digest) not in sources
    return Nat(ours, theirs, True) if ours or theirs else NONE_FOUND
