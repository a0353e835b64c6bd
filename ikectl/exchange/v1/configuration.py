"""Configuration: what the attributes of mode config mean (draft-dukes-ike-mode-cfg-02 §3.4, Cisco's Unity).

What it shares with IKEv2 is in `exchange/configuration.py`; nothing here knows an exchange.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ikectl.config.model import PoolAttribute
from ikectl.exchange import configuration
from ikectl.exchange.configuration import (
    ADDRESSES,
    MAX_ADDRESSES,
    MAX_EXCLUDED,
    MAX_NAMES,
    MAX_NETWORKS,
    MAX_SERVERS,
    NAME_SERVERS,
    PREFIX_OCTETS,
    PRODUCT,
    Configuration,
    Row,
    address,
    name_server,
    names,
    networks,
    nothing,
    number,
    outside,
    text,
)
from ikectl.iana.v1 import ConfigAttribute, config_attribute
from ikectl.wire.v1.attributes import Attribute, octets_of

A = ConfigAttribute

NOT_HERE = frozenset({*range(16, 20), *range(22, 30)})
"""Attributes of IKEv2 alone, whose numbers mean nothing in IKEv1. Those of P-CSCF, 20 and 21, are taken by some."""
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
DOMAINS = frozenset({A.UNITY_DEF_DOMAIN, A.UNITY_SPLIT_DNS})
"""Those of them that are for a resolver."""

# -- reading ---------------------------------------------------------------------------


# fmt: off
READERS: dict[int, Row] = {
    #                            goes to          at most        form
    A.INTERNAL_IP4_ADDRESS:    ("addresses",     2 * MAX_ADDRESSES, address(4)),
    A.INTERNAL_IP6_ADDRESS:    ("addresses",     2 * MAX_ADDRESSES, address(16, PREFIX_OCTETS)),
    A.INTERNAL_IP4_DNS:        ("servers",       MAX_SERVERS,    name_server(4)),
    A.INTERNAL_IP6_DNS:        ("servers",       MAX_SERVERS,    name_server(16)),
    A.INTERNAL_ADDRESS_EXPIRY: ("expires_in",    1,              number),
    A.APPLICATION_VERSION:     ("version",       1,              text),
    A.UNITY_BANNER:            ("banner",        1,              text),
    A.UNITY_SAVE_PASSWD:       ("save_password", 1,              number),
    A.UNITY_DEF_DOMAIN:        ("search",        MAX_NAMES,      names),
    A.UNITY_SPLIT_DNS:         ("routes",        MAX_NAMES,      names),
    A.UNITY_SPLIT_INCLUDE:     ("include",       MAX_NETWORKS,   networks),
    A.UNITY_LOCAL_LAN:         ("exclude",       MAX_EXCLUDED,   outside),
    A.UNITY_PFS:               ("pfs",           1,              number),
    A.UNITY_BACKUP_SERVERS:    ("backup",        MAX_NAMES,      names),
    # An inner address is a host's own here: the mask says nothing that the tunnel's networks do not.
    A.INTERNAL_IP4_NETMASK:    ("notes",         MAX_NAMES,      nothing),
    A.INTERNAL_IP6_NETMASK:    ("notes",         MAX_NAMES,      nothing),
}
# fmt: on


def read(attributes: Iterable[Attribute]) -> Configuration:
    """What they give. Unknown ones are left out without a word (§3.4)."""
    return configuration.read(_pairs(attributes), READERS)


def _pairs(attributes: Iterable[Attribute]) -> list[tuple[int, bytes]]:
    return [(config_attribute(attribute.type), octets_of(attribute)) for attribute in attributes]


# -- asking ------------------------------------------------------------------------------


def request(addresses: Iterable[bytes], unity: bool, servers: bool = True) -> tuple[Attribute, ...]:
    """What a client asks for: `addresses` (unspecified ones ask for any), and what goes with them.

    `servers`: name servers, too.
    """
    addresses = tuple(addresses)
    lengths = tuple(dict.fromkeys(map(len, addresses)))
    wanted = [Attribute(ADDRESSES[len(one)], one if any(one) else b"") for one in addresses]
    kinds: list[int] = [NAME_SERVERS[length] for length in lengths] if servers else []
    if 4 in lengths:
        kinds.append(A.INTERNAL_IP4_NETMASK)
    kinds.append(A.INTERNAL_ADDRESS_EXPIRY)
    kinds += (kind for kind in WANTED_UNITY if unity and (servers or kind not in DOMAINS))
    return (*wanted, *(Attribute(kind, b"") for kind in kinds))


def suggested(attributes: Iterable[Attribute]) -> tuple[dict[int, list[bytes]], list[str]]:
    """The addresses a client asks for, by length: empty for any; and what was left out."""
    return configuration.suggested(_pairs(attributes))


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
        numbers = sorted({*STANDARD, *(one.type for one in provided if one.type not in NOT_HERE)})
        own.append(Attribute(A.SUPPORTED_ATTRIBUTES, b"".join(number.to_bytes(2, "big") for number in numbers)))
    return (*given, *own)


def push(addresses: Iterable[bytes], provided: Sequence[PoolAttribute], unity: bool) -> tuple[Attribute, ...]:
    """What a server sends unasked."""
    return _given(tuple(addresses), (one for one in provided if unity or not _is_unity(one)))


def _given(addresses: tuple[bytes, ...], chosen: Iterable[PoolAttribute]) -> tuple[Attribute, ...]:
    """No attribute of a reply is empty (§3.4)."""
    named = [Attribute(ADDRESSES[len(one)], one) for one in addresses]
    others = [
        Attribute(one.type, one.value)
        for one in chosen
        if one.value != b"" and one.type not in NOT_HERE and (addresses or one.type not in WITH_ADDRESS)
    ]
    return (*named, *others)


def _is_unity(attribute: PoolAttribute) -> bool:
    return config_attribute(attribute.type).is_unity
