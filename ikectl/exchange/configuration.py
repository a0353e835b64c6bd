"""Configuration: what one end tells the other about its network, in either version of IKE.

Mode config (draft-dukes-ike-mode-cfg-02 §3.4) and the configuration payload
(RFC 7296 §3.15) share most of their attributes, with the same numbers. Octets
in, facts out; which numbers there are, and of what form, says the table of
each version. A value that is not of its attribute's form is left out and
told, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from ikectl.iana.v2 import CfgAttribute
from ikectl.values.domain import is_domain
from ikectl.values.hosts import is_of_a_host
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v2.dns import EncryptedDns

MAX_ADDRESSES = 4
"""Inner addresses of one peer and family: more than one is rare, and pools are not without end."""
MAX_SERVERS = 16
"""Name servers taken from a peer; hosts ask three."""
MAX_NETWORKS = 64
"""Split networks taken from a peer: each costs a quick mode."""
MAX_EXCLUDED = 32
"""Networks of a peer that stay outside: each costs a route, and a child has so many at most."""
MAX_NAMES = 64
"""Domains, or backup servers, taken from a peer."""
MAX_NAME = 253
MAX_TEXT = 1024
"""Characters of a banner."""
MAX_NUMBER_OCTETS = 8
"""Of a number: any span of time fits."""
PREFIX_OCTETS = 16 + 1
"""An IPv6 address with the length of its prefix (RFC 7296 §3.15.1). The draft has none (§3.4), and some peers send
one."""
MASKED_OCTETS, UNITY_OCTETS = 8, 14
"""A network of Unity: address and mask, and mostly six octets for protocol and ports."""
ADDRESSES = {4: CfgAttribute.INTERNAL_IP4_ADDRESS, 16: CfgAttribute.INTERNAL_IP6_ADDRESS}
"""By octets of the address. The numbers are the same in both versions, as are those of name servers."""
NAME_SERVERS = {4: CfgAttribute.INTERNAL_IP4_DNS, 16: CfgAttribute.INTERNAL_IP6_DNS}
PRODUCT = b"ikectl"
"""Our APPLICATION_VERSION: no version, for that is of use to attackers first."""


@dataclass(slots=True)
class Configuration:
    """What a peer gives us. Addresses are packed."""

    addresses: list[bytes] = field(default_factory=list)
    servers: list[bytes] = field(default_factory=list)
    """Name servers."""
    secure: list[EncryptedDns] = field(default_factory=list)
    """Name servers that are asked by an encrypted protocol."""
    search: list[str] = field(default_factory=list)
    """The domains of names without a dot."""
    routes: list[str] = field(default_factory=list)
    """The only domains whose names the tunnel's name servers are for; empty: for all names."""
    include: list[TrafficSelector] = field(default_factory=list)
    """The networks that belong into the tunnel."""
    exclude: list[TrafficSelector] = field(default_factory=list)
    """Those that do not."""
    backup: list[str] = field(default_factory=list)
    """Other gateways."""
    banner: list[str] = field(default_factory=list)
    version: list[str] = field(default_factory=list)
    expires_in: list[int] = field(default_factory=list)
    """Seconds the addresses may be used; at most one."""
    liveness: list[int] = field(default_factory=list)
    """Seconds of silence after which we are to ask whether the peer lives; at most one."""
    facts: list[str] = field(default_factory=list)
    """What is good to know and has no further use here."""
    save_password: list[int] = field(default_factory=list)
    pfs: list[int] = field(default_factory=list)
    understood: list[int] = field(default_factory=list)
    """The attributes that are in here, or that need nothing done."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


Reader = Callable[[bytes], Sequence[Any]]
"""The values that an attribute's octets hold. Raises ValueError for what is not of its form."""
Row = tuple[str, int, Reader]
"""Which list of a Configuration the values go to, how many it takes at most, and the form."""


def read(given: Iterable[tuple[int, bytes]], rows: Mapping[int, Row]) -> Configuration:
    """What they give, pairs of a number and octets. Unknown ones are left out without a word (RFC 7296 §3.15)."""
    found = Configuration()
    for kind, octets in given:
        row = rows.get(kind)
        if row is None or not octets:
            continue  # without a value it asks, and gives nothing
        try:
            values = row[2](octets)
        except ValueError as failure:
            found.notes.append(f"ignored {kind!s}: {failure}")
            continue
        place = getattr(found, row[0])
        if len(place) + len(values) > row[1]:
            found.notes.append(f"ignored {kind!s}: more than {row[1]}")
            continue
        place.extend(value for value in values if value not in place)
        if kind not in found.understood:
            found.understood.append(kind)
    return found


# -- forms ---------------------------------------------------------------------------------


def address(*lengths: int) -> Reader:
    """An address, with what follows it in the longer forms left out."""

    def read(octets: bytes) -> Sequence[bytes]:
        if len(octets) not in lengths:
            raise ValueError(f"{len(octets)} octets are no address")
        found = octets[: min(lengths)]
        if not any(found):
            raise ValueError("it is unspecified")
        return (found,)

    return read


def name_server(*lengths: int) -> Reader:
    """The address of a name server: one that leads into the tunnel, where this host's own resolvers are not."""
    form = address(*lengths)

    def read(octets: bytes) -> Sequence[bytes]:
        found = form(octets)
        _reachable(found)
        return found

    return read


def _reachable(servers: Iterable[bytes]) -> None:
    """Raises ValueError for what is never the address of another host: a resolver that is told so may ask itself."""
    for packed in servers:
        if not is_of_a_host(packed):
            raise ValueError(f"{ip_address(packed)} is the address of no name server")


def resolver(width: int) -> Reader:
    """An encrypted resolver (RFC 9464 §3.1) whose addresses have so many octets."""

    def read(octets: bytes) -> Sequence[EncryptedDns]:
        found = EncryptedDns.read(octets, width)
        if not is_domain(found.name):
            raise ValueError("a resolver without a good name")
        _reachable(found.addresses)
        return (found,)

    return read


def number(octets: bytes) -> Sequence[int]:
    """A number, of however many octets."""
    if not octets or len(octets) > MAX_NUMBER_OCTETS:
        raise ValueError(f"{len(octets)} octets are no number")
    return (int.from_bytes(octets, "big"),)


def text(octets: bytes) -> Sequence[str]:
    """What may be shown on a terminal: control characters are not."""
    if len(octets) > MAX_TEXT:
        raise ValueError(f"a text of {len(octets)} octets")
    lines = octets.decode("utf-8", "replace").replace("\0", "").splitlines()
    shown = " / ".join(line.strip() for line in lines if line.strip())
    return ("".join(character if character.isprintable() else "?" for character in shown),) if shown else ()


def names(octets: bytes) -> Sequence[str]:
    """Names parted by commas; some peers use zeros or blanks."""
    words = octets.decode("utf-8", "replace").replace("\0", ",").replace(" ", ",").split(",")
    found = [word for word in words if word]
    if len(found) > MAX_NAMES:
        raise ValueError(f"{len(found)} names")
    if any(len(word) > MAX_NAME or not word.isprintable() for word in found):
        raise ValueError("a name that is none")
    return found


def networks(octets: bytes) -> Sequence[TrafficSelector]:
    """Networks one behind the other. Protocol and ports are not looked at: no peer is known to fill them."""
    size = MASKED_OCTETS if len(octets) == MASKED_OCTETS else UNITY_OCTETS
    if not octets or len(octets) % size:
        raise ValueError(f"{len(octets)} octets are no networks")
    return [_network(octets[at : at + 4], octets[at + 4 : at + 8]) for at in range(0, len(octets), size)]


def outside(octets: bytes) -> Sequence[TrafficSelector]:
    """Cisco's 0.0.0.0/32 stands for the networks a client is connected to, and these stay outside anyway."""
    found = [one for one in networks(octets) if one.end]
    if TrafficSelector.ANY4 in found:
        raise ValueError("nothing would be left for the tunnel")
    return found


def _network(address: bytes, mask: bytes) -> TrafficSelector:
    hosts = ~int.from_bytes(mask, "big") & 0xFFFFFFFF
    if hosts & (hosts + 1):
        raise ValueError("a netmask with holes")
    start = int.from_bytes(address, "big") & ~hosts
    return TrafficSelector(0, 0, 65535, start, start | hosts, False)


def nothing(octets: bytes) -> Sequence[Any]:
    """For what needs nothing done."""
    return ()


# -- the other way ---------------------------------------------------------------------------


def suggested(asked: Iterable[tuple[int, bytes]]) -> tuple[dict[int, list[bytes]], list[str]]:
    """The addresses a client asks for, by length: empty for any; and what was left out."""
    asked = tuple(asked)
    found: dict[int, list[bytes]] = {4: [], 16: []}
    notes: list[str] = []
    for length, kind in ADDRESSES.items():
        for one, octets in asked:
            if one != kind:
                continue
            if len(found[length]) == MAX_ADDRESSES:
                notes.append(f"the peer asks for more than {MAX_ADDRESSES} of {kind}")
                break
            good = len(octets) in ((4,) if length == 4 else (16, PREFIX_OCTETS)) and any(octets[:length])
            found[length].append(octets[:length] if good else b"")
    return found, notes
