"""Configuration: what the attributes of the configuration payload mean (RFC 7296 §3.15 and those that add to it).

Attributes in, facts out, and the other way; what it shares with IKEv1 is in
`exchange/configuration.py`; nothing here knows an exchange.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

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
    Reader,
    Row,
    address,
    name_server,
    names,
    networks,
    nothing,
    number,
    outside,
    resolver,
    text,
)
from ikectl.iana.v2 import CfgAttribute, cfg_attribute
from ikectl.values.domain import is_domain
from ikectl.values.path import Endpoint
from ikectl.wire.v2.cp import Attribute
from ikectl.wire.v2.dns import TrustAnchor

A = CfgAttribute

PREFIX = bytes((128,))
"""Of an inner address of IPv6 (§3.15.1): it is a host's own."""
ENCRYPTED = {4: A.ENCDNS_IP4, 16: A.ENCDNS_IP6}
SERVERS = frozenset({*NAME_SERVERS.values(), *ENCRYPTED.values()})
MAX_FACTS = 64
"""Of what is told and no more: each is a line in the log."""

NEVER = frozenset({5, 9, 11, A.UNITY_SAVE_PASSWD, A.UNITY_NATT_PORT, A.UNITY_PFS, A.UNITY_FW_TYPE})
"""What IKEv1 has and IKEv2 has not: numbers that are reserved here (§3.15.1), and what is about IKEv1 itself."""
IF_ASKED = frozenset(
    {
        A.APPLICATION_VERSION,
        A.SUPPORTED_ATTRIBUTES,
        A.FTT_KAT,
        A.EXTERNAL_SOURCE_IP4_NAT_INFO,
        A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK,
        A.INTERNAL_DNS_DOMAIN,
        A.INTERNAL_DNSSEC_TA,
        A.ENCDNS_IP4,
        A.ENCDNS_IP6,
        A.ENCDNS_DIGEST_INFO,
    }
)
"""What only goes to a peer that shows by asking that it knows what to do (RFC 8598 §3, RFC 9464 §4, TS 24.302). All
else that a pool has goes to every client: a reply may add attributes, and what is unknown is ignored (§3.15)."""
WITH_ADDRESS = frozenset({A.INTERNAL_IP4_NETMASK})
STANDARD = tuple(A(one) for one in (1, 2, 3, 4, 6, 7, 8, 10, 12, 13, 14, 15, 20, 21, 23, 24, 25, 26, 27, 28))
"""What SUPPORTED_ATTRIBUTES names beside what pools have."""


# -- reading ---------------------------------------------------------------------------


def _told(what: str, form: Reader) -> Reader:
    """For what is checked and told, and has no further use here."""

    def read(octets: bytes) -> Sequence[str]:
        return [f"{what} {_shown(value)}" for value in form(octets)]

    return read


def _shown(value: object) -> str:
    return str(ip_address(value)) if isinstance(value, bytes) else str(value)


def _domain(octets: bytes) -> Sequence[str]:
    """In presentation format, a dot at the end or none (RFC 8598 §4.1)."""
    found = octets.decode("ascii", "replace")
    if not is_domain(found):
        raise ValueError("a domain that is none")
    return (found.removesuffix("."),)


def _span(octets: bytes) -> Sequence[int]:
    """Seconds in four octets; 0 would have us ask without end."""
    if len(octets) != 4 or not any(octets):
        raise ValueError(f"{octets.hex()} is no span of seconds")
    return number(octets)


def _hex(*lengths: int, least: int = 0) -> Reader:
    """Of one of the `lengths`, or of `least` octets and more."""

    def read(octets: bytes) -> Sequence[str]:
        if len(octets) not in lengths if lengths else len(octets) < least:
            raise ValueError(f"it has {len(octets)} octets")
        return (octets.hex(),)

    return read


def _anchor(octets: bytes) -> Sequence[TrustAnchor]:
    return (TrustAnchor.read(octets),)


def _prefix(octets: bytes) -> Sequence[str]:
    """An IPv6 address and the length of a prefix; a home prefix has a lifetime before them."""
    start = len(octets) - PREFIX_OCTETS
    if start not in (0, 4) or octets[-1] > 128:
        raise ValueError(f"{len(octets)} octets are no prefix")
    return (f"{ip_address(octets[start:-1])}/{octets[-1]}",)


def _source(octets: bytes) -> Sequence[str]:
    if len(octets) != 6:
        raise ValueError(f"{len(octets)} octets are no address and port")
    return (f"{ip_address(octets[:4])}:{int.from_bytes(octets[4:], 'big')}",)


def _numbers(octets: bytes) -> Sequence[str]:
    if len(octets) % 2:
        raise ValueError("half a number")
    kinds = (cfg_attribute(int.from_bytes(octets[at : at + 2], "big") & 0x7FFF) for at in range(0, len(octets), 2))
    return (" ".join(str(kind) for kind in list(kinds)[:MAX_FACTS]),)


# fmt: off
READERS: dict[int, Row] = {
    #                            goes to      at most            form
    A.INTERNAL_IP4_ADDRESS:    ("addresses", 2 * MAX_ADDRESSES, address(4)),
    A.INTERNAL_IP6_ADDRESS:    ("addresses", 2 * MAX_ADDRESSES, address(16, PREFIX_OCTETS)),
    # An inner address is a host's own here: the mask says nothing that the tunnel's networks do not.
    A.INTERNAL_IP4_NETMASK:    ("notes",     MAX_NAMES,         nothing),
    A.INTERNAL_IP4_DNS:        ("servers",   MAX_SERVERS,       name_server(4)),
    A.INTERNAL_IP6_DNS:        ("servers",   MAX_SERVERS,       name_server(16)),
    A.INTERNAL_DNS_DOMAIN:     ("routes",    MAX_NAMES,         _domain),
    A.ENCDNS_IP4:              ("secure",    MAX_SERVERS,       resolver(4)),
    A.ENCDNS_IP6:              ("secure",    MAX_SERVERS,       resolver(16)),
    A.APPLICATION_VERSION:     ("version",   1,                 text),
    A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK: ("liveness", 1,        _span),
    A.UNITY_BANNER:            ("banner",    1,                 text),
    A.UNITY_DEF_DOMAIN:        ("search",    MAX_NAMES,         names),
    A.UNITY_SPLIT_DNS:         ("routes",    MAX_NAMES,         names),
    A.UNITY_LOCAL_LAN:         ("exclude",   MAX_EXCLUDED,      outside),
    A.UNITY_BACKUP_SERVERS:    ("backup",    MAX_NAMES,         names),

    A.INTERNAL_IP4_NBNS:       ("facts",     MAX_FACTS,         _told("WINS server", address(4))),
    A.INTERNAL_IP4_DHCP:       ("facts",     MAX_FACTS,         _told("DHCP server", address(4))),
    A.INTERNAL_IP6_DHCP:       ("facts",     MAX_FACTS,         _told("DHCP server", address(16))),
    A.INTERNAL_IP4_SUBNET:     ("facts",     MAX_NETWORKS,      _told("network", networks)),
    A.INTERNAL_IP6_SUBNET:     ("facts",     MAX_NETWORKS,      _told("network", _prefix)),
    A.INTERNAL_IP6_LINK:       ("facts",     MAX_FACTS,         _told("link", _hex(least=8))),
    A.INTERNAL_IP6_PREFIX:     ("facts",     MAX_FACTS,         _told("prefix", _prefix)),
    A.MIP6_HOME_PREFIX:        ("facts",     MAX_FACTS,         _told("home prefix", _prefix)),
    A.HOME_AGENT_ADDRESS:      ("facts",     MAX_FACTS,         _told("home agent", _hex(16, 20))),
    A.P_CSCF_IP4_ADDRESS:      ("facts",     MAX_FACTS,         _told("P-CSCF", address(4))),
    A.P_CSCF_IP6_ADDRESS:      ("facts",     MAX_FACTS,         _told("P-CSCF", address(16))),
    A.FTT_KAT:                 ("facts",     MAX_FACTS,         _told("keep-alive timer", _hex(2))),
    A.EXTERNAL_SOURCE_IP4_NAT_INFO: ("facts", MAX_FACTS,        _told("our outer address", _source)),
    A.INTERNAL_DNSSEC_TA:      ("facts",     MAX_FACTS,         _told("DNSSEC trust anchor", _anchor)),
    A.ENCDNS_DIGEST_INFO:      ("facts",     MAX_FACTS,         _told("digest of a resolver", _hex(least=4))),
    A.SUPPORTED_ATTRIBUTES:    ("facts",     MAX_FACTS,         _told("supported attributes", _numbers)),
    A.INTERNAL_IP4_SERVER:     ("facts",     MAX_FACTS,         _told("server", address(4))),
    A.INTERNAL_IP6_SERVER:     ("facts",     MAX_FACTS,         _told("server", address(16))),
    A.UNITY_SPLIT_INCLUDE:     ("facts",     MAX_NETWORKS,      _told("network", networks)),
    A.UNITY_DDNS_HOSTNAME:     ("facts",     MAX_FACTS,         _told("host name", text)),
}
# fmt: on


def read(attributes: Iterable[Attribute]) -> Configuration:
    """What they give. Unknown ones are left out without a word (§3.15)."""
    attributes = tuple(attributes)
    found = configuration.read(attributes, READERS)
    split = any(one.type == A.INTERNAL_DNS_DOMAIN and one.value for one in attributes)
    if split and not found.routes and (found.servers or found.secure):
        # Without domains they would be asked for all names, which is more than the peer wants.
        found.notes.append("ignored name servers: the only domains they are for are none")
        found.servers.clear()
        found.secure.clear()
        found.understood = [kind for kind in found.understood if kind not in SERVERS]
    if not found.servers and not found.secure:
        # RFC 8598 §3.2: without a server of theirs there is nobody who knows these names.
        found.routes.clear()
    return found


# -- asking ------------------------------------------------------------------------------


def request(addresses: Iterable[bytes], servers: bool = True) -> tuple[Attribute, ...]:
    """What a client asks for: `addresses` (unspecified ones ask for any), and what goes with them.

    `servers`: name servers, too.
    """
    addresses = tuple(addresses)
    lengths = tuple(dict.fromkeys(map(len, addresses)))
    wanted = [Attribute(ADDRESSES[len(one)], _inner(one) if any(one) else b"") for one in addresses]
    kinds = []
    if servers:
        kinds = [NAME_SERVERS[length] for length in lengths] + [ENCRYPTED[length] for length in lengths]
        kinds.append(A.INTERNAL_DNS_DOMAIN)
    return (*wanted, *map(Attribute, [*kinds, A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK]))


def _inner(packed: bytes) -> bytes:
    return packed if len(packed) == 4 else packed + PREFIX


suggested = configuration.suggested


# -- answering ------------------------------------------------------------------------------


def answer(
    asked: Iterable[Attribute], addresses: Iterable[bytes], provided: Sequence[PoolAttribute], remote: Endpoint
) -> tuple[Attribute, ...]:
    """What a server replies: `addresses`, what it has `provided`, and about itself what was asked.

    `remote` is where the peer's messages come from.
    """
    kinds = {attribute.type for attribute in asked}
    client = not kinds.isdisjoint(ADDRESSES.values())
    fitting = (one for one in provided if one.type in kinds or (client and one.type not in IF_ASKED))
    given = _given(tuple(addresses), fitting)
    named = {attribute.type for attribute in given}
    own = []
    if A.APPLICATION_VERSION in kinds - named:
        own.append(Attribute(A.APPLICATION_VERSION, PRODUCT))
    if A.EXTERNAL_SOURCE_IP4_NAT_INFO in kinds - named and len(remote.address) == 4:
        own.append(Attribute(A.EXTERNAL_SOURCE_IP4_NAT_INFO, remote.address + remote.port.to_bytes(2, "big")))
    if A.SUPPORTED_ATTRIBUTES in kinds:
        numbers = sorted({*STANDARD, *(one.type for one in provided if one.type not in NEVER)})
        own.append(Attribute(A.SUPPORTED_ATTRIBUTES, b"".join(one.to_bytes(2, "big") for one in numbers)))
    return (*given, *own)


def push(addresses: Iterable[bytes], provided: Sequence[PoolAttribute]) -> tuple[Attribute, ...]:
    """What a server sends unasked."""
    return _given(tuple(addresses), (one for one in provided if one.type not in IF_ASKED))


def _given(addresses: tuple[bytes, ...], chosen: Iterable[PoolAttribute]) -> tuple[Attribute, ...]:
    """No attribute of a reply is empty, and none is there that IKEv2 does not have."""
    found = [Attribute(ADDRESSES[len(one)], _inner(one)) for one in addresses]
    for one in chosen:
        value = one.value.to_bytes(2, "big") if isinstance(one.value, int) else one.value
        if value and one.type not in NEVER and (addresses or one.type not in WITH_ADDRESS):
            found.append(Attribute(cfg_attribute(one.type), value))
    return tuple(found)
