"""Configuration: what the attributes of mode config mean (draft-dukes-ike-mode-cfg-02 §3.4, Cisco's Unity).

Attributes in, facts out, and the other way; nothing here knows an exchange. A
value that is not of its attribute's form is left out and told, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ikectl.config.model import PoolAttribute
from ikectl.iana.v1 import ConfigAttribute, config_attribute
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1.attributes import MAX_NUMBER_OCTETS, Attribute, octets_of

A = ConfigAttribute

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
PREFIX_OCTETS = 16 + 1
"""An IPv6 address as IKEv2 writes it. The draft has no prefix length there (§3.4), and some peers send one."""
MASKED_OCTETS, UNITY_OCTETS = 8, 14
"""A network of Unity: address and mask, and mostly six octets for protocol and ports."""

ADDRESSES = {4: A.INTERNAL_IP4_ADDRESS, 16: A.INTERNAL_IP6_ADDRESS}
NAME_SERVERS = {4: A.INTERNAL_IP4_DNS, 16: A.INTERNAL_IP6_DNS}
WITH_ADDRESS = frozenset({A.INTERNAL_IP4_NETMASK, A.INTERNAL_IP6_NETMASK, A.INTERNAL_ADDRESS_EXPIRY})
"""Make sense only beside an address (§3.4)."""
STANDARD = tuple(A(number) for number in range(1, 16))
"""What SUPPORTED_ATTRIBUTES names beside what pools have."""
WANTED_UNITY = (
    A.UNITY_BANNER,
    A.UNITY_SAVE_PASSWD,
    A.UNITY_DEF_DOMAIN,
    A.UNITY_SPLIT_DNS,
    A.UNITY_SPLIT_INCLUDE,
    A.UNITY_LOCAL_LAN,
    A.UNITY_PFS,
    A.UNITY_BACKUP_SERVERS,
)
"""What a client asks of a gateway that knows Unity."""
PRODUCT = b"ikectl"
"""Our APPLICATION_VERSION: no version, for that is of use to attackers first."""


# -- reading ---------------------------------------------------------------------------


@dataclass(slots=True)
class Configuration:
    """What a peer gives us. Addresses are packed."""

    addresses: list[bytes] = field(default_factory=list)
    servers: list[bytes] = field(default_factory=list)
    """Name servers."""
    domains: list[str] = field(default_factory=list)
    """The default domain, and those whose names the tunnel's name servers know."""
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
    save_password: list[int] = field(default_factory=list)
    pfs: list[int] = field(default_factory=list)
    understood: list[ConfigAttribute] = field(default_factory=list)
    """The attributes that are in here, or that need nothing done."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


Reader = Callable[[bytes], Sequence[Any]]


def _address(*lengths: int) -> Reader:
    def read(octets: bytes) -> Sequence[bytes]:
        if len(octets) not in lengths:
            raise ValueError(f"{len(octets)} octets are no address")
        address = octets[: min(lengths)]
        if not any(address):
            raise ValueError("it is unspecified")
        return (address,)

    return read


def _number(octets: bytes) -> Sequence[int]:
    if not octets or len(octets) > MAX_NUMBER_OCTETS:
        raise ValueError(f"{len(octets)} octets are no number")
    return (int.from_bytes(octets, "big"),)


def _text(octets: bytes) -> Sequence[str]:
    """What may be shown on a terminal: control characters are not."""
    if len(octets) > MAX_TEXT:
        raise ValueError(f"a text of {len(octets)} octets")
    lines = octets.decode("utf-8", "replace").replace("\0", "").splitlines()
    shown = " / ".join(line.strip() for line in lines if line.strip())
    return ("".join(character if character.isprintable() else "?" for character in shown),) if shown else ()


def _names(octets: bytes) -> Sequence[str]:
    """Names parted by commas; some peers use zeros or blanks."""
    words = octets.decode("utf-8", "replace").replace("\0", ",").replace(" ", ",").split(",")
    found = [word for word in words if word]
    if len(found) > MAX_NAMES:
        raise ValueError(f"{len(found)} names")
    if any(len(word) > MAX_NAME or not word.isprintable() for word in found):
        raise ValueError("a name that is none")
    return found


def _networks(octets: bytes) -> Sequence[TrafficSelector]:
    """Networks one behind the other. Protocol and ports are not looked at: no peer is known to fill them."""
    size = MASKED_OCTETS if len(octets) == MASKED_OCTETS else UNITY_OCTETS
    if not octets or len(octets) % size:
        raise ValueError(f"{len(octets)} octets are no networks")
    return [_network(octets[at : at + 4], octets[at + 4 : at + 8]) for at in range(0, len(octets), size)]


def _outside(octets: bytes) -> Sequence[TrafficSelector]:
    """Cisco's 0.0.0.0/32 stands for the networks a client is connected to, and these stay outside anyway."""
    found = [one for one in _networks(octets) if one.end]
    if TrafficSelector.ANY4 in found:
        raise ValueError("nothing would be left for the tunnel")
    return found


def _network(address: bytes, mask: bytes) -> TrafficSelector:
    hosts = ~int.from_bytes(mask, "big") & 0xFFFFFFFF
    if hosts & (hosts + 1):
        raise ValueError("a netmask with holes")
    start = int.from_bytes(address, "big") & ~hosts
    return TrafficSelector(0, 0, 65535, start, start | hosts, False)


def _nothing(octets: bytes) -> Sequence[Any]:
    return ()


# fmt: off
READERS: dict[int, tuple[str, int, Reader]] = {
    #                            goes to          at most        form
    A.INTERNAL_IP4_ADDRESS:    ("addresses",     2 * MAX_ADDRESSES, _address(4)),
    A.INTERNAL_IP6_ADDRESS:    ("addresses",     2 * MAX_ADDRESSES, _address(16, PREFIX_OCTETS)),
    A.INTERNAL_IP4_DNS:        ("servers",       MAX_SERVERS,    _address(4)),
    A.INTERNAL_IP6_DNS:        ("servers",       MAX_SERVERS,    _address(16)),
    A.INTERNAL_ADDRESS_EXPIRY: ("expires_in",    1,              _number),
    A.APPLICATION_VERSION:     ("version",       1,              _text),
    A.UNITY_BANNER:            ("banner",        1,              _text),
    A.UNITY_SAVE_PASSWD:       ("save_password", 1,              _number),
    A.UNITY_DEF_DOMAIN:        ("domains",       MAX_NAMES,      _names),
    A.UNITY_SPLIT_DNS:         ("domains",       MAX_NAMES,      _names),
    A.UNITY_SPLIT_INCLUDE:     ("include",       MAX_NETWORKS,   _networks),
    A.UNITY_LOCAL_LAN:         ("exclude",       MAX_EXCLUDED,   _outside),
    A.UNITY_PFS:               ("pfs",           1,              _number),
    A.UNITY_BACKUP_SERVERS:    ("backup",        MAX_NAMES,      _names),
    # An inner address is a host's own here: the mask says nothing that the tunnel's networks do not.
    A.INTERNAL_IP4_NETMASK:    ("notes",         MAX_NAMES,      _nothing),
    A.INTERNAL_IP6_NETMASK:    ("notes",         MAX_NAMES,      _nothing),
}
# fmt: on


def read(attributes: Iterable[Attribute]) -> Configuration:
    """What they give. Unknown ones are left out without a word (§3.4)."""
    found = Configuration()
    for attribute in attributes:
        kind = config_attribute(attribute.type)
        row = READERS.get(kind)
        if row is None:
            continue
        octets = octets_of(attribute)
        if not octets:
            continue  # asks, and gives nothing
        try:
            values = row[2](octets)
        except ValueError as failure:
            found.notes.append(f"ignored {kind}: {failure}")
            continue
        place = getattr(found, row[0])
        if len(place) + len(values) > row[1]:
            found.notes.append(f"ignored {kind}: more than {row[1]}")
            continue
        place.extend(value for value in values if value not in place)
        if kind not in found.understood:
            found.understood.append(kind)
    return found


# -- asking ------------------------------------------------------------------------------


def request(addresses: Iterable[bytes], unity: bool) -> tuple[Attribute, ...]:
    """What a client asks for: `addresses` (unspecified ones ask for any), and what goes with them."""
    addresses = tuple(addresses)
    lengths = tuple(dict.fromkeys(len(address) for address in addresses))
    wanted = [Attribute(ADDRESSES[len(address)], address if any(address) else b"") for address in addresses]
    kinds: list[ConfigAttribute] = [NAME_SERVERS[length] for length in lengths]
    if 4 in lengths:
        kinds.append(A.INTERNAL_IP4_NETMASK)
    kinds.append(A.INTERNAL_ADDRESS_EXPIRY)
    kinds += WANTED_UNITY if unity else ()
    return (*wanted, *(Attribute(kind, b"") for kind in kinds))


def suggested(attributes: Sequence[Attribute]) -> tuple[dict[int, list[bytes]], list[str]]:
    """The addresses a client asks for, by length: empty for any; and what was left out."""
    found: dict[int, list[bytes]] = {4: [], 16: []}
    notes: list[str] = []
    for length, kind in ADDRESSES.items():
        for attribute in attributes:
            if attribute.type != kind:
                continue
            if len(found[length]) == MAX_ADDRESSES:
                notes.append(f"the peer asks for more than {MAX_ADDRESSES} of {kind}")
                break
            octets = octets_of(attribute)
            good = len(octets) in ((4,) if length == 4 else (16, PREFIX_OCTETS)) and any(octets[:length])
            found[length].append(octets[:length] if good else b"")
    return found, notes


# -- answering ------------------------------------------------------------------------------


def answer(
    asked: Iterable[Attribute], addresses: Iterable[bytes], provided: Sequence[PoolAttribute], unity: bool
) -> tuple[Attribute, ...]:
    """What a server replies: `addresses`, of what it has `provided` that was asked for, and about itself.

    A peer that said Unity's vendor id takes Unity's attributes unasked.
    """
    kinds = {attribute.type for attribute in asked}
    addresses = tuple(addresses)
    given = _given(addresses, (one for one in provided if one.type in kinds or (unity and _is_unity(one))))
    own = []
    if A.APPLICATION_VERSION in kinds and not any(one.type == A.APPLICATION_VERSION for one in provided):
        own.append(Attribute(A.APPLICATION_VERSION, PRODUCT))
    if A.SUPPORTED_ATTRIBUTES in kinds:
        numbers = sorted({*STANDARD, *(one.type for one in provided)})
        own.append(Attribute(A.SUPPORTED_ATTRIBUTES, b"".join(number.to_bytes(2, "big") for number in numbers)))
    return (*given, *own)


def push(addresses: Iterable[bytes], provided: Sequence[PoolAttribute], unity: bool) -> tuple[Attribute, ...]:
    """What a server sends unasked."""
    return _given(tuple(addresses), (one for one in provided if unity or not _is_unity(one)))


def _given(addresses: tuple[bytes, ...], chosen: Iterable[PoolAttribute]) -> tuple[Attribute, ...]:
    """No attribute of a reply is empty (§3.4)."""
    named = [Attribute(ADDRESSES[len(address)], address) for address in addresses]
    others = [
        Attribute(one.type, one.value)
        for one in chosen
        if one.value != b"" and (addresses or one.type not in WITH_ADDRESS)
    ]
    return (*named, *others)


def _is_unity(attribute: PoolAttribute) -> bool:
    return config_attribute(attribute.type).is_unity
